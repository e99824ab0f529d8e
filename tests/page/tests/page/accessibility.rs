//! No violation of axe-core's rules (WCAG 2.2 AA and best practices) in any state of the page, light and dark, on a desktop and a phone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use finegrain::bundle::{Confused, Level, pack};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::{Value, json};

/// Rule, what it wants, and the elements that break it.
const RUN: &str = "return axe.run().then(({ violations }) => violations.map(({ id, help, nodes }) =>
    `${id}: ${help}: ${nodes.map(({ target, failureSummary }) => `${target} (${failureSummary})`).join(', ')}`));";

/// axe-core's source, fetched by `cargo xtask test`.
fn axe() -> Result<Option<String>> {
    let Some(file) = std::env::var_os("FINEGRAIN_AXE") else {
        eprintln!("skipped: no axe-core (cargo xtask test fetches it with npm)");
        return Ok(None);
    };
    std::fs::read_to_string(file).map(Some).context("axe-core cannot be read")
}

#[test]
fn nothing_is_in_the_way_on_a_desktop() -> Result<()> {
    check(Options { webgpu: false, ..Options::default() })
}

#[test]
fn nothing_is_in_the_way_on_a_phone() -> Result<()> {
    check(Options { webgpu: false, size: (390, 844), phone: true, ..Options::default() })
}

fn check(options: Options) -> Result<()> {
    let Some(axe) = axe()? else { return Ok(()) };
    for scheme in ["light", "dark"] {
        let browser = Browser::start(options)?;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", &features)?;
        let check = |what: &str| {
            browser.script(&axe)?;
            passes(&browser, scheme, what)
        };
        everyday(&browser, &check)?;
        mechanisms(&browser, &check)?;
        trouble(&browser, &check)?;
        other_pages(&browser, &check)?;
    }
    Ok(())
}

/// What everybody sees, from the first visit on.
fn everyday(browser: &Browser, check: &dyn Fn(&str) -> Result<()>) -> Result<()> {
    let (site, wire, _) = Site::wired(|_| Ok(()))?;
    let photos = Photos::new()?;
    wire.pace(Duration::from_millis(60));
    browser.open(&site.page("model=birds&backend=cpu"))?;
    let page = Page::of(browser);
    page.wait_for("document.getElementById('progress').value > 0.1")?;
    check("loading")?;
    ensure!(browser.script("return document.documentElement.dataset.state;")? == "loading", "it was too quick");
    wire.pace(Duration::ZERO);
    let (page, _) = Page::shown(browser)?;
    page.wait_for("document.querySelector('#kept button')")?;
    check("the page without a photo")?;
    page.upload(&sample("mallard.png"))?;
    check("an answer")?;
    browser.script("document.getElementById('look').open = true;")?;
    for (mode, caption) in [("rollout", "Rollout"), ("layers", "Layer 12"), ("apart", "What spoke")] {
        browser.script(&format!("document.querySelector('#look input[value=\"{mode}\"]').click();"))?;
        page.wait_for(&format!("document.getElementById('look-caption').textContent.startsWith('{caption}')"))?;
        check(caption)?;
    }
    browser.choose_file("input#other", &sample("white_pelican.png"))?;
    page.wait_for("document.querySelectorAll('#pair figure').length === 2")?;
    check("two photos side by side")?;
    page.upload(&photos.file("text.jpg", b"These are words, not a photo.\n")?)?;
    check("a file that is no photo")?;
    let files = [&*sample("mallard.png"), &*sample("white_pelican.png"), &*sample("LICENCE.md")];
    page.after(|| browser.choose_files("input#photo", &files))?;
    page.wait_for("document.querySelector('#status').textContent.includes('could not be used')")?;
    page.after(|| page.click("#crop"))?;
    check("a gallery and a crop frame")?;
    for dialog in ["link", "camera", "bundles"] {
        // The camera is missing, and its dialog with it: opened by hand.
        browser.script(&format!("document.querySelector('#{dialog}-dialog').showModal();"))?;
        check(dialog)?;
        browser.script(&format!("document.querySelector('#{dialog}-dialog').close();"))?;
    }
    Ok(())
}

/// Several networks for one subject, and two of them side by side.
fn mechanisms(browser: &Browser, check: &dyn Fn(&str) -> Result<()>) -> Result<()> {
    let site = Site::damaged(crate::mechanisms::install)?;
    let (page, _) = Page::open(browser, &site.page("model=cars-rga&backend=cpu"))?;
    check("a choice of mechanisms")?;
    page.upload(&sample("convertible.png"))?;
    browser.script("document.getElementById('look').open = true;")?;
    crate::beside::choose_second(browser, "cars-tasn")?;
    page.wait_for("document.querySelectorAll('#pair figure').length === 2")?;
    check("two mechanisms side by side")
}

/// A network that fails its own test and is not sure, one of the person's own, and a server that is gone.
fn trouble(browser: &Browser, check: &dyn Fn(&str) -> Result<()>) -> Result<()> {
    let disk = tempfile::tempdir()?;
    let (site, wire, _) = Site::wired(|www| {
        let mut bundle = small::bundle()?;
        let logits = bundle.trace.remove("out.logits.sa").context("it has logits")?;
        bundle.trace.insert("out.logits.sa", small::doubled(&logits));
        let levels = (0..small::CLASSES).map(|class| Some(if class == 0 { "Rare" } else { "Common" }));
        bundle.manifest.hierarchy = vec![Level::of_names("kind", levels)];
        let pairs = (0..small::CLASSES).flat_map(|right| (0..small::CLASSES).map(move |named| (right, named)));
        bundle.manifest.confused = pairs
            .filter(|(right, named)| right != named)
            .map(|(right, named)| Confused { right, named, photos: 3, of: 41 })
            .collect();
        let files = bundle.write()?;
        let zip = pack(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))?;
        std::fs::write(disk.path().join("own.zip"), zip)?;
        small::install_as(www, &["small", "twin"], &bundle)
    })?;
    let (page, _) = Page::open(browser, &site.page("backend=cpu"))?;
    page.upload(&sample("mallard.png"))?;
    ensure!(!page.text("#confused")?.is_empty(), "no pair is told");
    check("a failed self-test")?;
    page.click("#notices [data-kind=self-test] button")?;
    page.wait_for("document.querySelector('#notices textarea, #notices button')?.textContent !== 'Copy a report'")?;
    check("its report")?;
    browser.choose_file("#own-zip", &disk.path().join("own.zip"))?;
    page.wait_for("document.querySelector('#kept').textContent.includes('(own)')")?;
    page.click("#bundles")?;
    check("an own network")?;
    page.click("#bundles-dialog [data-action=cancel]")?;
    wire.down(true);
    browser.script("document.querySelector('#models input[value=twin]').click();")?;
    page.wait_for("document.documentElement.dataset.state === 'error'")?;
    check("a server that is gone")
}

/// The pages beside the page.
fn other_pages(browser: &Browser, check: &dyn Fn(&str) -> Result<()>) -> Result<()> {
    let site = Site::damaged(|www| small::install_as(www, &["small", "birds"], &small::bundle()?))?;
    let page = Page::of(browser);
    browser.open(&site.file("bench.html"))?;
    page.wait_for("!document.getElementById('start').disabled")?;
    check("the page that measures")?;
    browser.script(
        "document.querySelector('[value=webgpu]').checked = false;
         document.getElementById('runs').value = 3;
         document.getElementById('start').click();",
    )?;
    page.wait_for("document.querySelectorAll('#rows tr').length === 1 && document.getElementById('stop').hidden")?;
    check("what it measured")?;
    browser.open(&site.file("example/index.html"))?;
    page.wait_for("!document.querySelector('input').disabled")?;
    check("the example")
}

fn passes(browser: &Browser, scheme: &str, what: &str) -> Result<()> {
    let violations = browser.script(RUN)?;
    ensure!(violations == Value::Array(Vec::new()), "{what}, {scheme}: {violations:#}");
    Ok(())
}

#[test]
fn a_violation_would_be_found() -> Result<()> {
    let Some(axe) = axe()? else { return Ok(()) };
    let (browser, site) = (Browser::start(Options { webgpu: false, ..Options::default() })?, Site::start()?);
    Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    browser.script(&axe)?;
    browser
        .script("document.querySelector('input#photo').insertAdjacentHTML('afterend', '<img src=\"icon.svg\">');")?;
    let found = browser.script(RUN)?;
    ensure!(found.to_string().contains("image-alt"), "{found}");
    Ok(())
}
