//! What nobody should notice: the main thread stays free, nothing moves on the page, nothing leaves the device.

use std::time::Duration;

use anyhow::{Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::site::{Site, make_version};
use finegrain_page_tests::small;
use serde_json::{Value, json};

/// Before every page: keeps its long tasks (more than 50 ms, by the browser's definition).
const WATCH: &str = "window.long = [];
    new PerformanceObserver((list) => window.long.push(...list.getEntries().map(({ startTime, duration }) => [startTime, duration])))
        .observe({ type: 'longtask', buffered: true });";

/// The browser counts wall time, and this machine is shared: one quiet run in a few shows that the work is not the page's.
const ATTEMPTS: usize = 6;

#[test]
fn no_task_of_the_main_thread_is_long_with_the_cpu() -> Result<()> {
    no_task_is_long(&Site::start()?, "model=birds&backend=cpu")
}

/// With the small network: SwiftShader's threads would take the cores from the main thread, and the browser counts wall time.
#[test]
fn no_task_of_the_main_thread_is_long_with_webgpu() -> Result<()> {
    no_task_is_long(&Site::damaged(|www| small::install(www, &small::bundle()?))?, "backend=webgpu")
}

fn no_task_is_long(site: &Site, query: &str) -> Result<()> {
    let photos = Photos::new()?;
    // As from a phone: 12 megapixels.
    let photo = photos.large_jpeg("mallard.png", 4000, 3000)?;
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        let browser = Browser::start(Options::default())?;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }))?;
        let (page, view) = Page::open(&browser, &site.page(query))?;
        ensure!(view.state == "ready", "{}", view.status);
        let loading = browser.script("return window.long.splice(0);")?;
        // Not `upload`: it reads the canvas back, which is the test's own long task.
        browser.choose_file("input#photo", &photo)?;
        page.wait_for("document.querySelectorAll('#predictions li').length === 5")?;
        // Looking at the canvas is the test's work, not the page's; it comes after this.
        let running = browser.script("return window.long;")?;
        if loading == json!([]) && running == json!([]) {
            return Ok(());
        }
        found.push(format!("loading {loading}, running {running}"));
    }
    anyhow::bail!("long tasks (start, duration): {found:#?}")
}

/// Before every page: keeps what moved on it, and how far (the browser's layout shift score).
pub(crate) const SHIFTS: &str = "window.shifts = [];
    new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map(({ startTime, value, sources }) =>
        [startTime, value, ...sources.map(({ node }) => node?.id || node?.className || node?.nodeName)])))
        .observe({ type: 'layout-shift', buffered: true });";

#[test]
fn nothing_moves_while_the_page_loads_and_answers() -> Result<()> {
    for (size, phone) in [((1280, 900), false), ((390, 844), true)] {
        let browser = Browser::start(Options { size, phone, ..Options::default() })?;
        let (site, wire, _) = Site::wired(|_| Ok(()))?;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": SHIFTS }))?;
        // Slow enough for every state on the way to be drawn; the second visit has all in storage.
        for (visit, pause) in [("first", 5), ("second", 0)] {
            wire.pace(Duration::from_millis(pause));
            let (page, view) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
            ensure!(view.state == "ready", "{}", view.status);
            page.wait_for("document.querySelector('#kept').textContent")?;
            let shifts = browser.script("return window.shifts;")?;
            ensure!(shifts == json!([]), "{visit} visit, {size:?}: {shifts:#}");
            page.upload(&sample("mallard.png"))?;
            let shifts = browser.script("return window.shifts.splice(0);")?;
            // On a phone the first photo brings its answer up, above the other ways in.
            ensure!(phone || shifts == json!([]), "an answer, {visit} visit, {size:?}: {shifts:#}");
            // Of the same shape: another one has its edges elsewhere.
            page.upload(&sample("mallard.png"))?;
            let shifts = browser.script("return window.shifts.splice(0);")?;
            ensure!(shifts == json!([]), "another answer, {visit} visit, {size:?}: {shifts:#}");
            // What would move the page is seen.
            browser.script(
                "document.body.prepend(Object.assign(document.createElement('p'), { textContent: 'here' }));",
            )?;
            page.wait_for("window.shifts.length > 0")?;
        }
    }
    Ok(())
}

#[test]
fn nothing_is_sent_anywhere() -> Result<()> {
    let browser = Browser::start(Options { net_log: true, ..Options::default() })?;
    let (site, wire, _) = Site::wired(|www| {
        small::install(www, &small::bundle()?)?;
        make_version(www)
    })?;
    let url = site.page("backend=cpu");
    let origin = url.split("/?").next().unwrap_or_default().to_owned();
    let (page, _) = Page::open(&browser, &url)?;
    page.is_kept()?;
    let before = wire.requests("").len();
    page.upload(&sample("mallard.png"))?;
    page.upload(&sample("white_pelican.png"))?;
    let asked: Vec<String> = wire.requests("").into_iter().map(|request| request.method).collect();
    ensure!(asked.iter().all(|method| method == "GET"), "{asked:?}");
    let later = wire.requests("").split_off(before);
    ensure!(later.iter().all(|request| !request.path.contains("models/")), "a photo made it ask for {later:?}");

    // The browser's own account of everything that the page and its worker asked for.
    let log = browser.end()?;
    let mut seen = 0;
    for event in log.lines().filter(|line| line.contains(&format!("\"initiator\":\"{origin}\""))) {
        let event: Value = serde_json::from_str(event.trim_end_matches(','))?;
        let parameters = &event["params"];
        let (method, target) = (parameters["method"].as_str(), parameters["url"].as_str());
        let (Some(method), Some(target)) = (method, target) else { continue };
        ensure!(method == "GET" && target.starts_with(&origin), "{method} {target}");
        seen += 1;
    }
    ensure!(seen > 10, "the log tells of {seen} requests only");
    Ok(())
}
