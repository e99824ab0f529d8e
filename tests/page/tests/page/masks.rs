//! The masks of Attend and Rectify: through the API and on the page.

use anyhow::{Result, ensure};
use finegrain::compare::reals;
use finegrain::cpu::Cpu;
use finegrain::early::Sure;
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::{random, small};

use crate::looking::{MAP, input, input_of, numbers, pick, shown};

/// Answer and masks through the API.
const MASKS: &str = "return (async () => {
    const { Classifier } = await import('./pkg/finegrain.js');
    const data = new Uint8ClampedArray(48 * 36 * 4);
    for (let i = 0; i < data.length; i += 1) data[i] = i % 4 === 3 ? 255 : (i * 31 + (i >> 6) * 17) % 256;
    const network = await Classifier.load('models/small/', { backend: BACKEND });
    const { predictions } = await network.classify(new ImageData(data, 48, 36), { topK: 5 });
    const probability = network.labels.map((name) => predictions.find(({ label }) => label === name).probability);
    const masks = Array.from(await network.masks());
    const found = { backend: network.backend, after: [...network.masksAfter], probability, masks };
    network.free();
    return found;
})();";

#[test]
fn the_masks_of_attend_and_rectify_are_shown() -> Result<()> {
    let bundle = random::rectified()?;
    let site = Site::damaged(|www| small::install(www, &bundle))?;
    let browser = Browser::start(Options::default())?;
    let (page, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "ready", "{}", view.status);
    let network = Cpu::load(&bundle.manifest.architecture, &bundle.weights)?;
    let image = input(&bundle)?;
    let truth = network.see(&image)?;
    ensure!(truth.answer().probability != truth.answer().sa, "the modules have a say");
    for backend in ["cpu", "webgpu"] {
        let found = browser.script(&MASKS.replace("BACKEND", &format!("'{backend}'")))?;
        ensure!(found["backend"] == backend && found["after"] == serde_json::json!([1, 2, 3]), "{found}");
        let masks = numbers(&found["masks"])?;
        ensure!(masks.len() == 3 * 3 * 64, "{} values", masks.len());
        let difference = reals(&masks, truth.masks()?).rel_norm;
        ensure!(difference < 1e-4, "{backend}: {difference:.1e}");
        let difference = reals(&numbers(&found["probability"])?, &truth.answer().probability).rel_norm;
        ensure!(difference < 1e-4, "{backend}, answer: {difference:.1e}");
    }

    page.upload(&sample("mallard.png"))?;
    browser.script("document.getElementById('look').open = true;")?;
    pick(&browser, "masks")?;
    let caption = |text: &str| format!("document.getElementById('look-caption').textContent === '{text}'");
    let slide = |id: &str, value: usize| {
        browser.script(&format!(
            "const slider = document.getElementById('{id}');
             slider.value = {value};
             slider.dispatchEvent(new Event('input', {{ bubbles: true }}));"
        ))
    };
    page.wait_for(&caption("Where the heads of the module after layer 3 looked"))?;
    let all = shown(&browser, MAP)?;
    slide("mask-head", 2)?;
    page.wait_for(&caption("Where head 2 of the module after layer 3 looked"))?;
    let one = shown(&browser, MAP)?;
    slide("mask", 1)?;
    page.wait_for(&caption("Where head 2 of the module after layer 1 looked"))?;
    ensure!(one != all && shown(&browser, MAP)? != one, "the map did not change");

    // A network without modules offers none.
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.upload(&sample("mallard.png"))?;
    ensure!(
        shown(&browser, "document.getElementById('masks-mode').hidden")? == "true",
        "masks of a network without any"
    );
    let refused = "return import('./pkg/finegrain.js').then(async ({ Classifier }) => {
        const network = await Classifier.load('models/small/', { backend: 'cpu' });
        await network.classify(new ImageData(8, 8));
        return network.masks().catch(String).finally(() => network.free());
    });";
    let refused = browser.script(refused)?;
    ensure!(refused.as_str().is_some_and(|text| text.contains("no masks")), "{refused}");
    Ok(())
}

/// Photo after photo through the API: what was answered, after how many blocks, and what a look says then.
const EARLY: &str = "return (async () => {
    const { Classifier } = await import('./pkg/finegrain.js');
    const network = await Classifier.load('models/small/', { backend: BACKEND });
    const found = [];
    for (let shift = 0; shift < PHOTOS; shift += 1) {
        const data = new Uint8ClampedArray(48 * 36 * 4);
        for (let i = 0; i < data.length; i += 1) data[i] = i % 4 === 3 ? 255 : (i * (31 + shift) + (i >> 6) * 17) % 256;
        const photo = new ImageData(data, 48, 36);
        const { predictions, blocks, rollout, zoom } = await network.classify(photo, { topK: 5, early: SURE });
        const probability = network.labels.map((name) => predictions.find(({ label }) => label === name).probability);
        const look = await network.masks().then(() => 'seen', String);
        found.push({ probability, blocks, map: rollout.length, zoom, look });
    }
    const whole = await network.classify(new ImageData(8, 8));
    const after = { blocks: whole.blocks, map: whole.rollout.length, masks: (await network.masks()).length };
    const refused = [];
    for (const wrong of [{ early: 0 }, { early: 1.5 }, { early: 0.5, ratio: 0.1 }]) {
        refused.push(await network.classify(new ImageData(8, 8), wrong).then(() => 'taken', String));
    }
    const { backend } = network;
    network.free();
    return { backend, found, after, refused };
})();";

#[test]
fn an_early_answer_is_that_of_the_library() -> Result<()> {
    const PHOTOS: u32 = 8;
    let bundle = random::rectified()?;
    let site = Site::damaged(|www| small::install(www, &bundle))?;
    let browser = Browser::start(Options::default())?;
    browser.open(&site.page("backend=cpu"))?;
    let network = Cpu::load(&bundle.manifest.architecture, &bundle.weights)?;
    let images: Vec<_> = (0..PHOTOS).map(|shift| input_of(&bundle, shift)).collect::<Result<_>>()?;
    let answers = |probability: f32| -> Result<Vec<_>> {
        let sure = Sure { probability, temperature: bundle.manifest.temperature() };
        Ok(images.iter().map(|image| network.classify_early(image, sure)).collect::<Result<_, _>>()?)
    };
    // A probability that some are sure by and others are not, with as much room as there is.
    let highest = |probability: &[f32]| probability.iter().copied().fold(0.0, f32::max);
    let mut sure: Vec<f32> =
        answers(0.0)?.iter().filter(|early| early.blocks == 2).map(|early| highest(&early.probability)).collect();
    sure.sort_by(f32::total_cmp);
    let widest = sure.windows(2).max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0])));
    let Some([below, above]) = widest else { anyhow::bail!("the modules agree on {} photos", sure.len()) };
    ensure!(above - below > 1e-3, "thresholds lie too close: {below} and {above}");
    let sure = 0.5 * (below + above);
    let expected = answers(sure)?;
    for backend in ["cpu", "webgpu"] {
        let script = EARLY.replace("BACKEND", &format!("'{backend}'")).replace("PHOTOS", &PHOTOS.to_string());
        let found = browser.script(&script.replace("SURE", &sure.to_string()))?;
        ensure!(found["backend"] == backend, "{found}");
        for (photo, expected) in expected.iter().enumerate() {
            let found = &found["found"][photo];
            let what = format!("{backend}, photo {photo}");
            ensure!(
                found["blocks"] == expected.blocks,
                "{what}: {} instead of {} blocks",
                found["blocks"],
                expected.blocks
            );
            let difference = reals(&numbers(&found["probability"])?, &expected.probability).rel_norm;
            ensure!(difference < 1e-4, "{what}: {difference:.1e}");
            let map = if expected.blocks == 2 { 0 } else { 64 };
            ensure!(found["map"] == map && (map > 0 || found["zoom"].is_null()), "{what}: {found}");
            ensure!(
                found["look"].as_str().is_some_and(|text| text.contains("not for an early answer")),
                "{what}: {found}"
            );
        }
        ensure!(found["after"] == serde_json::json!({ "blocks": 3, "map": 64, "masks": 3 * 3 * 64 }), "{found}");
        for (refused, why) in ["above 0", "at most 1", "leave one of them out"].iter().enumerate() {
            let text = found["refused"][refused].as_str().unwrap_or_default();
            ensure!(text.contains(why), "{text}");
        }
    }
    ensure!(expected.iter().any(|early| early.blocks == 2) && expected.iter().any(|early| early.blocks == 3));
    Ok(())
}
