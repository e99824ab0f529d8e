//! No violation of axe-core's rules (WCAG 2.2 AA and best practices) in any state of the page, light and dark, on a desktop and a phone.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::site::Site;
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
    let (browser, site, photos) = (Browser::start(options)?, Site::start()?, Photos::new()?);
    for scheme in ["light", "dark"] {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", &features)?;
        let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
        browser.script(&axe)?;
        passes(&browser, scheme, "the page without a photo")?;
        page.upload(&sample("mallard.png"))?;
        passes(&browser, scheme, "an answer")?;
        browser.script("document.getElementById('look').open = true;")?;
        for (mode, caption) in [("rollout", "Rollout"), ("layers", "Layer 12"), ("apart", "What spoke")] {
            browser.script(&format!("document.querySelector('#look input[value=\"{mode}\"]').click();"))?;
            page.wait_for(&format!("document.getElementById('look-caption').textContent.startsWith('{caption}')"))?;
            passes(&browser, scheme, caption)?;
        }
        page.upload(&photos.file("text.jpg", b"These are words, not a photo.\n")?)?;
        passes(&browser, scheme, "a file that is no photo")?;
        page.after(|| browser.choose_files("input#photo", &[&sample("mallard.png"), &sample("white_pelican.png")]))?;
        page.wait_for("document.querySelectorAll('#gallery li button[data-state=ready]').length === 2")?;
        page.after(|| page.click("#crop"))?;
        passes(&browser, scheme, "a gallery and a crop frame")?;
        for dialog in ["link", "camera", "bundles"] {
            // The camera is missing, and its dialog with it: opened by hand.
            browser.script(&format!("document.querySelector('#{dialog}-dialog').showModal();"))?;
            passes(&browser, scheme, dialog)?;
            browser.script(&format!("document.querySelector('#{dialog}-dialog').close();"))?;
        }
        browser.script("document.querySelectorAll('details').forEach((details) => { details.open = true; });")?;
        passes(&browser, scheme, "everything unfolded")?;
    }
    Ok(())
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
