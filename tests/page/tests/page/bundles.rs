//! Bundles that are damaged or mean harm.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::{Value, json};

/// A way to spoil a bundle and its name.
type Damage = (&'static str, fn(&Path) -> Result<()>);

#[test]
fn a_damaged_bundle_gets_a_sentence() -> Result<()> {
    let damages: [Damage; 7] = [
        ("a wrong byte in the weights", |bundle| {
            let file = bundle.join("model.safetensors");
            let mut bytes = fs::read(&file)?;
            let last = bytes.last_mut().context("empty weights")?;
            *last ^= 1;
            Ok(fs::write(file, bytes)?)
        }),
        ("weights that end early", |bundle| {
            let file = File::options().write(true).open(bundle.join("model.safetensors"))?;
            Ok(file.set_len(file.metadata()?.len() / 2)?)
        }),
        ("no weights", |bundle| Ok(fs::remove_file(bundle.join("model.safetensors"))?)),
        ("no manifest", |bundle| Ok(fs::remove_file(bundle.join("manifest.json"))?)),
        ("a manifest that is no JSON", |bundle| Ok(fs::write(bundle.join("manifest.json"), "{")?)),
        ("an unknown format version", |bundle| change_manifest(bundle, |manifest| manifest["format"] = json!(999))),
        ("a label too few", |bundle| {
            change_manifest(bundle, |manifest| {
                manifest["labels"].as_array_mut().and_then(Vec::pop);
            })
        }),
    ];
    let browser = Browser::start(Options::default())?;
    for (damage, make) in damages {
        let site = Site::damaged(|www| make(&www.join("models/birds")))?;
        let (page, view) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
        ensure!(view.state == "error" && view.is_clear(), "{damage}: `{}`: {}", view.state, view.status);
        println!("{damage}: {}", view.status);

        let view = page.upload(&sample("mallard.png"))?;
        ensure!(view.state == "error" && view.predictions.is_empty(), "{damage}: classified all the same");
    }
    Ok(())
}

fn change_manifest(bundle: &Path, change: impl FnOnce(&mut Value)) -> Result<()> {
    let file = bundle.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&file)?)?;
    change(&mut manifest);
    Ok(fs::write(file, serde_json::to_vec(&manifest)?)?)
}

#[test]
fn a_missing_list_of_models_gets_a_sentence() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| Ok(fs::remove_file(www.join("models/index.json"))?))?;
    let (_, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "error" && view.is_clear(), "`{}`: {}", view.state, view.status);
    Ok(())
}

#[test]
fn a_bundle_that_asks_for_too_much_is_refused_before_anything_is_fetched() -> Result<()> {
    let greedy: [Damage; 4] = [
        ("a terabyte of weights", |bundle| {
            change_manifest(bundle, |manifest| manifest["files"][0]["bytes"] = json!(1u64 << 40))
        }),
        ("a size below zero", |bundle| change_manifest(bundle, |manifest| manifest["files"][0]["bytes"] = json!(-1))),
        ("a file elsewhere", |bundle| {
            change_manifest(bundle, |manifest| manifest["files"][0]["name"] = json!("../../index.html"))
        }),
        ("no hash", |bundle| change_manifest(bundle, |manifest| manifest["files"][0]["sha256"] = json!("0"))),
    ];
    let browser = Browser::start(Options::default())?;
    for (what, make) in greedy {
        let (site, wire, _) = Site::wired(|www| {
            small::install(www, &small::bundle()?)?;
            make(&www.join("models/small"))
        })?;
        let (_, view) = Page::open(&browser, &site.page("backend=cpu"))?;
        ensure!(view.state == "error" && view.is_clear(), "{what}: `{}`: {}", view.state, view.status);
        ensure!(wire.requests(".safetensors").is_empty(), "{what}: files were fetched all the same");
        println!("{what}: {}", view.status);
    }
    Ok(())
}

#[test]
fn a_network_that_does_not_fit_into_a_page_is_refused_with_a_sentence() -> Result<()> {
    // 65,536 patches a side: the map of attention alone would take terabytes.
    let site = Site::damaged(|www| {
        small::install(www, &small::bundle()?)?;
        change_manifest(&www.join("models/small"), |manifest| {
            manifest["architecture"]["image_size"] = json!([32768, 32768]);
            manifest["preprocessing"]["crop"] = json!([32768, 32768]);
            manifest["preprocessing"]["fit"] = json!("stretch");
            manifest["preprocessing"]["resize"] = json!(8192);
        })
    })?;
    let browser = Browser::start(Options::default())?;
    let (_, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "error" && view.is_clear(), "`{}`: {}", view.state, view.status);
    println!("{}", view.status);
    Ok(())
}

#[test]
fn labels_are_shown_as_text() -> Result<()> {
    let hostile = "<img src=x onerror=\"document.title='hurt'\"><b>bold</b>";
    let site = Site::damaged(|www| {
        let mut bundle = small::bundle()?;
        bundle.manifest.labels = (0..small::CLASSES).map(|class| format!("{hostile}{class}")).collect();
        bundle.manifest.title = hostile.into();
        small::install(www, &bundle)
    })?;
    let browser = Browser::start(Options::default())?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.predictions.len() == small::CLASSES, "no answer: {}", view.status);
    ensure!(view.predictions.iter().all(|shown| shown.label.starts_with(hostile)), "{:?}", view.predictions);
    let made = browser.script("return document.querySelectorAll('.answer img, .answer b, footer b').length;")?;
    ensure!(made == 0, "a label made {made} elements");
    ensure!(browser.script("return document.title;")? != "hurt", "a label ran a script");
    Ok(())
}
