//! The page on small screens and under fingers: nothing is wider than the screen, and what is pressed is large enough.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::{Value, json};

/// What can be pressed and is less than 44 CSS pixels wide or high; a label counts for the control in it.
const SMALL: &str =
    "return [...document.querySelectorAll('button, summary, select, input:not(.unseen), .unseen + label')]
    .map((control) => control.closest('label') ?? control)
    .filter((target) => target.checkVisibility({ visibilityProperty: true }) && target.getClientRects().length > 0)
    .map((target) => [target.outerHTML.slice(0, 80), target.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < 44 || height < 44)
    .map(([what, { width, height }]) => `${Math.round(width)} x ${Math.round(height)}: ${what}`);";

/// What sticks out of the screen on the right.
const WIDE: &str = "return document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
        .map((element) => element.outerHTML.slice(0, 80));";

pub(crate) fn fits(browser: &Browser, what: &str) -> Result<()> {
    for (problem, script) in [("too small for a finger", SMALL), ("wider than the screen", WIDE)] {
        let found = browser.script(script)?;
        ensure!(found == Value::Array(Vec::new()), "{what}: {problem}: {found:#}");
    }
    Ok(())
}

#[test]
fn every_state_fits_on_a_phone_and_under_a_finger() -> Result<()> {
    // More networks than fit, with a title that nobody expected.
    let ids = ["small", "twin", "third", "fourth", "fifth"];
    let site = Site::damaged(|www| {
        let mut bundle = small::bundle()?;
        bundle.manifest.labels[0] = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch".into();
        small::install_as(www, &ids, &bundle)?;
        let list = www.join("models/index.json");
        let mut index: Value = serde_json::from_slice(&std::fs::read(&list)?)?;
        index["models"][1]["title"] = json!("Grasshoppers-and-crickets-of-the-whole-wide-world: 5 classes");
        Ok(std::fs::write(list, index.to_string())?)
    })?;
    for width in [320, 390] {
        let browser = Browser::start(Options { size: (width, 844), phone: true, ..Options::default() })?;
        let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
        page.wait_for("document.querySelector('#kept button')")?;
        fits(&browser, "the first visit")?;
        page.upload(&sample("mallard.png"))?;
        page.after(|| page.click("#crop"))?;
        browser.script("document.getElementById('look').open = true;")?;
        for mode in ["rollout", "layers", "apart"] {
            browser.script(&format!("document.querySelector('#look input[value=\"{mode}\"]').click();"))?;
            page.wait_for(&format!("!document.getElementById('look-{mode}').hidden"))?;
            fits(&browser, mode)?;
        }
        browser.script("document.querySelector('#look input[value=\"layers\"]').click();")?;
        page.wait_for("document.getElementById('look-caption').textContent.startsWith('Layer')")?;
        browser.script("document.getElementById('look-map').click();")?;
        page.wait_for("!document.getElementById('look-class').hidden")?;
        browser.choose_file("input#other", &sample("white_pelican.png"))?;
        page.wait_for("document.querySelectorAll('#pair figure').length === 2")?;
        fits(&browser, "two photos")?;
        page.after(|| browser.choose_files("input#photo", &[&sample("mallard.png"), &sample("convertible.png")]))?;
        page.wait_for("document.querySelectorAll('#gallery li button[data-state=ready]').length === 2")?;
        fits(&browser, "a gallery")?;
        for dialog in ["link", "bundles", "camera"] {
            browser.script(&format!("document.getElementById('{dialog}-dialog').showModal();"))?;
            fits(&browser, dialog)?;
            browser.script(&format!("document.getElementById('{dialog}-dialog').close();"))?;
        }
        page.upload(&sample("LICENCE.md"))?;
        fits(&browser, "a file that is no photo")?;
        // What is too small or too wide is seen.
        browser.script("document.body.append(document.createElement('button'));")?;
        let found = browser.script(SMALL)?;
        ensure!(found.as_array().context("a list")?.len() == 1, "{found}");
    }
    Ok(())
}
