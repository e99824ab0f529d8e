//! Which back end runs, and what is said about it.

use anyhow::{Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::program;
use finegrain_page_tests::site::Site;

use crate::answers::{SAME_PIXELS, agree};

#[test]
fn auto_takes_the_cpu_on_a_software_adapter_and_says_so() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, Site::start()?);
    ensure!(browser_has_adapter(&browser, &site)?, "the browser has no WebGPU adapter, so this tests nothing");
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=auto"))?;
    runs_on_the_cpu_and_says_so(&page)
}

#[test]
fn a_browser_without_webgpu_uses_the_cpu_and_says_so() -> Result<()> {
    let options = Options { webgpu: false, ..Options::default() };
    let (browser, site) = (Browser::start(options)?, Site::start()?);
    ensure!(!browser_has_adapter(&browser, &site)?, "the browser has WebGPU, so this tests nothing");
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=auto"))?;
    runs_on_the_cpu_and_says_so(&page)
}

fn runs_on_the_cpu_and_says_so(page: &Page<'_>) -> Result<()> {
    let photo = sample("mallard.png");
    let view = page.upload(&photo)?;
    agree(&view, &program::classify("birds", &photo)?, SAME_PIXELS)?;
    ensure!(view.status.contains("CPU"), "the page does not say that it runs on the CPU: {}", view.status);
    Ok(())
}

fn browser_has_adapter(browser: &Browser, site: &Site) -> Result<bool> {
    browser.open(&site.page("model=birds&backend=cpu"))?;
    Ok(browser.script("return navigator.gpu?.requestAdapter().then(Boolean) ?? false")? == true)
}

#[test]
fn webgpu_asked_for_where_there_is_none_is_an_error() -> Result<()> {
    let options = Options { webgpu: false, ..Options::default() };
    let (browser, site) = (Browser::start(options)?, Site::start()?);
    let (_, view) = Page::open(&browser, &site.page("model=birds&backend=webgpu"))?;
    ensure!(view.state == "error" && view.is_clear(), "`{}`: {}", view.state, view.status);
    Ok(())
}
