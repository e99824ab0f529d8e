//! How long it takes from opening the page to the first answer when everything is kept already, and the memory that the
//! browser takes for it: `opening [RUNS]`.
//!
//! `cargo xtask bench --opening` makes the wasm modules first.

use anyhow::{Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::peaks::peaks;
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::site::Site;
use serde::Deserialize;
use serde_json::json;

/// Before the page: a person who chooses the first example as soon as there is something to click on.
const HURRY: &str = "addEventListener('DOMContentLoaded', () => {
    window.marks = {};
    const mark = (name) => { window.marks[name] ??= performance.now(); };
    new MutationObserver(() => {
        if (document.querySelector('#predictions li')) mark('answer');
    }).observe(document.querySelector('#predictions'), { childList: true });
    mark('asked');
    document.querySelector('[data-sample]').click();
});";

/// Milliseconds since the page was opened.
#[derive(Deserialize)]
struct Marks {
    asked: f64,
    answer: f64,
}

fn main() -> Result<()> {
    let runs = std::env::args().nth(1).map_or(Ok(5), |runs| runs.parse())?;
    ensure!(runs > 0, "at least one run");
    let site = Site::start()?;
    println!("from opening the page to the first answer, everything kept ({runs} runs, sorted):");
    for backend in ["auto", "webgpu"] {
        opening(&site, backend, runs)?;
    }
    println!(
        "\nmemory with the birds (peak of all since the start, MB; of the tab's process, of the graphics process):"
    );
    for backend in ["cpu", "webgpu"] {
        memory(&site, backend)?;
    }
    Ok(())
}

fn opening(site: &Site, backend: &str, runs: usize) -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let url = site.page(&format!("model=birds&backend={backend}"));
    let (page, view) = Page::open(&browser, &url)?;
    ensure!(view.state == "ready", "{}", view.status);
    page.is_kept()?;
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": HURRY }))?;
    let (mut asked, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        browser.open("about:blank")?;
        browser.open(&url)?;
        let page = Page::of(&browser);
        page.wait_for("window.marks?.answer")?;
        let marks: Marks = serde_json::from_value(browser.script("return window.marks;")?)?;
        asked.push(marks.asked);
        answers.push(marks.answer);
    }
    println!("backend={backend}: asked after {} ms, answered after {} ms", sorted(&mut asked), sorted(&mut answers));
    Ok(())
}

fn sorted(times: &mut [f64]) -> String {
    times.sort_by(f64::total_cmp);
    times.iter().map(|time| format!("{time:.0}")).collect::<Vec<_>>().join(" ")
}

/// What a tab takes at the most on the way, step by step.
fn memory(site: &Site, backend: &str) -> Result<()> {
    let photos = Photos::new()?;
    let browser = Browser::start(Options::default())?;
    let tell = |step: &str| -> Result<()> {
        let [tab, graphics] = peaks(browser.profile())?;
        println!("backend={backend}, {step}: {:.0}, {:.0}", tab / 1e6, graphics / 1e6);
        Ok(())
    };
    browser.open("about:blank")?;
    tell("an empty tab")?;
    let (page, view) = Page::open(&browser, &site.page(&format!("model=birds&backend={backend}")))?;
    ensure!(view.state == "ready", "{}", view.status);
    tell("loaded")?;
    // Looking at the canvas, as tests do, takes memory, too: only the list is looked at.
    browser.script(
        "window.answers = 0;
         const list = document.querySelector('#predictions');
         new MutationObserver(() => { window.answers += Number(list.childElementCount > 0); }).observe(list, { childList: true });",
    )?;
    let steps = [("a small photo", None), ("12 megapixels", Some((4000, 3000))), ("40 megapixels", Some((7360, 5440)))];
    for (i, (step, size)) in steps.into_iter().enumerate() {
        let photo = match size {
            None => sample("mallard.png"),
            Some((width, height)) => photos.large_jpeg("mallard.png", width, height)?,
        };
        browser.choose_file("input#photo", &photo)?;
        page.wait_for(&format!("window.answers > {i}"))?;
        tell(step)?;
    }
    Ok(())
}
