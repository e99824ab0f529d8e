//! The page as a person uses it: a photo is chosen, the answer is read.
//!
//! Run by `cargo xtask test`, which makes the wasm modules and the program `finegrain` first.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::{Page, Prediction, View};
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::program;
use finegrain_page_tests::site::Site;
use image::DynamicImage;
use serde_json::{Value, json};

/// The same pixels reach the network on the page and in the program.
const SAME_PIXELS: f64 = 1e-3;
/// The decoders of the browser and of the program differ by a few grey levels in a JPEG.
const OTHER_DECODER: f64 = 2e-2;

const BIRDS: [&str; 3] = ["mallard.png", "white_pelican.png", "blackbird_unknown.png"];
const CARS: [&str; 1] = ["convertible.png"];

#[test]
fn birds_on_webgpu_get_the_programs_answer() -> Result<()> {
    samples_agree("birds", "webgpu", &BIRDS)
}

#[test]
fn birds_on_the_cpu_get_the_programs_answer() -> Result<()> {
    samples_agree("birds", "cpu", &BIRDS)
}

#[test]
fn cars_on_webgpu_get_the_programs_answer() -> Result<()> {
    samples_agree("cars", "webgpu", &CARS)
}

#[test]
fn cars_on_the_cpu_get_the_programs_answer() -> Result<()> {
    samples_agree("cars", "cpu", &CARS)
}

fn samples_agree(model: &str, backend: &str, samples: &[&str]) -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, Site::start()?);
    let (page, view) = Page::open(&browser, &site.page(&format!("model={model}&backend={backend}")))?;
    ensure!(view.state == "ready", "the page did not load: {}", view.status);
    for name in samples {
        let photo = sample(name);
        let view = page.upload(&photo)?;
        agree(&view, &program::classify(model, &photo)?, SAME_PIXELS)
            .with_context(|| format!("{name} on {backend}"))?;
        let labels = |predictions: &[Prediction]| predictions.iter().map(|p| p.label.clone()).collect::<Vec<_>>();
        let expected = program::classify(model, &photo)?;
        ensure!(labels(&view.predictions) == labels(&expected[..5]), "{name}: other labels: {:?}", view.predictions);
    }
    Ok(())
}

/// The page shows five classes with the program's probabilities, in the program's order except among equals.
fn agree(view: &View, expected: &[Prediction], tolerance: f64) -> Result<()> {
    ensure!(view.state == "ready", "no answer: {}", view.status);
    ensure!(view.predictions.len() == 5, "{} classes instead of 5", view.predictions.len());
    for (shown, rival) in view.predictions.iter().zip(expected) {
        let same = expected.iter().find(|class| class.label == shown.label);
        let same = same.with_context(|| format!("the program does not know the class {}", shown.label))?;
        let difference = (shown.probability - same.probability).abs();
        ensure!(difference <= tolerance, "{}: {} instead of {}", same.label, shown.probability, same.probability);
        let behind = rival.probability - same.probability;
        ensure!(behind <= tolerance, "{} stands where {} belongs", same.label, rival.label);
    }
    ensure!(view.colours > 16, "canvas#attention has only {} colours", view.colours);
    Ok(())
}

/// A kind of photo and how to make it from a sample.
type Kind = (&'static str, fn(&Photos) -> Result<std::path::PathBuf>, f64);

#[test]
fn every_kind_of_photo_gets_the_programs_answer() -> Result<()> {
    let kinds: [Kind; 6] = [
        ("JPEG", |photos| photos.jpeg("mallard.png"), OTHER_DECODER),
        ("JPEG on its side", |photos| photos.lying_jpeg("mallard.png"), OTHER_DECODER),
        ("JPEG in CMYK", |photos| photos.cmyk_jpeg("mallard.png"), OTHER_DECODER),
        ("grey PNG", |photos| photos.png("mallard.png", |photo| photo.into_luma8().into()), SAME_PIXELS),
        ("16-bit PNG", |photos| photos.png("mallard.png", |photo| photo.into_rgb16().into()), SAME_PIXELS),
        ("PNG with alpha", |_| Ok(sample("mallard.png")), SAME_PIXELS),
    ];
    let (browser, site, photos) = (Browser::start(Options::default())?, Site::start()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    for (kind, make, tolerance) in kinds {
        let photo = make(&photos)?;
        let view = page.upload(&photo)?;
        agree(&view, &program::classify("birds", &photo)?, tolerance).with_context(|| kind)?;
    }
    Ok(())
}

#[test]
fn a_photo_on_its_side_gets_the_answer_of_the_upright_one() -> Result<()> {
    let (browser, site, photos) = (Browser::start(Options::default())?, Site::start()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    let lying = page.upload(&photos.lying_jpeg("mallard.png")?)?;
    // Both files are compressed on their own, so their pixels differ a little.
    agree(&lying, &program::classify("birds", &photos.jpeg("mallard.png")?)?, OTHER_DECODER)
}

#[test]
fn a_bad_file_gets_a_sentence_and_the_page_stays_usable() -> Result<()> {
    let (browser, site, photos) = (Browser::start(Options::default())?, Site::start()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    let bad = [
        photos.file("text.jpg", b"These are words, not a photo.\n")?,
        photos.file("empty.png", b"")?,
        photos.truncated_jpeg("mallard.png")?,
        photos.png("mallard.png", |_| DynamicImage::new_luma8(12_000, 9_000))?,
    ];
    for file in bad {
        let view = page.upload(&file)?;
        ensure!(view.state == "error", "{} was taken for a photo: {:?}", file.display(), view.predictions);
        ensure!(view.is_clear(), "{}: not a clear sentence: {}", file.display(), view.status);
        println!("{}: {}", file.display(), view.status);

        let good = page.upload(&sample("mallard.png"))?;
        ensure!(good.state == "ready" && good.predictions.len() == 5, "unusable afterwards: {}", good.status);
    }
    Ok(())
}

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
