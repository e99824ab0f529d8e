//! Loading a bundle: broken connections, storage, several tabs.

use std::time::Duration;

use anyhow::{Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::{Value, json};

const WEIGHTS: &str = "/models/birds/model.safetensors";

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, _) = Site::wired(|_| Ok(()))?;
    wire.cut(WEIGHTS, 3_000_000, 2);
    let (page, view) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    ensure!(view.state == "ready", "the page did not get over it: {}", view.status);
    let requests = wire.requests(WEIGHTS);
    ensure!(requests.len() == 3, "{} requests instead of 3: {requests:?}", requests.len());
    let starts: Vec<u64> = requests.iter().map(|request| start_of(request.range.as_deref())).collect();
    ensure!(
        starts[0] == 0 && starts[1] > 2_000_000 && starts[2] > starts[1] + 2_000_000,
        "from the start: {requests:?}"
    );
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.state == "ready" && view.predictions.len() == 5, "no answer: {}", view.status);
    ensure!(page.notice("connection")?.is_none(), "it still says that the connection broke");
    Ok(())
}

fn start_of(range: Option<&str>) -> u64 {
    let number = |range: &str| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok();
    range.and_then(number).unwrap_or(0)
}

#[test]
fn a_download_that_a_person_broke_off_goes_on_at_the_next_visit() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, _) = Site::wired(|_| Ok(()))?;
    wire.pace(Duration::from_millis(20));
    browser.open(&site.page("model=birds&backend=cpu"))?;
    let half = "document.querySelector('#progress').value > 0.3 && document.querySelector('#progress').value < 1";
    let view = wait(&browser, half)?;
    browser.open("about:blank")?;
    wire.pace(Duration::ZERO);
    let (_, ready) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    ensure!(ready.state == "ready", "not ready after {view}: {}", ready.status);
    let again = wire.requests(WEIGHTS).last().map(|request| start_of(request.range.as_deref()));
    ensure!(again > Some(1_000_000), "what had come was thrown away: {again:?}");
    Ok(())
}

fn wait(browser: &Browser, condition: &str) -> Result<Value> {
    let script = format!(
        "return new Promise((resolve) => {{
             const look = () => ({condition}) ? resolve(true) : setTimeout(look, 20);
             look();
         }});"
    );
    browser.script(&script)
}

#[test]
fn a_server_that_is_gone_for_good_gets_a_sentence() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, _) = Site::wired(|www| small::install(www, &small::bundle()?))?;
    wire.cut("model.safetensors", 0, 100);
    let (_, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "error" && view.is_clear(), "`{}`: {}", view.state, view.status);
    ensure!(wire.requests("model.safetensors").len() == 5, "attempts: {:?}", wire.requests("model.safetensors"));
    println!("{}", view.status);
    Ok(())
}

#[test]
fn a_bundle_is_fetched_once_and_a_changed_one_replaces_it() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, folder) = Site::wired(|www| small::install(www, &small::bundle()?))?;
    let url = site.page("backend=cpu");
    Page::open(&browser, &url)?;
    Page::open(&browser, &url)?;
    ensure!(wire.requests("model.safetensors").len() == 1, "fetched again: {:?}", wire.requests("model.safetensors"));
    let stored = browser.script(STORED)?;
    let Some(bytes) = stored["bytes"].as_u64().filter(|_| stored["bundles"][0]["id"] == "small") else {
        anyhow::bail!("it is not kept: {stored}");
    };

    let mut changed = small::bundle()?;
    changed.manifest.labels[0] = "a new name".into();
    let weight = changed.weights.remove("head.bias");
    let doubled = weight.map(|tensor| finegrain_page_tests::small::doubled(&tensor));
    changed.weights.insert("head.bias", doubled.unwrap_or_else(|| unreachable!("the network has a head")));
    // Its trace is that of the former weights, so the page warns; this test is about the files.
    small::install(&folder, &changed)?;
    let (_, view) = Page::open(&browser, &url)?;
    ensure!(view.state == "ready", "{}", view.status);
    let requests = wire.requests("model.safetensors");
    ensure!(requests.len() == 2 && wire.requests("trace.safetensors").len() == 1, "only what changed: {requests:?}");
    let now = browser.script(STORED)?;
    let close = now["bytes"].as_u64().is_some_and(|now| now.abs_diff(bytes) < 1000);
    ensure!(close && now["bundles"].as_array().is_some_and(|kept| kept.len() == 1), "the old one stays: {now}");
    Ok(())
}

const STORED: &str = "return import('./pkg/finegrain.js').then(({ storage }) => storage());";

#[test]
fn what_is_kept_is_shown_and_can_be_cleared() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.wait_for("document.querySelector('#kept button')")?;
    let text = browser.script("return document.querySelector('#kept').textContent;")?;
    ensure!(
        text.as_str().is_some_and(|text| text.contains("1 network") && text.contains("device: Small 0.")),
        "{text}"
    );
    browser.script("document.querySelector('#kept button').click();")?;
    page.wait_for("!document.querySelector('#kept button')")?;
    let stored = browser.script(STORED)?;
    ensure!(stored["bytes"] == 0 && stored["bundles"] == json!([]), "not cleared: {stored}");
    // What is loaded goes on.
    ensure!(page.upload(&sample("mallard.png"))?.predictions.len() == small::CLASSES, "the network is gone");
    Ok(())
}

#[test]
fn a_full_storage_is_no_reason_not_to_answer() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::start()?;
    let url = site.page("model=birds&backend=cpu");
    let origin = url.split("/?").next().unwrap_or_default();
    browser.devtools("Storage.overrideQuotaForOrigin", &json!({ "origin": origin, "quotaSize": 4_000_000 }))?;
    let (page, view) = Page::open(&browser, &url)?;
    ensure!(view.state == "ready", "{}", view.status);
    let said = page.notice("storage")?.unwrap_or_default();
    ensure!(said.contains("full") && said.contains("memory"), "nothing is said of it: {said}");
    println!("{said}");
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.state == "ready" && view.predictions.len() == 5, "no answer: {}", view.status);
    Ok(())
}

#[test]
fn two_tabs_at_once_fetch_a_bundle_once_and_both_answer() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, _) = Site::wired(|_| Ok(()))?;
    wire.pace(Duration::from_millis(5));
    let url = site.page("model=birds&backend=cpu");
    browser.open(&url)?;
    let first = browser.new_tab()?;
    browser.open(&url)?;
    let (page, second) = Page::shown(&browser)?;
    ensure!(second.state == "ready", "the second tab: {}", second.status);
    ensure!(page.upload(&sample("mallard.png"))?.predictions.len() == 5, "the second tab gives no answer");
    browser.switch_to(first)?;
    let (page, view) = Page::shown(&browser)?;
    ensure!(view.state == "ready", "the first tab: {}", view.status);
    ensure!(page.upload(&sample("mallard.png"))?.predictions.len() == 5, "the first tab gives no answer");
    ensure!(wire.requests(WEIGHTS).len() == 1, "the weights were fetched twice: {:?}", wire.requests(WEIGHTS));
    Ok(())
}

#[test]
fn a_person_stops_the_loading_and_goes_on_later() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, _) = Site::wired(|_| Ok(()))?;
    wire.pace(Duration::from_millis(20));
    browser.open(&site.page("model=birds&backend=cpu"))?;
    wait(&browser, "document.querySelector('#progress').value > 0.3")?;
    let page = Page::of(&browser);
    page.click("#loading")?;
    let (page, view) = Page::shown(&browser)?;
    ensure!(view.state == "ready" && view.is_clear() && view.status.contains("stopped"), "{}", view.status);
    wire.pace(Duration::ZERO);
    ensure!(page.text("#loading")? == "Try again", "{}", page.text("#loading")?);
    let view = page.after(|| page.click("#loading"))?;
    ensure!(view.state == "ready" && view.status.starts_with("Ready"), "{}", view.status);
    ensure!(browser.script("return document.querySelector('#loading').hidden;")? == true, "there is nothing to stop");
    let again = wire.requests(WEIGHTS).last().map(|request| start_of(request.range.as_deref()));
    ensure!(again > Some(1_000_000), "what had come was thrown away: {again:?}");
    ensure!(page.upload(&sample("mallard.png"))?.predictions.len() == 5, "no answer");
    Ok(())
}

#[test]
fn the_browser_is_asked_to_keep_the_networks() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    let count = "window.asked = 0;
        StorageManager.prototype.persist = async () => { window.asked += 1; return false; };";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": count }))?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.wait_for("window.asked === 1")
}

#[test]
fn a_photo_given_before_anything_is_loaded_gets_its_answer() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| small::install_as(www, &["birds"], &small::bundle()?))?;
    let hurry = "addEventListener('DOMContentLoaded', () => document.querySelector('[data-sample]').click());";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": hurry }))?;
    browser.open(&site.page("backend=cpu"))?;
    Page::of(&browser).wait_for("document.querySelectorAll('#predictions li').length === 5")?;
    let (_, view) = Page::shown(&browser)?;
    ensure!(view.state == "ready" && view.colours > 16, "{}", view.status);
    Ok(())
}

#[test]
fn loading_can_be_stopped() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, _) = Site::wired(|_| Ok(()))?;
    browser.open(&site.page("model=cars&backend=cpu"))?;
    wire.pace(Duration::from_millis(20));
    let name = browser.script(
        "return import('./pkg/finegrain.js').then(async ({ Classifier }) => {
             const controller = new AbortController();
             const onProgress = ({ loaded }) => loaded > 1e6 && controller.abort();
             const options = { backend: 'cpu', onProgress, signal: controller.signal };
             return Classifier.load('models/birds/', options).then(() => 'loaded', (error) => error.name);
         });",
    )?;
    ensure!(name == "AbortError", "{name}");
    Ok(())
}
