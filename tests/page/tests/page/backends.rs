//! Which back end runs, and what is said about it.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::program;
use finegrain_page_tests::site::{Site, prepend};
use finegrain_page_tests::small;
use serde_json::Value;

use crate::answers::{SAME_PIXELS, agree};

#[test]
fn auto_takes_the_cpu_on_a_software_adapter_and_says_so() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, Site::start()?);
    ensure!(browser_has_adapter(&browser, &site)?, "the browser has no WebGPU adapter, so this tests nothing");
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=auto"))?;
    runs_on_the_cpu_and_says_so(&page)
}

/// Hides from the page that its adapter is software: what a browser does that tells nothing of the adapter.
const NAMELESS: &str = "for (const [name, value] of Object.entries({
        info: { vendor: '', architecture: '', device: '', description: '' }, isFallbackAdapter: undefined }))
    Object.defineProperty(GPUAdapter.prototype, name, { get: () => value });";

/// The network that takes SwiftShader seconds is measured on the CPU as well, once; a tiny one stays where it is.
#[test]
fn auto_measures_a_slow_device_that_it_does_not_know() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| prepend(&www.join("pkg/worker.js"), NAMELESS))?;
    let query = site.page("model=birds&backend=auto");
    let because = "The graphics device (unnamed graphics adapter) took longer for a photo than the CPU";
    let (page, view) = Page::open(&browser, &query)?;
    ensure!(view.status.contains("on the CPU") && view.status.contains(because), "{}", view.status);
    let photo = sample("mallard.png");
    agree(&page.upload(&photo)?, &program::classify("birds", &photo)?, SAME_PIXELS)?;
    // It is remembered: no kernel is compiled the next time.
    let (_, view) = Page::open(&browser, &query)?;
    ensure!(view.status.contains("on the CPU") && view.status.contains(because), "{}", view.status);

    let site = Site::damaged(|www| {
        prepend(&www.join("pkg/worker.js"), NAMELESS)?;
        small::install(www, &small::bundle()?)
    })?;
    let (_, view) = Page::open(&browser, &site.page("model=small&backend=auto"))?;
    ensure!(view.status.contains("on WebGPU (unnamed graphics adapter)"), "{}", view.status);
    Ok(())
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

/// Classifies a sample with each number of threads: `[adapter, [[label, probability]..], memory]` each.
const ON_THREADS: &str = "return import('./pkg/finegrain.js').then(async ({ Classifier }) => {
        const photo = await (await fetch('samples/mallard.png')).blob();
        const found = [];
        for (const threads of THREADS) {
            const classifier = await Classifier.load('models/small/', { backend: 'cpu', threads });
            const { predictions, adapter } = await classifier.classify(photo);
            const again = await classifier.classify(photo);
            const { wasm } = await classifier.memory();
            const looked = await classifier.rollout();
            found.push({ adapter, labels: again.predictions.map(({ label }) => label),
                shares: [predictions, again.predictions].flat().map(({ probability }) => probability),
                rollout: [...again.rollout], looked: [...looked], wasm });
            classifier.free();
        }
        return found;
    });";

#[test]
fn threads_share_a_photo_and_give_the_answer_of_one() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    browser.open(&site.page("backend=cpu"))?;
    ensure!(browser.script("return crossOriginIsolated;")? == true, "the page is not isolated");
    let found = browser.script(&ON_THREADS.replace("THREADS", "[1, 2, 3, 5]"))?;
    let found = found.as_array().context("no answers")?;
    let numbers =
        |value: &Value| -> Vec<f64> { value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect() };
    for (threads, answer) in ["one thread", "2 threads", "3 threads", "5 threads"].into_iter().zip(found) {
        let adapter = answer["adapter"].as_str().unwrap_or_default();
        println!("{adapter}");
        ensure!(adapter.contains(threads) && adapter.contains("wasm SIMD"), "{adapter}");
        ensure!(answer["labels"] == found[0]["labels"], "other labels on {threads}: {answer}");
        for name in ["shares", "rollout", "looked"] {
            let (here, one) = (numbers(&answer[name]), numbers(&found[0][name]));
            ensure!(!one.is_empty() && here.len() == one.len(), "{name} on {threads}");
            let far = here.iter().zip(&one).find(|(here, one)| (*here - *one).abs() > 1e-5);
            ensure!(far.is_none(), "{name} on {threads}: {far:?}");
        }
        // Each thread has a memory of its own, and all of them are told.
        ensure!(threads == "one thread" || answer["wasm"].as_f64() > found[0]["wasm"].as_f64(), "{answer}");
    }
    let refused = browser.script(
        "return import('./pkg/finegrain.js').then(({ Classifier }) => Classifier.load('models/small/', { threads: 0 })).catch(String);",
    )?;
    ensure!(refused.as_str().is_some_and(|text| text.contains("threads is 0, it must be")), "{refused}");
    Ok(())
}

#[test]
fn a_page_that_is_not_isolated_has_one_thread_and_says_why() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, _) = Site::wired(|www| small::install(www, &small::bundle()?))?;
    wire.bare();
    let (page, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    let view = if view.state == "ready" { page.upload(&sample("mallard.png"))? } else { view };
    ensure!(
        view.state == "ready" && view.status.contains("one thread, as this page is not cross-origin isolated"),
        "{}",
        view.status
    );
    Ok(())
}

#[test]
fn webgpu_asked_for_where_there_is_none_is_an_error() -> Result<()> {
    let options = Options { webgpu: false, ..Options::default() };
    let (browser, site) = (Browser::start(options)?, Site::start()?);
    let (_, view) = Page::open(&browser, &site.page("model=birds&backend=webgpu"))?;
    ensure!(view.state == "error" && view.is_clear(), "`{}`: {}", view.state, view.status);
    Ok(())
}
