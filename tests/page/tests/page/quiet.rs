//! What nobody should notice: the main thread stays free, memory stays where it is, nothing leaves the device.

use anyhow::{Context, Result, ensure};
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
const ATTEMPTS: usize = 4;

#[test]
fn no_task_of_the_main_thread_is_long() -> Result<()> {
    let (site, photos) = (Site::start()?, Photos::new()?);
    // As from a phone: 12 megapixels.
    let photo = photos.large_jpeg("mallard.png", 4000, 3000)?;
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        let browser = Browser::start(Options::default())?;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }))?;
        let (page, view) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
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

#[test]
fn switches_and_photos_leave_memory_where_it_was() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    Page::open(&browser, &site.page("backend=cpu"))?;
    let measured = measure(&browser, "cpu", 20, 200)?;
    println!("CPU: {measured}");
    stays(&measured["wasm"], 0.0).context("wasm memory over 200 photos")?;
    stays(&measured["all"], 8e6).context("all memory of the page over 20 switches")?;
    Ok(())
}

#[test]
fn the_graphics_device_gets_its_memory_back() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    Page::open(&browser, &site.page("backend=cpu"))?;
    let measured = measure(&browser, "webgpu", 3, 10)?;
    println!("WebGPU: {measured}");
    stays(&measured["wasm"], 0.0).context("wasm memory")?;
    stays(&measured["gpu"], 0.0).context("buffers on the device")?;
    ensure!(measured["gpu"][0].as_f64() > Some(1e5), "nothing was counted");
    ensure!(measured["freed"] == json!({ "wasm": 0, "gpu": 0 }), "{measured}");
    Ok(())
}

/// Loads, classifies and frees again and again; gives what memory was taken on the way.
fn measure(browser: &Browser, backend: &str, switches: usize, photos: usize) -> Result<Value> {
    browser.script(&format!(
        "return import('./pkg/finegrain.js').then(async ({{ Classifier }}) => {{
             const photo = await (await fetch('samples/mallard.png')).blob();
             const all = [], wasm = [], gpu = [];
             const load = () => Classifier.load('models/small/', {{ backend: '{backend}' }});
             let freed;
             for (let i = 0; i < {switches}; i += 1) {{
                 const classifier = await load();
                 await classifier.classify(photo);
                 gpu.push((await classifier.memory()).gpu);
                 classifier.free();
                 freed = await classifier.memory();
                 await new Promise((resolve) => setTimeout(resolve, 50));
                 if (i % 5 === 4) all.push((await performance.measureUserAgentSpecificMemory()).bytes);
             }}
             const classifier = await load();
             for (let i = 0; i < {photos}; i += 1) {{
                 await classifier.classify(photo);
                 if (i % 5 === 4) wasm.push((await classifier.memory()).wasm);
             }}
             classifier.free();
             return {{ all, wasm, gpu, freed }};
         }});"
    ))
}

/// The last is not more than the first by more than `room`.
fn stays(values: &Value, room: f64) -> Result<()> {
    let values: Vec<f64> = values.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let [first, .., last] = values[..] else { anyhow::bail!("too few values: {values:?}") };
    ensure!(last - first <= room, "it grows: {values:?}");
    Ok(())
}
