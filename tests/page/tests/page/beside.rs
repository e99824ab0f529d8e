//! The same photo by two networks, side by side on the page.

use anyhow::{Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::{random, small};

use crate::looking::shown;

const SAID: &str = "document.getElementById('beside-said').textContent";

/// The pictures of both figures.
const PICTURES: &str = "[...document.querySelectorAll('#pair canvas')].map((canvas) => canvas.toDataURL()).join()";

/// Chooses the network to stand beside the page's own.
pub(crate) fn choose_second(browser: &Browser, id: &str) -> Result<()> {
    let choose = format!(
        "const second = document.getElementById('second');
         second.value = '{id}';
         second.dispatchEvent(new Event('change', {{ bubbles: true }}));"
    );
    browser.script(&choose).map(drop)
}

#[test]
fn two_networks_stand_side_by_side_with_what_each_mechanism_did() -> Result<()> {
    let (plain, gated, resampling) = (small::bundle()?, random::gated()?, random::resampling()?);
    let (site, _wire, folder) = Site::wired(|www| {
        small::install_all(www, &[("plain", &plain), ("gates", &gated), ("resampled", &resampling)])
    })?;
    let browser = Browser::start(Options { size: (390, 844), phone: true, ..Options::default() })?;
    let (page, _) = Page::open(&browser, &site.page("model=plain&backend=cpu"))?;
    let view = page.upload(&sample("mallard.png"))?;
    browser.script("document.getElementById('look').open = true;")?;
    let offered = "[...document.getElementById('second').options].map(({ text }) => text).join('|')";
    page.wait_for(&format!("{offered} === 'This photo by another network…|Gates|Resampled'"))?;
    choose_second(&browser, "gates")?;
    page.wait_for("document.querySelectorAll('#pair figure').length === 2")?;
    let said = shown(&browser, SAID)?;
    let both = said.starts_with("Both networks: class ");
    ensure!(both || said.starts_with("Small: class ") && said.contains("; Gates: class "), "{said}");
    page.wait_for("document.getElementById('kept').textContent.includes('Gates ')")?;
    let labels =
        "[...document.querySelectorAll('#pair canvas')].map((canvas) => canvas.getAttribute('aria-label')).join('|')";
    let rollout = shown(&browser, labels)?;
    ensure!(rollout.starts_with("Small: Rollout over") && rollout.contains("|Gates: Rollout over"), "{rollout}");

    // What each mechanism has of its own: the plain network keeps its rollout.
    let before = shown(&browser, PICTURES)?;
    ensure!(shown(&browser, "document.getElementById('pair-view').checkVisibility()")? == "true", "no choice of views");
    browser.script("document.querySelector('input[name=\"pair-view\"][value=\"own\"]').click();")?;
    let own = shown(&browser, labels)?;
    ensure!(own.starts_with("Small: Rollout over") && own.contains("|Gates: RGA’s gates after layer 2 over"), "{own}");
    ensure!(shown(&browser, PICTURES)? != before, "the pictures are the same");
    let wide = shown(&browser, "document.documentElement.scrollWidth > innerWidth")?;
    ensure!(wide == "false", "the page is wider than the phone");

    // TASN's own is the photo as it was resampled; the choice of what to see stays.
    choose_second(&browser, "resampled")?;
    page.wait_for(&format!("{labels}.includes('|Resampled: As TASN resampled the photo over')"))?;

    // The page's own network is the one it was, and the next photo is answered by it alone.
    let first = shown(&browser, "document.querySelector('#predictions li').dataset.label")?;
    ensure!(first == view.predictions[0].label, "{first}");
    page.upload(&sample("white_pelican.png"))?;
    ensure!(
        shown(&browser, "document.getElementById('pair').checkVisibility()")? == "false",
        "a pair of the former photo"
    );
    ensure!(shown(&browser, "document.getElementById('pair-view').checkVisibility()")? == "false", "views of nothing");

    // A network that cannot be fetched changes nothing but a sentence.
    std::fs::remove_dir_all(folder.join("models/gates"))?;
    browser.script("return import('./pkg/finegrain.js').then(({ clearStorage }) => clearStorage());")?;
    choose_second(&browser, "gates")?;
    page.wait_for(&format!("{SAID}.startsWith('The other network was not taken: ')"))?;
    Ok(())
}
