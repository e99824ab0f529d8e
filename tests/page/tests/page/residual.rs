//! A residual network on the page: it classifies, its class activation map is drawn, and what it has not is not offered.

use anyhow::{Result, ensure};
use finegrain::architecture::{Mechanism, Mixing, RectifyBlocks, RgaBlocks};
use finegrain::compare::reals;
use finegrain::cpu::Cpu;
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::{random, small};
use serde_json::json;

use crate::looking::{MAP, input, numbers, pick, shown};

/// Answer, map and what else there is, through the API.
pub(crate) const ANSWER: &str = "return (async () => {
    const { Classifier } = await import('./pkg/finegrain.js');
    const data = new Uint8ClampedArray(48 * 36 * 4);
    for (let i = 0; i < data.length; i += 1) data[i] = i % 4 === 3 ? 255 : (i * 31 + (i >> 6) * 17) % 256;
    const network = await Classifier.load('models/FOLDER/', { backend: BACKEND, threads: THREADS });
    const result = await network.classify(new ImageData(data, 48, 36), { topK: 5 });
    const probability = network.labels.map((name) => result.predictions.find(({ label }) => label === name).probability);
    const plain = (values) => values.then((values) => Array.from(values), () => []);
    const refused = (question) => question.then(() => 'not refused', (error) => error.message);
    const [a, b] = network.labels;
    const found = {
        backend: network.backend,
        adapter: network.adapter,
        shape: [network.layers, network.heads, network.grids, network.ratio],
        map: result.map,
        grid: result.grid,
        activation: Array.from(result.rollout),
        probability,
        gates: await plain(network.gates()),
        masks: await plain(network.masks()),
        refusals: [
            await refused(network.attention()),
            await refused(network.rollout({ layer: 0 })),
            await refused(network.difference(a, b)),
        ],
    };
    network.free();
    return found;
})();";

#[test]
fn a_residual_network_classifies_and_says_what_spoke_for_the_name() -> Result<()> {
    let gates = Mechanism::Rga(RgaBlocks { ratio: 4, spatial: true, channel: true, after: vec![1, 3] });
    let modules =
        Mechanism::Rectify(RectifyBlocks { heads: 3, after: vec![2, 3], mixing: Mixing::Softmax, gates: None });
    let [plain, gated, rectified] =
        [random::residual(Mechanism::None)?, random::residual(gates)?, random::residual(modules)?];
    let bundles = [("plain", &plain), ("gated", &gated), ("rectified", &rectified)];
    let (site, _wire, _folder) = Site::wired(|www| small::install_all(www, &bundles))?;
    let browser = Browser::start(Options::default())?;
    let (page, view) = Page::open(&browser, &site.page("model=plain&backend=cpu"))?;
    ensure!(view.state == "ready", "{}", view.status);
    for (folder, bundle) in bundles {
        let network = Cpu::load(&bundle.manifest.architecture, &bundle.weights)?;
        let image = input(bundle)?;
        let truth = network.see(&image)?;
        for (backend, threads) in BACKENDS {
            let script = ANSWER
                .replace("FOLDER", folder)
                .replace("BACKEND", &format!("'{backend}'"))
                .replace("THREADS", &threads.to_string());
            let found = browser.script(&script)?;
            ensure!(found["backend"] == *backend, "{found}");
            ensure!(
                *threads == 1 || found["adapter"].as_str().is_some_and(|text| text.contains("2 threads")),
                "{found}"
            );
            ensure!(found["shape"] == json!([3, 0, [[16, 16], [8, 8], [4, 4]], null]), "{found}");
            ensure!(found["map"] == "activation" && found["grid"] == json!([4, 4]), "{found}");
            for (what, truth) in [
                ("probability", truth.answer().probability.as_slice()),
                ("activation", &truth.answer().rollout[1..]),
                ("gates", truth.gates().unwrap_or_default()),
                ("masks", truth.masks().unwrap_or_default()),
            ] {
                let found = numbers(&found[what])?;
                ensure!(found.len() == truth.len(), "{folder}, {backend}: {} values of {what}", found.len());
                let difference = if truth.is_empty() { 0.0 } else { reals(&found, truth).rel_norm };
                ensure!(difference < 1e-4, "{folder}, {backend}, {what}: {difference:.1e}");
            }
            for refusal in found["refusals"].as_array().into_iter().flatten() {
                ensure!(refusal.as_str().is_some_and(|text| text.contains("has no attention to look into")), "{found}");
            }
        }
    }

    page.upload(&sample("mallard.png"))?;
    browser.script("document.getElementById('look').open = true;")?;
    page.wait_for("document.getElementById('look-caption').textContent.startsWith('What spoke for class ')")?;
    let hidden = |id: &str| shown(&browser, &format!("!document.getElementById('{id}').checkVisibility()"));
    for id in ["layers-mode", "apart-mode", "gates-mode", "masks-mode", "look-rollout", "look-ratio", "look-branch"] {
        ensure!(hidden(id)? == "true", "{id} is offered");
    }
    for id in ["meaning-rollout", "meaning-queries"] {
        ensure!(hidden(id)? == "true", "{id} is said");
    }
    ensure!(hidden("meaning-activation")? == "false", "what the colours mean is not said");
    ensure!(
        shown(&browser, "document.getElementById('map-name').textContent")? == "What spoke for the name",
        "its name"
    );
    let described = shown(&browser, "document.getElementById('attention').getAttribute('aria-label')")?;
    ensure!(described.contains("what spoke for the name"), "{described}");

    // Of each mechanism the maps are as large as they are where it stands.
    let caption = |text: &str| format!("document.getElementById('look-caption').textContent === '{text}'");
    for (folder, mode, slider, captions) in [
        (
            "gated",
            "gates",
            "gate",
            ["What the gates after stage 3 let through", "What the gates after stage 1 let through"],
        ),
        (
            "rectified",
            "masks",
            "mask",
            [
                "Where the heads of the module after stage 3 looked",
                "Where the heads of the module after stage 2 looked",
            ],
        ),
    ] {
        let (page, view) = Page::open(&browser, &site.page(&format!("model={folder}&backend=cpu")))?;
        ensure!(view.state == "ready", "{}", view.status);
        page.upload(&sample("mallard.png"))?;
        browser.script("document.getElementById('look').open = true;")?;
        pick(&browser, mode)?;
        page.wait_for(&caption(captions[0]))?;
        let last = shown(&browser, MAP)?;
        browser.script(&format!(
            "const slider = document.getElementById('{slider}');
             slider.value = 1;
             slider.dispatchEvent(new Event('input', {{ bubbles: true }}));"
        ))?;
        page.wait_for(&caption(captions[1]))?;
        ensure!(shown(&browser, MAP)? != last, "the map did not change");
    }
    Ok(())
}

/// Each with how many threads.
pub(crate) const BACKENDS: &[(&str, usize)] = &[("cpu", 1), ("cpu", 2), ("webgpu", 1)];
