//! What a person or a page does in the middle of something else.

use std::fs;

use anyhow::{Context, Result, ensure};
use finegrain::bundle::{Bundle, pack};
use finegrain::tensors::{Tensor, Values};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::site::{Site, prepend};
use finegrain_page_tests::small;

use crate::recovery::{LOSING, lose};

/// Gives the page files by their addresses, one after the other and without a pause.
const GIVE: &str = "
    const give = (selector, file) => {
        const all = new DataTransfer();
        all.items.add(file);
        const input = document.querySelector(selector);
        input.files = all.files;
        input.dispatchEvent(new Event('change', { bubbles: true }));
    };
    const file = async (path) => new File([await (await fetch(path)).blob()], path.split('/').pop());
    return Promise.all(FILES.map(async ([selector, path]) => [selector, await file(path)]))
        .then((files) => files.forEach(([selector, one]) => give(selector, one)));";

fn give(browser: &Browser, files: &[(&str, &str)]) -> Result<()> {
    browser.script(&GIVE.replace("FILES", &serde_json::to_string(files)?)).map(drop)
}

/// A site with the small network, and another one of a person's own as `beetles.zip`; `words.zip` is none.
fn site(change: impl FnOnce(&mut Bundle) -> Result<()>, worker: &str) -> Result<Site> {
    let mut own = small::bundle()?;
    own.manifest.title = "Beetles: 5 species".into();
    own.manifest.labels = (0..small::CLASSES).map(|class| format!("beetle {class}")).collect();
    change(&mut own)?;
    let files = own.write()?;
    let zip = pack(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))?;
    Site::damaged(|www| {
        prepend(&www.join("pkg/worker.js"), worker)?;
        fs::write(www.join("beetles.zip"), zip)?;
        fs::write(www.join("words.zip"), "These are words.")?;
        small::install(www, &small::bundle()?)
    })
}

const CHOSEN: &str = "document.querySelector('#models input:checked + span').textContent";

fn answered(page: &Page<'_>, by: &str) -> Result<()> {
    page.wait_for(&format!(
        "document.querySelector('#predictions li')?.dataset.label.startsWith('{by}')
         && document.documentElement.dataset.state === 'ready'"
    ))
}

#[test]
fn a_photo_comes_while_an_own_bundle_is_loading() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, site(|_| Ok(()), "")?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    give(&browser, &[("#own-zip", "beetles.zip"), ("input#photo", "samples/mallard.png")])?;
    answered(&page, "beetle")?;
    page.wait_for(&format!("{CHOSEN} === 'Beetles (own)'"))?;
    ensure!(page.text("#classes")?.contains("its 5 classes"), "{}", page.text("#classes")?);

    // One that is wrong is told all the same, and the former one answers; the same for one that comes while another one is on trial.
    for bundles in [&["words.zip"][..], &["words.zip", "words.zip"]] {
        let mut files: Vec<_> = bundles.iter().map(|&bundle| ("#own-zip", bundle)).collect();
        files.push(("input#photo", "samples/white_pelican.png"));
        give(&browser, &files)?;
        page.wait_for("document.querySelector('#notices [data-kind=bundle]')")?;
        answered(&page, "beetle")?;
        let said = page.notice("bundle")?.unwrap_or_default();
        ensure!(said.contains("cannot be read"), "{said}");
        ensure!(browser.script(&format!("return {CHOSEN};"))? == "Beetles (own)", "another network is chosen");
        browser.script("document.querySelector('#notices [data-kind=bundle]').remove();")?;
    }
    Ok(())
}

/// After "Clear" the bundle in use is in memory only: it goes on, also on another device, until another one is chosen.
#[test]
fn an_own_bundle_outlives_its_copy_while_it_is_in_use() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, site(|_| Ok(()), LOSING)?);
    let (page, _) = Page::open(&browser, &site.page("backend=webgpu"))?;
    give(&browser, &[("#own-zip", "beetles.zip")])?;
    page.wait_for("document.querySelector('#kept').textContent.includes('Beetles (own)')")?;
    page.click("#kept button")?;
    page.wait_for("document.querySelector('#kept').textContent.includes('No network')")?;
    page.click("#bundles")?;
    let told = page.text("#bundles-dialog dl")?;
    ensure!(told.contains("in memory until another one is chosen"), "{told}");
    page.click("#bundles-dialog [data-action=cancel]")?;
    lose(&browser, "'now'")?;
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.state == "ready" && view.predictions[0].label.starts_with("beetle"), "{}", view.status);
    browser.script("document.querySelector('#models input[value=small]').click();")?;
    answered(&page, "class")?;
    ensure!(
        browser.script("return !document.querySelector('#models input[value^=own]');")? == true,
        "it is still offered"
    );
    Ok(())
}

/// What was said of one network does not stand beside the answers of the next.
#[test]
fn a_warning_goes_with_its_network() -> Result<()> {
    let wrong = |bundle: &mut Bundle| {
        let logits = bundle.trace.remove("out.logits.sa").context("it has logits")?;
        let Values::F32(values) = logits.values else { anyhow::bail!("logits are reals") };
        let off = Tensor::f32(logits.shape, values.iter().map(|value| value * 1.01).collect());
        bundle.trace.insert("out.logits.sa", off);
        Ok(())
    };
    let (browser, site) = (Browser::start(Options::default())?, site(wrong, "")?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    give(&browser, &[("#own-zip", "beetles.zip")])?;
    page.wait_for("document.querySelector('#notices [data-kind=self-test]')")?;
    page.wait_for(&format!("{CHOSEN} === 'Beetles (own)'"))?;
    ensure!(page.notice("self-test")?.is_some_and(|said| said.contains("do not trust")), "not said");
    browser.script("document.querySelector('#models input[value=small]').click();")?;
    page.upload(&sample("mallard.png"))?;
    ensure!(page.notice("self-test")?.is_none(), "{:?}", page.notice("self-test")?);
    Ok(())
}

/// A photo that can be shown but not classified is its tile's affair: the others are looked at.
#[test]
fn a_photo_on_the_stage_fails_while_a_gallery_runs() -> Result<()> {
    let photos = Photos::new()?;
    let mut narrow = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(64_000, 1).write_to(&mut narrow, image::ImageFormat::Png)?;
    let narrow = photos.file("narrow.png", narrow.get_ref())?;
    let (browser, site) = (Browser::start(Options::default())?, site(|_| Ok(()), "")?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    browser.choose_files("input#photo", &[&narrow, &sample("mallard.png"), &sample("white_pelican.png")])?;
    page.wait_for("document.querySelectorAll('#gallery li button[data-state=ready]').length === 2")?;
    page.wait_for(
        "document.querySelector('#status').textContent.includes('2 photos looked at; 1 could not be used.')",
    )?;
    let told = page.text("#gallery li button .best")?;
    ensure!(told.contains("too narrow"), "{told}");
    Ok(())
}

/// The API: calls that overlap, and sources that change.
const CALLS: &str = "return (async () => {
    const { default: init, Classifier, clearStorage, storage } = await import('./pkg/finegrain.js');
    // Somebody else's wish that fails takes nothing from this one.
    const wish = init({ backend: 'webgpu' }).then(() => 'prepared', ({ message }) => message);
    const network = await Classifier.load('models/small/');
    const found = { wish: await wish, backend: network.backend };
    // A canvas is what it was when it was handed over.
    const canvas = new OffscreenCanvas(40, 40);
    const context = canvas.getContext('2d');
    const draw = (colour) => {
        context.fillStyle = colour;
        context.fillRect(0, 0, 40, 40);
        context.fillStyle = 'white';
        context.fillRect(5, 9, 20, 14);
    };
    const alone = [];
    for (const colour of ['red', 'navy']) {
        draw(colour);
        alone.push((await network.classify(canvas)).predictions[0].probability);
    }
    const queued = ['red', 'navy'].map((colour) => {
        draw(colour);
        return network.classify(canvas);
    });
    draw('green');
    found.canvas = [alone, (await Promise.all(queued)).map(({ predictions }) => predictions[0].probability)];
    // An element that shows another site's picture.
    const picture = new Image();
    picture.src = OTHER;
    await picture.decode();
    found.foreign = await network.classify(picture).then(() => 'read', ({ message }) => message);
    network.free();
    await Classifier.load('models/small/').then((again) => again.free());
    const kept = async () => (await storage()).bundles.filter(({ url }) => url.endsWith('/models/small/')).length;
    const before = await kept();
    await clearStorage('models/small');
    found.kept = [before, await kept()];
    return found;
})();";

#[test]
fn calls_that_overlap_get_what_they_asked_for() -> Result<()> {
    let (other, other_wire, _) = Site::wired(|_| Ok(()))?;
    other_wire.bare();
    let (site, wire, _) = Site::wired(|www| small::install(www, &small::bundle()?))?;
    // Where pages are isolated from others, another site's picture does not even come.
    wire.bare();
    let browser = Browser::start(Options { webgpu: false, ..Options::default() })?;
    browser.open(&site.file("example/"))?;
    browser.script("history.replaceState(null, '', '/');")?;
    let picture = other.file("samples/mallard.png");
    let found = browser.script(&CALLS.replace("OTHER", &serde_json::to_string(&picture)?))?;
    ensure!(found["wish"].as_str().is_some_and(|said| said.contains("WebGPU")), "{found}");
    ensure!(found["backend"] == "cpu", "{found}");
    let [alone, queued] = [&found["canvas"][0], &found["canvas"][1]];
    ensure!(alone[0] != alone[1] && alone == queued, "{found}");
    ensure!(found["foreign"].as_str().is_some_and(|said| said.contains("comes from another site")), "{found}");
    ensure!(found["kept"] == serde_json::json!([1, 0]), "{found}");
    Ok(())
}
