//! RGA's gates: through the API and on the page.

use anyhow::{Result, ensure};
use finegrain::compare::reals;
use finegrain::cpu::Cpu;
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::{random, small};

use crate::looking::{MAP, input, numbers, pick, shown};

/// The gates of RGA through the API, on both back ends.
const GATES: &str = "return (async () => {
    const { Classifier } = await import('./pkg/finegrain.js');
    const data = new Uint8ClampedArray(48 * 36 * 4);
    for (let i = 0; i < data.length; i += 1) data[i] = i % 4 === 3 ? 255 : (i * 31 + (i >> 6) * 17) % 256;
    const network = await Classifier.load('models/small/', { backend: BACKEND });
    await network.classify(new ImageData(data, 48, 36));
    const found = { backend: network.backend, after: [...network.gatesAfter], gates: Array.from(await network.gates()) };
    network.free();
    return found;
})();";

#[test]
fn the_gates_of_rga_are_shown() -> Result<()> {
    let bundle = random::gated()?;
    let site = Site::damaged(|www| small::install(www, &bundle))?;
    let browser = Browser::start(Options::default())?;
    let (page, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "ready", "{}", view.status);
    let network = Cpu::load(&bundle.manifest.architecture, &bundle.weights)?;
    let image = input(&bundle)?;
    for backend in ["cpu", "webgpu"] {
        let found = browser.script(&GATES.replace("BACKEND", &format!("'{backend}'")))?;
        ensure!(found["backend"] == backend && found["after"] == serde_json::json!([1, 2]), "{found}");
        let difference = reals(&numbers(&found["gates"])?, network.see(&image)?.gates()?).rel_norm;
        ensure!(difference < 1e-4, "{backend}: {difference:.1e}");
    }

    gates_on_the_page(&browser, &page)?;

    // A network without gates offers none.
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.upload(&sample("mallard.png"))?;
    ensure!(
        shown(&browser, "document.getElementById('gates-mode').hidden")? == "true",
        "gates of a network without any"
    );
    let refused = "return import('./pkg/finegrain.js').then(async ({ Classifier }) => {
        const network = await Classifier.load('models/small/', { backend: 'cpu' });
        await network.classify(new ImageData(8, 8));
        return network.gates().catch(String).finally(() => network.free());
    });";
    let refused = browser.script(refused)?;
    ensure!(refused.as_str().is_some_and(|text| text.contains("no spatial gates")), "{refused}");
    Ok(())
}

/// Chosen under "How it looked", they show each place's gates.
fn gates_on_the_page(browser: &Browser, page: &Page<'_>) -> Result<()> {
    page.upload(&sample("mallard.png"))?;
    browser.script("document.getElementById('look').open = true;")?;
    pick(browser, "gates")?;
    let caption = |text: &str| format!("document.getElementById('look-caption').textContent === '{text}'");
    page.wait_for(&caption("What the gates after layer 2 let through"))?;
    let map = shown(browser, MAP)?;
    browser.script(
        "const gate = document.getElementById('gate');
         gate.value = 1;
         gate.dispatchEvent(new Event('input', { bubbles: true }));",
    )?;
    page.wait_for(&caption("What the gates after layer 1 let through"))?;
    ensure!(shown(browser, MAP)? != map, "the map did not change");
    Ok(())
}

/// A network with gates and GLCA has both to show, and the page calls it by both, also where it is the person's own.
#[test]
fn gates_beside_glca_are_shown_and_named() -> Result<()> {
    let bundle = random::paired()?;
    let site = Site::damaged(|www| small::install(www, &bundle))?;
    let browser = Browser::start(Options::default())?;
    let (page, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "ready", "{}", view.status);
    let named =
        |said: &str| said.starts_with("DCAL with RGA: gates between the layers") && said.contains("second look");
    let said = page.text("#mechanism-said")?;
    ensure!(named(&said), "{said}");
    gates_on_the_page(&browser, &page)?;
    let asked = "return import('./pkg/finegrain.js').then(async ({ Classifier }) => {
        const network = await Classifier.load('models/small/', { backend: BACKEND });
        const result = await network.classify(new ImageData(64, 64));
        const gates = (await network.gates()).length;
        const more = await network.setRatio(0.5);
        network.free();
        return [network.mechanism, gates, result.selected.length, more.selected.length];
    });";
    for backend in ["cpu", "webgpu"] {
        let found = browser.script(&asked.replace("BACKEND", &format!("'{backend}'")))?;
        // 64 patches, two places of gates, a fifth and a half of them as local queries.
        ensure!(found == serde_json::json!(["dcal+rga", 128, 12, 32]), "{backend}: {found}");
    }
    let disk = tempfile::TempDir::new()?;
    let files = bundle.write()?;
    let zip = finegrain::bundle::pack(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))?;
    std::fs::write(disk.path().join("pair.zip"), zip)?;
    browser.choose_file("#own-zip", &disk.path().join("pair.zip"))?;
    page.wait_for("document.querySelector('#models input[value^=own]:checked')")?;
    Page::shown(&browser)?;
    let said = page.text("#mechanism-said")?;
    ensure!(named(&said), "own: {said}");
    Ok(())
}
