//! `www/bench.html`: measures in front of a person, who can copy what came out.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::site::Site;
use serde_json::json;

/// Keeps what the page copies: a headless browser has no clipboard to read.
const CLIPBOARD: &str = "navigator.clipboard.writeText = async (text) => { window.copied = text; };";

#[test]
fn times_are_measured_and_copied() -> Result<()> {
    let (browser, site) = (Browser::start(Options { webgpu: false, ..Options::default() })?, Site::start()?);
    browser.open(&site.file("bench.html"))?;
    let page = Page::of(&browser);
    page.wait_for("!document.getElementById('start').disabled")?;
    browser.script(CLIPBOARD)?;
    browser.script("document.getElementById('runs').value = 3; document.getElementById('start').click();")?;
    page.wait_for("document.querySelectorAll('#rows tr').length === 1 && document.getElementById('stop').hidden")?;
    // Without WebGPU its row is missing, and the page says why.
    let status = browser.script("return document.getElementById('status').textContent;")?;
    ensure!(status.as_str().is_some_and(|text| text.contains("WebGPU found no graphics adapter")), "{status}");

    browser.script("document.getElementById('json').click();")?;
    page.wait_for("window.copied")?;
    let copied = browser.script("return JSON.parse(window.copied);")?;
    let result = &copied["results"][0];
    ensure!(result["backend"] == "cpu" && result["runs"] == 3 && result["gpu"] == 0, "{copied:#}");
    let time = |name: &str| result[name].as_f64().with_context(|| format!("{name} is missing: {result}"));
    ensure!(time("fastest")? > 0.0 && time("fastest")? <= time("median")?, "{result}");
    ensure!(time("load")? > 0.0 && time("wasm")? > 1e6 && time("download")? > 1e6, "{result}");

    browser.script("document.getElementById('markdown').click();")?;
    page.wait_for("window.copied.startsWith('| Network')")?;
    let lines = browser.script("return window.copied.split('\\n').map((line) => line.split(' | ').length);")?;
    ensure!(lines == json!([7, 7, 7]), "{lines}");
    Ok(())
}

#[test]
fn a_measurement_can_be_stopped() -> Result<()> {
    let (browser, site) = (Browser::start(Options { webgpu: false, ..Options::default() })?, Site::start()?);
    browser.open(&site.file("bench.html"))?;
    let page = Page::of(&browser);
    page.wait_for("!document.getElementById('start').disabled")?;
    browser.script(
        "document.querySelector('[value=webgpu]').checked = false;
         document.getElementById('runs').value = 1000; document.getElementById('start').click();",
    )?;
    // Under way, however fast this machine is: a run may be over before one looks.
    page.wait_for(r"/run ([2-9]|\d{2,}) of 1000/.test(document.getElementById('status').textContent)")?;
    browser.script("document.getElementById('stop').click();")?;
    page.wait_for("document.getElementById('status').textContent === 'Stopped.'")?;
    let rows = browser.script("return document.querySelectorAll('#rows tr').length;")?;
    ensure!(rows == 0 && browser.script("return document.getElementById('start').disabled;")? == false);
    Ok(())
}
