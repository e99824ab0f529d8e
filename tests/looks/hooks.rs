//! Attention, rollout and another R, on the device and on the processor, against the burn model.

use std::collections::BTreeSet;

use burn::tensor::Device;
use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::cpu::{Cpu, CpuError};
use finegrain::engine::{Command, EngineError, record};
use finegrain::look::LookError;
use finegrain::model::{Forward, rollout};
use finegrain::tensors::Precision;
use pollster::block_on;

use crate::case::{Case, architectures, block_input, close, host, same_order};

/// Query `query`'s rows of a map `[1, heads, Q, T]`: `[heads, T]`.
fn rows(map: &[f32], [heads, queries, tokens]: [usize; 3], query: usize) -> Vec<f32> {
    (0..heads).flat_map(|head| map[(head * queries + query) * tokens..][..tokens].to_vec()).collect()
}

/// Each head's map of block `layer`, `[heads, T, T]`, from burn's tokens and the definition in f64.
fn maps(case: &Case, forward: &Forward, layer: usize) -> Vec<f32> {
    let Architecture { dim, heads, .. } = case.architecture;
    let (tokens, width) = (case.architecture.tokens(), case.architecture.head_dim());
    let x = block_input(forward, layer);
    let qkv = case.linear(&format!("blocks.{layer}.attn.qkv"), &case.norm(&format!("blocks.{layer}.norm1"), &x), dim);
    let part = |token: usize, part: usize, head: usize| &qkv[token * 3 * dim + part * dim + head * width..][..width];
    let mut all = Vec::new();
    for head in 0..heads {
        for query in 0..tokens {
            let score = |key: usize| {
                let dot: f64 = part(query, 0, head).iter().zip(part(key, 1, head)).map(|(q, k)| q * k).sum();
                dot / (width as f64).sqrt()
            };
            let powers: Vec<f64> = (0..tokens).map(|key| score(key).exp()).collect();
            let sum: f64 = powers.iter().sum();
            all.extend(powers.iter().map(|power| (power / sum) as f32));
        }
    }
    all
}

#[test]
fn attention_of_any_token_and_rollout_to_any_layer() {
    for architecture in architectures() {
        let case = Case::new(architecture);
        let (forward, engine) = (case.forward(), case.engine());
        let processor = Cpu::load(&case.architecture, &case.weights).unwrap();
        let seen = processor.see(&case.image).unwrap();
        block_on(engine.classify(&case.image)).unwrap();
        let (tokens, heads, depth) = (case.architecture.tokens(), case.architecture.heads, case.architecture.depth);
        for query in BTreeSet::from([0, 1, tokens / 2, tokens - 1]) {
            let mut truth = Vec::new();
            for layer in 0..depth {
                // 785 x 785 maps in f64 for one layer are enough.
                let row = rows(&maps(&case, &forward, layer), [heads, tokens, tokens], query);
                let what = format!("{tokens} tokens, layer {layer}, query {query}");
                close(&what, &block_on(engine.attention(layer, query)).unwrap(), &row);
                close(&format!("{what}, CPU"), &seen.attention(&processor, layer, query).unwrap(), &row);
                truth.extend(row);
            }
            close("all layers", &block_on(engine.attention_of_layers(query)).unwrap(), &truth);
            close("all layers, CPU", &seen.attention_of_layers(&processor, query).unwrap(), &truth);
        }
        for layer in 0..depth {
            let truth = host(rollout(&forward.tokens.as_ref().unwrap().attention_means[..=layer]));
            close("rollout", &block_on(engine.rollout(layer)).unwrap(), &truth);
            close("rollout, CPU", &seen.rollout(&processor, layer).unwrap(), &truth);
        }
        if forward.gates.is_empty() {
            assert!(matches!(block_on(engine.gates()), Err(EngineError::Look(LookError::NoGates))));
            assert!(matches!(seen.gates(), Err(CpuError::Look(LookError::NoGates))));
        } else {
            let truth: Vec<f32> = forward.gates.iter().flat_map(|gates| host(gates.clone())).collect();
            let places = case.architecture.rga().unwrap().after.len();
            assert_eq!(truth.len(), places * (tokens - 1));
            assert!(
                truth.iter().any(|gate| *gate > 0.1 && *gate < 0.9),
                "gates that are open or shut tell little: {truth:?}"
            );
            close("gates", &block_on(engine.gates()).unwrap(), &truth);
            close("gates, CPU", seen.gates().unwrap(), &truth);
        }
        if let Some(rectified) = &forward.rectified {
            let masks: Vec<Vec<f32>> = rectified.hypotheses.iter().map(|found| host(found.masks.clone())).collect();
            let truth = masks.concat();
            let rectify = case.architecture.rectify().unwrap();
            assert_eq!(truth.len(), rectify.after.len() * rectify.heads * (tokens - 1));
            let even = 1.0 / (tokens - 1) as f32;
            assert!(truth.iter().any(|mask| *mask > 1.5 * even), "masks that are even everywhere tell little");
            close("masks", &block_on(engine.masks()).unwrap(), &truth);
            close("masks, CPU", seen.masks().unwrap(), &truth);
        } else {
            assert!(matches!(block_on(engine.masks()), Err(EngineError::Look(LookError::NoMasks))));
            assert!(matches!(seen.masks(), Err(CpuError::Look(LookError::NoMasks))));
        }
        let Some(glca) = &forward.glca else {
            assert!(matches!(block_on(engine.glca_attention(0)), Err(EngineError::Look(LookError::NoGlca))));
            assert!(matches!(seen.glca_attention(&processor, 0), Err(CpuError::Look(LookError::NoGlca))));
            continue;
        };
        let map = host(glca.map.clone());
        let queries = 1 + glca.selected[0].len();
        for row in BTreeSet::from([0, 1, queries - 1]) {
            let token = if row == 0 { 0 } else { glca.selected[0][row - 1] as usize };
            let truth = rows(&map, [heads, queries, tokens], row);
            close("GLCA", &block_on(engine.glca_attention(token)).unwrap(), &truth);
            close("GLCA, CPU", &seen.glca_attention(&processor, token).unwrap(), &truth);
        }
    }
}

#[test]
fn another_ratio_is_a_fresh_run_without_the_backbone() {
    for architecture in architectures().into_iter().filter(|architecture| architecture.glca().is_some()) {
        let case = Case::new(architecture);
        let engine = case.engine();
        let processor = Cpu::load(&case.architecture, &case.weights).unwrap();
        let mut seen = processor.see(&case.image).unwrap();
        block_on(engine.classify(&case.image)).unwrap();
        for ratio in [1.0, 0.05, 0.5, 0.3, 1e-9] {
            let network = case.with_ratio(ratio);
            let forward = network.forward(network.images(&case.image, &Device::flex()));
            let truth = &network.classify(network.images(&case.image, &Device::flex()))[0];
            let answers = [block_on(engine.with_ratio(ratio)).unwrap(), seen.with_ratio(ratio).unwrap().clone()];
            for (back_end, found) in ["engine", "CPU"].into_iter().zip(answers) {
                let what = format!("{back_end}, R {ratio}, {} tokens", case.architecture.tokens());
                same_order(&what, &found.selected, &truth.selected, &truth.rollout);
                for (found, truth) in [
                    (&found.logits_sa, &truth.logits_sa),
                    (&found.logits_glca, &truth.logits_glca),
                    (&found.glca, &truth.glca),
                    (&found.probability, &truth.probability),
                    (&found.rollout, &truth.rollout),
                ] {
                    close(&what, found, truth);
                }
            }
            // Looks see the local queries of this R.
            let glca = forward.glca.unwrap();
            let size = [case.architecture.heads, 1 + glca.selected[0].len()];
            // The first of them, not the last: whether that one is in may hang on the last bit.
            let row = 1;
            let token = glca.selected[0][row - 1] as usize;
            let truth = rows(&host(glca.map), [size[0], size[1], case.architecture.tokens()], row);
            close("GLCA after R", &block_on(engine.glca_attention(token)).unwrap(), &truth);
            close("GLCA after R, CPU", &seen.glca_attention(&processor, token).unwrap(), &truth);
        }
        // GLCA is one block: its class token reads every token and no other query, so the answer is that of any other R.
        let own = processor.classify(&case.image).unwrap();
        close("any R", &seen.answer().logits_glca, &own.logits_glca);
        // The next photo has the network's own R again.
        let again = block_on(engine.classify(&case.image)).unwrap();
        assert_eq!(again.selected.len(), case.architecture.selected());
    }
}

fn labels(recording: &finegrain::engine::Recording) -> Vec<String> {
    let label = |command: &Command| match command {
        Command::Dispatch { label, .. } => Some(label.clone()),
        Command::ReadBack { .. } => None,
    };
    recording.commands().iter().filter_map(label).collect()
}

#[test]
fn looks_repeat_no_dispatch_of_the_backbone() {
    let tiny = Architecture {
        resnet: None,
        hybrid: None,
        image_size: [448, 448],
        patch_size: 16,
        dim: 192,
        depth: 12,
        heads: 3,
        mlp_ratio: 4,
        layer_norm_eps: 1e-6,
        classes: 100,
        mechanism: Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: false, gates: None }),
    };
    let whole = labels(&record::classify(&tiny, Precision::F32).unwrap());
    let tail = record::tail(&tiny.with_ratio(0.5).unwrap(), Precision::F32).unwrap();
    assert_eq!(
        labels(&tail),
        [
            "glca.select",
            "glca.gather",
            "glca.norm1",
            "glca.attn.qkv",
            "glca.attn",
            "glca.attn.proj",
            "glca.norm2",
            "glca.mlp.fc1",
            "glca.mlp.fc2",
            "glca_norm",
            "glca_head",
            "probability",
        ],
        "what depends on R, and nothing else"
    );
    assert!(whole.len() > 100 && labels(&tail).iter().all(|label| whole.contains(label)));
    let looks = [
        record::attention(&tiny, 0..=11, 17).unwrap(),
        record::glca_attention(&tiny, 3).unwrap(),
        record::rollout(&tiny, 11).unwrap(),
        record::difference(&tiny, Precision::F32, [3, 99]).unwrap(),
        tail,
    ];
    for look in looks {
        look.check().unwrap();
        assert!(labels(&look).iter().all(|label| !label.starts_with("patch_embed")), "{look}");
        let layers = ["norm1", "norm2", "qkv", "proj", "fc1", "fc2"];
        let repeats =
            |label: &String| label.starts_with("blocks.") && layers.iter().any(|layer| label.ends_with(layer));
        assert!(!labels(&look).iter().any(repeats), "{look}");
        // Neither does any hold a map: the widest buffer of its own is the MLP's hidden layer, for the selected tokens.
        let own = look.buffers().iter().filter(|buffer| buffer.content == finegrain::engine::Content::Scratch);
        assert!(own.map(|buffer| buffer.len()).max().unwrap() < 785 * 785, "{look}");
    }
}
