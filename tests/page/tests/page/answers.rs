//! The page's answers are the program's.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::{Page, Prediction, View};
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::program;
use finegrain_page_tests::site::Site;

/// The same pixels reach the network on the page and in the program.
pub(crate) const SAME_PIXELS: f64 = 1e-3;
/// The decoders of the browser and of the program differ by a few grey levels in a JPEG.
pub(crate) const OTHER_DECODER: f64 = 2e-2;

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
        let title = browser.script("return document.getElementById('answer-title').textContent;")?;
        let title = title.as_str().context("the answer has no title")?;
        let unknown = program::recognises(model, &photo)? == Some(false);
        ensure!(title.starts_with("Not recognised") == unknown, "{name}: the answer is called \"{title}\"");
    }
    Ok(())
}

/// The page shows five classes with the program's probabilities, in the program's order except among equals.
pub(crate) fn agree(view: &View, expected: &[Prediction], tolerance: f64) -> Result<()> {
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
