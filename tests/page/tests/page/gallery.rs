//! Several photos at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::{Value, json};

const TILES: &str = "return [...document.querySelectorAll('#gallery li button')].map((tile) => ({
    state: tile.dataset.state, label: tile.dataset.label, text: tile.querySelector('.best').textContent,
    share: tile.querySelector('.share').textContent, drawn: tile.querySelector('canvas').dataset.drawn ?? 'no',
    tab: tile.tabIndex, current: tile.getAttribute('aria-current') ?? '' }));";

fn small_site() -> Result<Site> {
    Site::damaged(|www| small::install(www, &small::bundle()?))
}

/// Three photos and, third, a file that is none.
fn four(photos: &Photos) -> Result<Vec<PathBuf>> {
    let broken = photos.file("broken.jpg", b"These are words.")?;
    Ok(vec![sample("mallard.png"), sample("white_pelican.png"), broken, sample("convertible.png")])
}

fn paths(files: &[PathBuf]) -> Vec<&Path> {
    files.iter().map(PathBuf::as_path).collect()
}

#[test]
fn several_photos_get_a_tile_each() -> Result<()> {
    let (browser, site, photos) = (Browser::start(Options::default())?, small_site()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let alone = page.upload(&sample("convertible.png"))?;
    let files = four(&photos)?;
    page.after(|| browser.choose_files("input#photo", &paths(&files)))?;
    page.wait_for("document.querySelector('#status').textContent.includes('could not be used')")?;
    let status = page.text("#status")?;
    ensure!(status.contains("3 photos looked at; 1 could not be used."), "{status}");
    let tiles = browser.script(TILES)?;
    let states: Vec<&str> = tiles.as_array().into_iter().flatten().filter_map(|tile| tile["state"].as_str()).collect();
    ensure!(states == ["ready", "ready", "error", "ready"], "{tiles}");
    let said = tiles[2]["text"].as_str().unwrap_or_default();
    ensure!(said.contains("broken.jpg") && said.ends_with('.'), "{said}");
    ensure!(tiles[3]["label"] == alone.predictions[0].label.as_str() && tiles[3]["drawn"] == "yes", "{tiles}");
    ensure!(tiles[3]["share"].as_str().is_some_and(|share| share.ends_with('%')), "{tiles}");

    // One stop of the Tab key; arrows walk, Enter shows.
    let stops = |tiles: &Value| tiles.as_array().into_iter().flatten().filter(|tile| tile["tab"] == 0).count();
    ensure!(stops(&tiles) == 1, "{tiles}");
    browser.script("document.querySelector('#gallery li button').focus();")?;
    for _ in 0..3 {
        browser.press("ArrowRight", 0)?;
    }
    browser.press("Enter", 0)?;
    page.wait_for("document.querySelectorAll('#gallery li button')[3].getAttribute('aria-current') === 'true'")?;
    page.wait_for("document.querySelectorAll('#predictions li').length > 0")?;
    let (_, shown) = Page::shown(&browser)?;
    for (found, expected) in shown.predictions.iter().zip(&alone.predictions) {
        ensure!(found.label == expected.label && (found.probability - expected.probability).abs() < 1e-6, "{shown:?}");
    }
    ensure!(shown.colours > 10 && stops(&browser.script(TILES)?) == 1, "the photo is not shown");

    // A file that is no photo shows no other photo's answer.
    browser.script("document.querySelectorAll('#gallery li button')[2].click();")?;
    page.wait_for("document.querySelectorAll('#predictions li').length === 0")?;
    // One more joins; clearing leaves the stage alone.
    page.after(|| browser.choose_file("input#photo", &sample("mallard.png")))?;
    page.wait_for("document.querySelectorAll('#gallery li button[data-state=ready]').length === 4")?;
    page.click("#gallery [data-action=clear]")?;
    ensure!(browser.script("return document.querySelector('#gallery').hidden;")? == true, "the gallery stays");
    ensure!(page.upload(&sample("convertible.png"))?.state == "ready", "unusable afterwards");
    Ok(())
}

#[test]
fn photos_and_folders_are_dropped() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let all_ready = |count: usize| {
        page.wait_for(&format!("document.querySelectorAll('#gallery li button[data-state=ready]').length === {count}"))
    };
    browser.drop_files(&[&sample("mallard.png"), &sample("white_pelican.png")])?;
    all_ready(2)?;
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("deeper"))?;
    for (from, to) in [("mallard.png", "one.png"), ("convertible.png", "deeper/two.png")] {
        fs::copy(sample(from), folder.path().join(to))?;
    }
    fs::write(folder.path().join("notes.txt"), "not a photo, and nobody chose it by name")?;
    browser.drop_files(&[folder.path()])?;
    all_ready(4)?;
    let names =
        browser.script("return [...document.querySelectorAll('#gallery .file-name')].map((e) => e.textContent);")?;
    ensure!(names == json!(["mallard.png", "white_pelican.png", "one.png", "two.png"]), "{names}");

    let empty = tempfile::tempdir()?;
    fs::write(empty.path().join("notes.txt"), "nothing to look at")?;
    let view = page.after(|| browser.drop_files(&[empty.path()]))?;
    ensure!(view.state == "error" && view.is_clear() && view.status.contains("no photos"), "{}", view.status);
    Ok(())
}

#[test]
fn a_long_row_can_be_stopped_and_gone_on_with() -> Result<()> {
    let (browser, site, photos) = (Browser::start(Options::default())?, small_site()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let bytes = fs::read(sample("mallard.png"))?;
    let files: Vec<PathBuf> = (0..40).map(|i| photos.file(&format!("{i}.png"), &bytes)).collect::<Result<_>>()?;
    // Stopped by the page itself after the third: no test is quick enough.
    browser.script(
        "const watch = new MutationObserver(() => {
             if (document.querySelectorAll('#gallery li button[data-state=ready]').length < 3) return;
             watch.disconnect();
             document.querySelector('#gallery [data-action=stop]').click();
         });
         watch.observe(document.querySelector('#gallery'), { subtree: true, attributes: true, childList: true });",
    )?;
    page.after(|| browser.choose_files("input#photo", &paths(&files)))?;
    page.wait_for("document.querySelector('#status').textContent.startsWith('Stopped')")?;
    let done = "return document.querySelectorAll('#gallery li button[data-state=ready]').length;";
    let stopped = browser.script(done)?.as_u64().context("a count")?;
    ensure!((3..40).contains(&stopped), "{stopped} photos");
    sleep(Duration::from_millis(500));
    ensure!(browser.script(done)? == stopped, "it goes on by itself");
    page.after(|| page.click("#gallery [data-action=stop]"))?;
    page.wait_for("document.querySelectorAll('#gallery li button[data-state=ready]').length === 40")?;
    ensure!(page.text("#gallery .count")? == "40 of 40");
    Ok(())
}

#[test]
fn the_table_is_safe_to_open_in_other_programs() -> Result<()> {
    let site = Site::damaged(|www| {
        let mut bundle = small::bundle()?;
        bundle.manifest.labels = (0..small::CLASSES).map(|class| format!("@sum, \"{class}\"")).collect();
        small::install(www, &bundle)
    })?;
    let (browser, photos, folder) = (Browser::start(Options::default())?, Photos::new()?, tempfile::tempdir()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let photo = fs::read(sample("mallard.png"))?;
    let files =
        [photos.file("=cmd.png", &photo)?, photos.file("a \"b\", c.png", &photo)?, photos.file("-1.png", b"no")?];
    page.after(|| browser.choose_files("input#photo", &paths(&files)))?;
    page.wait_for("document.querySelector('#status').textContent.includes('could not be used')")?;
    let download = json!({ "behavior": "allow", "downloadPath": folder.path() });
    browser.devtools("Browser.setDownloadBehavior", &download)?;

    page.click("#gallery [data-action=csv]")?;
    let csv = saved(&folder.path().join("finegrain.csv"))?;
    let lines: Vec<&str> = csv.split("\r\n").collect();
    ensure!(lines.len() == 5 && lines[4].is_empty(), "{csv}");
    ensure!(lines[0].starts_with("\"file\",\"bundle\",\"recognised\",\"label_1\",\"probability_1\""), "{csv}");
    ensure!(lines[1].starts_with("\"'=cmd.png\",\"small\",\"\",\"'@sum, \"\""), "{csv}");
    ensure!(lines[2].starts_with("\"a \"\"b\"\", c.png\","), "{csv}");
    ensure!(lines[3].starts_with("\"'-1.png\",") && lines[3].contains("try a JPEG"), "{csv}");

    page.click("#gallery [data-action=json]")?;
    let table: Value = serde_json::from_str(&saved(&folder.path().join("finegrain.json"))?)?;
    ensure!(table["bundle"]["id"] == "small", "{table}");
    ensure!(table["photos"][0]["file"] == "=cmd.png" && table["photos"][2]["error"].is_string(), "{table}");
    let predictions = table["photos"][1]["predictions"].as_array().context("predictions")?;
    let sum: f64 = predictions.iter().filter_map(|p| p["probability"].as_f64()).sum();
    ensure!(predictions.len() == small::CLASSES && (sum - 1.0).abs() < 1e-4, "{table}");
    let label = predictions[0]["label"].as_str().unwrap_or_default().replace('"', "\"\"");
    ensure!(lines[2].contains(&format!("\"'{label}\",{}", predictions[0]["probability"])), "{csv}");
    Ok(())
}

/// A file that the browser is still writing.
fn saved(file: &Path) -> Result<String> {
    for _ in 0..200 {
        if let Ok(text) = fs::read_to_string(file)
            && !text.is_empty()
        {
            return Ok(text);
        }
        sleep(Duration::from_millis(50));
    }
    bail!("{} was not saved", file.display())
}
