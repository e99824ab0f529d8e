//! What is sure where no class is, and what the network is known to mix up.

use anyhow::{Context, Result, ensure};
use finegrain::bundle::{Confused, Level, SURE_FROM, UNSURE_BELOW};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;

#[test]
fn a_coarser_answer_and_known_mistakes_are_told() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let plain = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    let (page, _) = Page::open(&browser, &plain.page("backend=cpu"))?;
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(page.text("#coarser")?.is_empty() && page.text("#confused")?.is_empty(), "told without a hierarchy");
    ensure!(page.text("#answer-title")? == "Most probable");
    ensure!(page.text("#calibrated")? == "not calibrated", "the bundle has no calibration");
    // The network's random weights are unsure, which the test needs.
    let class = |at: usize| -> Result<usize> {
        let label = &view.predictions.get(at).context("too few classes")?.label;
        Ok(label.trim_start_matches("class ").parse()?)
    };
    let (first, second, last) = (class(0)?, class(1)?, class(small::CLASSES - 1)?);
    let share =
        |class: usize| view.predictions.iter().find(|p| p.label == format!("class {class}")).map(|p| p.probability);
    ensure!(view.predictions[0].probability < f64::from(UNSURE_BELOW), "{view:?}");

    // All but the least probable class are "Most"; "First" is the most probable class alone.
    let most =
        Level::of_names("kind", (0..small::CLASSES).map(|c| Some(if c == last { "Least" } else { "<i>Most</i>" })));
    let alone = Level::of_names("make", (0..small::CLASSES).map(|c| Some(if c == first { "First" } else { "Other" })));
    let sum = 1.0 - share(last).context("the last class")?;
    ensure!(sum >= f64::from(SURE_FROM), "the sum is {sum}: the test's network has changed");
    let site = Site::damaged(|www| {
        let mut bundle = small::bundle()?;
        bundle.manifest.hierarchy = vec![alone, most];
        bundle.manifest.confused = vec![
            Confused { right: first, named: second, photos: 3, of: 41 },
            Confused { right: last, named: first, photos: 9, of: 10 },
        ];
        small::install(www, &bundle)
    })?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.upload(&sample("mallard.png"))?;
    ensure!(page.text("#answer-title")? == "Not sure which one; most probable", "{}", page.text("#answer-title")?);
    let coarser = page.text("#coarser")?;
    ensure!(coarser == format!("Sure: kind <i>Most</i> ({:.1} %).", 100.0 * sum), "{coarser}");
    let confused = page.text("#confused")?;
    ensure!(confused == format!("On test photos it took class {first} for class {second} in 3 of 41."), "{confused}");
    let spoken = page.text("#status .unseen")?;
    ensure!(spoken.contains("Sure: kind"), "{spoken}");
    Ok(())
}

#[test]
fn a_hierarchy_that_leaves_out_a_class_is_refused() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| {
        small::install(www, &small::bundle()?)?;
        let file = www.join("models/small/manifest.json");
        let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        manifest["hierarchy"] = serde_json::json!([{ "name": "kind", "groups": ["all"], "of_class": [0, 0, 0, 0] }]);
        Ok(std::fs::write(file, manifest.to_string())?)
    })?;
    let (_, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "error" && view.is_clear() && view.status.contains("kind"), "{}", view.status);
    Ok(())
}
