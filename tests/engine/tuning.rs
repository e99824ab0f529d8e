//! The tiles of matrix products: measured on the device, kept, chosen. No time is judged here.

use std::cell::RefCell;
use std::time::Instant;

use finegrain::answer::Answer;
use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::engine::{Engine, Gpu, LoadOptions, Progress, TileChoice, Tuning, cpu, record};
use finegrain::tensors::{Precision, TensorMap};
use pollster::block_on;

use crate::support::{Random, gpu, random_weights, relative_norm};

/// 20 patches, odd and even sizes.
fn small() -> Architecture {
    Architecture {
        resnet: None,
        hybrid: None,
        image_size: [20, 16],
        patch_size: 4,
        dim: 40,
        depth: 2,
        heads: 2,
        mlp_ratio: 3,
        layer_norm_eps: 1e-6,
        classes: 7,
        mechanism: Mechanism::Dcal(Dcal { ratio: 0.3, glca: true, pwca: false, gates: None }),
    }
}

const IMAGE: [f32; 3 * 20 * 16] = [0.25; 3 * 20 * 16];

/// Since whenever.
fn clock() -> f64 {
    thread_local!(static START: Instant = Instant::now());
    START.with(|start| start.elapsed().as_secs_f64() * 1e3)
}

/// A clock at which the budget is over at once.
fn late() -> f64 {
    1e9
}

fn tuning(known: Option<&str>) -> Tuning<'_> {
    Tuning { known, software: true, budget: 60_000.0, clock }
}

fn load(gpu: &Gpu, weights: &TensorMap, tuning: Option<Tuning<'_>>, precision: Precision) -> Engine {
    load_of(gpu, &small(), weights, tuning, precision)
}

fn load_of(
    gpu: &Gpu,
    architecture: &Architecture,
    weights: &TensorMap,
    tuning: Option<Tuning<'_>>,
    precision: Precision,
) -> Engine {
    let options = LoadOptions { tuning, precision, ..LoadOptions::default() };
    block_on(Engine::load_with(gpu, architecture, weights, options)).unwrap()
}

fn weights() -> TensorMap {
    random_weights(&small(), &mut Random(20))
}

/// Distinct products, whatever their ending.
fn products(engine: &Engine) -> Vec<TileChoice> {
    let tiles = engine.tiles().unwrap();
    // qkv, proj, fc1, fc2 of a block; q, kv, proj, fc1, fc2 of GLCA.
    assert_eq!(tiles.len(), 9, "{tiles:?}");
    assert_eq!(tiles.iter().map(|product| product.dispatches).sum::<usize>(), 2 * 4 + 5);
    tiles
}

fn same(found: &Answer, expected: &Answer) {
    for (found, expected) in [
        (&found.logits_sa, &expected.logits_sa),
        (&found.logits_glca, &expected.logits_glca),
        (&found.rollout, &expected.rollout),
    ] {
        assert!(relative_norm(found, expected) < 1e-5);
    }
    assert_eq!(found.selected, expected.selected);
}

#[test]
fn every_product_is_measured_in_every_tile_and_the_answer_stays() {
    let weights = weights();
    let stamped = block_on(Gpu::open_to_profile()).unwrap();
    for (gpu, precision) in [(gpu(), Precision::F32), (stamped, Precision::Int8)] {
        let plain = load(&gpu, &weights, None, precision);
        assert!(plain.tile_times().is_none());
        for TileChoice { tile, measured, .. } in products(&plain) {
            assert_eq!((tile, measured.len()), ([32, 64], 0));
        }
        let expected = block_on(plain.classify(&IMAGE)).unwrap();
        let tuned = load(&gpu, &weights, Some(tuning(None)), precision);
        for TileChoice { measured, tile, .. } in products(&tuned) {
            let tiles: Vec<[u32; 2]> = measured.iter().map(|time| time.tile).collect();
            assert_eq!(tiles, [[32, 64], [32, 32], [64, 128]]);
            assert!(tiles.contains(&tile) && measured.iter().all(|time| time.ms > 0.0 && time.ms.is_finite()));
        }
        same(&block_on(tuned.classify(&IMAGE)).unwrap(), &expected);
    }
}

#[test]
fn what_was_measured_is_not_measured_again() {
    let (gpu, weights) = (gpu(), weights());
    let first = load(&gpu, &weights, Some(tuning(None)), Precision::F32).tile_times().unwrap();
    let second = load(&gpu, &weights, Some(tuning(Some(&first))), Precision::F32);
    assert_eq!(second.tile_times().as_ref(), Some(&first));
    // Not even begun where there is no time, and then the default holds; what is known stays known.
    let late = |known| Tuning { clock: late, budget: 0.0, ..tuning(known) };
    let none = load(&gpu, &weights, Some(late(None)), Precision::F32);
    assert!(none.tile_times().is_none() && products(&none).iter().all(|product| product.tile == [32, 64]));
    let known = load(&gpu, &weights, Some(late(Some(&first))), Precision::F32);
    assert_eq!(known.tile_times().as_ref(), Some(&first));
    // Another precision has kernels of its own: the text holds both.
    let both = load(&gpu, &weights, Some(tuning(Some(&first))), Precision::F16).tile_times().unwrap();
    assert!(both.len() > first.len() && both.contains("matmul_gelu_f16_small"), "{both}");
    let third = load(&gpu, &weights, Some(tuning(Some(&both))), Precision::F32);
    assert_eq!(third.tile_times(), Some(both));
}

#[test]
fn damaged_and_foreign_times_are_ignored() {
    let (gpu, weights) = (gpu(), weights());
    let good = load(&gpu, &weights, Some(tuning(None)), Precision::F32).tile_times().unwrap();
    let foreign = format!("another card, {good}");
    for text in ["", "no times", &good[..good.len() / 2], &foreign] {
        let engine = load(&gpu, &weights, Some(tuning(Some(text))), Precision::F32);
        assert_eq!(engine.tile_times().unwrap().lines().next(), good.lines().next());
        assert!(products(&engine).iter().all(|product| product.measured.len() == 3));
    }
}

#[test]
fn a_software_adapter_is_measured_for_those_who_ask() {
    let (gpu, weights) = (gpu(), weights());
    let known = load(&gpu, &weights, Some(tuning(None)), Precision::F32).tile_times().unwrap();
    for known in [None, Some(known.as_str())] {
        let engine = load(&gpu, &weights, Some(Tuning { software: false, ..tuning(known) }), Precision::F32);
        assert_eq!(engine.tile_times().is_none(), gpu.adapter().software);
    }
}

/// What was measured, with made up times: those of the tiles that `fastest` names are the shortest.
fn favoured(text: &str, fastest: impl Fn(&str) -> bool) -> String {
    let time = |time: &str| {
        let (tile, _) = time.split_once(' ').unwrap();
        format!("{tile} {}", if fastest(tile) { 100 } else { 200 })
    };
    let line = |line: &str| match line.split_once(": ") {
        Some((product, times)) => {
            format!("{product}: {}\n", times.split(", ").map(time).collect::<Vec<_>>().join(", "))
        }
        None => format!("{line}\n"),
    };
    // The first line is the adapter's.
    let (adapter, body) = text.split_once('\n').unwrap();
    format!("{adapter}\n{}", body.lines().map(line).collect::<String>().trim_end())
}

/// Whatever is measured here, every tile gets its turn: the times are made up.
#[test]
fn each_network_runs_in_the_tiles_that_were_fastest() {
    let (gpu, weights) = (gpu(), weights());
    let text = load(&gpu, &weights, Some(tuning(None)), Precision::F32).tile_times().unwrap();
    let expected = block_on(load(&gpu, &weights, None, Precision::F32).classify(&IMAGE)).unwrap();
    for (fastest, tile) in [("_small", [32, 32]), ("_large", [64, 128])] {
        let times = favoured(&text, |tile| tile.ends_with(fastest));
        let seen = RefCell::new(Vec::new());
        let options = LoadOptions {
            on_progress: Some(Box::new(|progress| seen.borrow_mut().push(progress))),
            tuning: Some(tuning(Some(&times))),
            ..LoadOptions::default()
        };
        let engine = block_on(Engine::load_with(&gpu, &small(), &weights, options)).unwrap();
        assert!(products(&engine).iter().all(|product| product.tile == tile), "{fastest}");
        let pipelines = record::classify(&small(), Precision::F32).unwrap().kernels().len();
        let seen = seen.into_inner();
        assert_eq!(seen.iter().filter(|progress| **progress == Progress::Tuned).count(), 1);
        assert_eq!(seen.last(), Some(&Progress::Compiled { done: pipelines, total: pipelines }), "as few as before");
        // Classifying, a trace and a look take the same tiles.
        same(&block_on(engine.classify(&IMAGE)).unwrap(), &expected);
        let twin = cpu::run(&record::classify(&small(), Precision::F32).unwrap(), &weights, &IMAGE).unwrap();
        assert!(relative_norm(&expected.logits_glca, twin.reals("out.logits.glca").unwrap()) < 1e-5);
        let trace = block_on(engine.trace(&IMAGE)).unwrap();
        assert!(relative_norm(trace.reals("out.logits.sa").unwrap(), &expected.logits_sa) < 1e-5);
        let other = block_on(engine.with_ratio(0.5)).unwrap();
        assert_eq!(other.logits_glca.len(), 7);
    }
}

/// Halves in place of x change an answer by no more than they round.
#[test]
fn a_network_runs_on_matrix_units() {
    let gpu = gpu();
    if gpu.matrix_units() == 0 {
        eprintln!("skipped: {} shows no matrix units", gpu.adapter().name);
        return;
    }
    let architecture = Architecture { dim: 64, mlp_ratio: 4, classes: 12, ..small() };
    let weights = random_weights(&architecture, &mut Random(21));
    for precision in [Precision::F16, Precision::Int8] {
        let plain = load_of(&gpu, &architecture, &weights, None, precision);
        let measured = load_of(&gpu, &architecture, &weights, Some(tuning(None)), precision).tile_times().unwrap();
        for large in [false, true] {
            let times = favoured(&measured, |tile| tile.contains("_matrix_") && tile.ends_with("_large") == large);
            let engine = load_of(&gpu, &architecture, &weights, Some(tuning(Some(&times))), precision);
            assert!(engine.tiles().unwrap().iter().all(|product| product.matrix_units), "{:?}", engine.tiles());
            let [found, expected] = [&engine, &plain].map(|engine| block_on(engine.classify(&IMAGE)).unwrap());
            let error = relative_norm(&found.logits_glca, &expected.logits_glca);
            assert!(error > 0.0 && error < 5e-3, "{precision:?}, {error}");
        }
    }
}
