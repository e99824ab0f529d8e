//! The masks of Attend and Rectify: through the API and on the page.

use anyhow::{Result, ensure};
use finegrain::compare::reals;
use finegrain::cpu::Cpu;
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::{random, small};

use crate::looking::{MAP, input, numbers, pick, shown};

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
        ensure!(found["backend"] == backend && found["after"] == serde_json::json!([1, 3]), "{found}");
        let masks = numbers(&found["masks"])?;
        ensure!(masks.len() == 2 * 3 * 64, "{} values", masks.len());
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
