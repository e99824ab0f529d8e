//! The page with nothing but a keyboard.

use anyhow::{Context, Result, bail, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::json;

/// More than the page has.
const STOPS: usize = 80;

/// Goes on with the Tab key until the focus is on what a CSS selector finds. Every stop on the way is in sight, and seen to
/// have the focus.
pub(crate) fn tab_to(browser: &Browser, selector: &str) -> Result<()> {
    let look = format!(
        "const focused = document.activeElement;
         // A control that is out of sight shows its focus by what stands for it, or by the group around it.
         const stand = focused.matches('.unseen, [type=radio]') ? focused.nextElementSibling : focused;
         const marks = [stand, focused.closest('fieldset')].filter(Boolean);
         const ringed = marks.some((mark) => getComputedStyle(mark).outlineStyle !== 'none' && mark.checkVisibility());
         const seen = stand.getBoundingClientRect();
         return {{ there: focused.matches({}), body: focused === document.body, ringed, what: focused.outerHTML.slice(0, 100),
                  inside: seen.bottom > 0 && seen.top < innerHeight }};",
        json!(selector)
    );
    for _ in 0..STOPS {
        browser.press("Tab", 0)?;
        let found = browser.script(&look)?;
        if found["body"] == true {
            continue; // around once: from the end of the page to its start
        }
        ensure!(found["ringed"] == true && found["inside"] == true, "the focus cannot be seen: {found}");
        if found["there"] == true {
            return Ok(());
        }
    }
    bail!("the Tab key never comes to {selector}")
}

#[test]
fn everything_can_be_done_with_the_keyboard() -> Result<()> {
    let site = Site::damaged(|www| small::install_as(www, &["birds", "cars"], &small::bundle()?))?;
    let browser = Browser::start(Options { webgpu: false, ..Options::default() })?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;

    // Another network and back, as radio buttons go.
    tab_to(&browser, "#models input")?;
    page.after(|| browser.press("ArrowRight", 0))?;
    ensure!(browser.script("return document.querySelector('#models input:checked').value;")? == "cars");
    page.after(|| browser.press("ArrowLeft", 0))?;

    // The dialog takes the focus, keeps it, and gives it back.
    tab_to(&browser, "#bundles")?;
    browser.press("Enter", 0)?;
    page.wait_for("document.querySelector('#bundles-dialog').open")?;
    for _ in 0..6 {
        browser.press("Tab", 0)?;
        let inside =
            "return document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'));";
        ensure!(browser.script(inside)? == true, "the focus left the dialog");
    }
    browser.press("Escape", 0)?;
    page.wait_for("!document.querySelector('#bundles-dialog').open")?;
    ensure!(browser.script("return document.activeElement.id;")? == "bundles", "the focus is lost");

    // An example, its crop, and how the network looked at it.
    tab_to(&browser, "[data-sample='mallard.png']")?;
    let whole = page.after(|| browser.press("Enter", 0))?;
    ensure!(whole.state == "ready" && whole.predictions.len() == small::CLASSES, "{}", whole.status);
    tab_to(&browser, "#crop")?;
    page.after(|| browser.press(" ", 0))?;
    let framed = "return document.activeElement.getAttribute('aria-roledescription');";
    ensure!(browser.script(framed)? == "crop frame", "the frame has no focus");
    let before = Page::shown(&browser)?.1;
    let moved = page.after(|| browser.press("ArrowRight", 8))?;
    let first = |view: &finegrain_page_tests::page::View| view.predictions.first().map(|p| p.probability);
    ensure!(first(&moved).context("no answer")? != first(&before).context("no answer")?, "the frame did not change");
    tab_to(&browser, "#look summary")?;
    browser.press("Enter", 0)?;
    page.wait_for("document.getElementById('look-caption').textContent.startsWith('Rollout')")?;
    tab_to(&browser, "#look input[name=mode]")?;
    browser.press("ArrowRight", 0)?;
    page.wait_for("document.getElementById('look-caption').textContent.startsWith('Layer 3')")?;
    tab_to(&browser, "#thumbs button")?;
    browser.press("ArrowLeft", 0)?;
    page.wait_for("document.getElementById('look-caption').textContent.startsWith('Layer 2')")?;
    Ok(())
}
