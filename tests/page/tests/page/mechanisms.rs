//! Several networks for one subject: one choice in the switch, and below it one for each mechanism.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use finegrain::bundle::{MANIFEST, Manifest};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::{Page, View};
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::{Site, make_version, www};
use finegrain_page_tests::{random, small};
use serde_json::{Value, json};

use crate::beside::choose_second;
use crate::keyboard::tab_to;
use crate::layout::fits;
use crate::looking::shown;
use crate::quiet::SHIFTS;

/// The networks of the page that are tested: one for birds, and one for cars with each mechanism.
const IDS: [&str; 5] = ["birds", "cars", "cars-rga", "cars-rectify", "cars-tasn"];

/// What stands in the switch and in the choice below it, the checked one with a star; nothing where there is no choice.
const CHOICES: &str =
    "return ['#models', '#mechanisms'].map((place) => [...document.querySelectorAll(`${place} label`)]
    .filter((label) => label.checkVisibility())
    .map((label) => label.textContent + (label.querySelector('input').checked ? '*' : '')).join('|'));";

/// Puts them into the page's folder, as its only models; those for cars share a choice.
pub(crate) fn install(www: &Path) -> Result<()> {
    let (plain, gated, rectified, resampling) =
        (small::bundle()?, random::gated()?, random::rectified()?, random::resampling()?);
    let bundles = [&plain, &plain, &gated, &rectified, &resampling];
    small::install_all(www, &IDS.into_iter().zip(bundles).collect::<Vec<_>>())?;
    let file = www.join("models/index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&file)?)?;
    for (entry, id) in index["models"].as_array_mut().context("a list")?.iter_mut().zip(IDS) {
        match id {
            "birds" => entry["title"] = json!("Birds: 5 classes"),
            "cars" => entry["title"] = json!("Cars: 5 classes"),
            _ => entry["subject"] = json!("cars"),
        }
    }
    Ok(fs::write(file, index.to_string())?)
}

fn choices(browser: &Browser, subjects: &str, mechanisms: &str) -> Result<()> {
    let found = browser.script(CHOICES)?;
    ensure!(found == json!([subjects, mechanisms]), "{found} instead of {subjects} and {mechanisms}");
    Ok(())
}

fn numbers(view: &View) -> Vec<f64> {
    view.predictions.iter().map(|prediction| prediction.probability).collect()
}

fn choose(page: &Page<'_>, place: &str, id: &str) -> Result<View> {
    page.after(|| page.click(&format!("#{place} input[value=\"{id}\"]")))
}

#[test]
fn a_subject_with_several_networks_is_one_choice_and_each_runs_the_photo_again() -> Result<()> {
    let (site, wire, _) = Site::wired(install)?;
    let browser = Browser::start(Options { webgpu: false, ..Options::default() })?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    choices(&browser, "Birds*|Cars", "")?;
    let said = || page.text("#mechanism-said");
    ensure!(said()?.starts_with("DCAL: the patches"), "{}", said()?);
    let birds = page.upload(&sample("convertible.png"))?;

    let fetched = || IDS.map(|id| !wire.requests(&format!("/models/{id}/model.safetensors")).is_empty());
    ensure!(fetched() == [true, false, false, false, false], "{:?}", fetched());
    let cars = choose(&page, "models", "cars")?;
    choices(&browser, "Birds|Cars*", "DCAL*|RGA|Attend and Rectify|TASN")?;
    // The same weights by another name.
    ensure!(cars.state == "ready" && cars.predictions.len() == birds.predictions.len(), "{}", cars.status);
    ensure!(fetched() == [true, true, false, false, false], "fetched before it was chosen: {:?}", fetched());

    let mut answers = vec![numbers(&cars)];
    for (id, expected, does) in [
        ("cars-rga", "DCAL|RGA*|Attend and Rectify|TASN", "RGA: gates "),
        ("cars-rectify", "DCAL|RGA|Attend and Rectify*|TASN", "Attend and Rectify: modules "),
        ("cars-tasn", "DCAL|RGA|Attend and Rectify|TASN*", "TASN: the photo "),
    ] {
        let view = choose(&page, "mechanisms", id)?;
        choices(&browser, "Birds|Cars*", expected)?;
        ensure!(said()?.starts_with(does), "{id}: {}", said()?);
        let title = shown(&browser, &format!("document.querySelector('#mechanisms input[value={id}]').title"))?;
        let told = said()?.split_once(": ").is_some_and(|(_, does)| title.contains(&does[1..]));
        ensure!(told && title.contains("5 classes"), "{id}: {title}");
        ensure!(view.state == "ready" && view.predictions.len() == small::CLASSES, "{id}: {}", view.status);
        ensure!(!answers.contains(&numbers(&view)), "{id}: another network's answer");
        answers.push(numbers(&view));
        ensure!(shown(&browser, "new URL(location).searchParams.get('model')")? == id, "the address names another");
        let examples =
            shown(&browser, "document.querySelector('[data-sample=\"convertible.png\"]').checkVisibility()")?;
        ensure!(examples == "true", "{id}: the examples for cars are gone");
    }

    // Birds and back: it is the mechanism that was used last. By its address, too.
    choose(&page, "models", "birds")?;
    choices(&browser, "Birds*|Cars", "")?;
    choose(&page, "models", "cars")?;
    choices(&browser, "Birds|Cars*", "DCAL|RGA|Attend and Rectify|TASN*")?;
    Page::open(&browser, &site.page("model=cars-rga&backend=cpu"))?;
    choices(&browser, "Birds|Cars*", "DCAL|RGA*|Attend and Rectify|TASN")
}

#[test]
fn two_mechanisms_stand_side_by_side_on_one_photo() -> Result<()> {
    let site = Site::damaged(install)?;
    let browser = Browser::start(Options { webgpu: false, ..Options::default() })?;
    let (page, _) = Page::open(&browser, &site.page("model=cars-rectify&backend=cpu"))?;
    page.upload(&sample("convertible.png"))?;
    browser.script("document.getElementById('look').open = true;")?;
    let offered = shown(&browser, "[...document.getElementById('second').options].map(({ text }) => text).join('|')")?;
    ensure!(offered == "This photo by another network…|Birds|Cars, DCAL|Cars, RGA|Cars, TASN", "{offered}");
    choose_second(&browser, "cars-rga")?;
    page.wait_for("document.querySelectorAll('#pair figure').length === 2")?;
    browser.script("document.querySelector('input[name=\"pair-view\"][value=\"own\"]').click();")?;
    let seen =
        "[...document.querySelectorAll('#pair canvas')].map((canvas) => canvas.getAttribute('aria-label')).join('|')";
    let seen = shown(&browser, seen)?;
    ensure!(
        seen.starts_with("Cars, Attend and Rectify: Rectify’s masks") && seen.contains("|Cars, RGA: RGA’s gates"),
        "{seen}"
    );
    // It is looked at beside the page's network, not in its place.
    choices(&browser, "Birds|Cars*", "DCAL|RGA|Attend and Rectify*|TASN")
}

#[test]
fn nothing_moves_when_subject_or_mechanism_changes_and_all_is_in_reach() -> Result<()> {
    for (size, phone) in [((1280, 900), false), ((390, 844), true), ((320, 700), true)] {
        let site = Site::damaged(install)?;
        let browser = Browser::start(Options { webgpu: false, size, phone, ..Options::default() })?;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": SHIFTS }))?;
        let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
        page.wait_for("document.querySelector('#kept').textContent")?;
        page.upload(&sample("mallard.png"))?;
        // The photo has come, and what it moved with it.
        browser.script("window.shifts.splice(0);")?;
        for (place, id) in [("models", "cars"), ("mechanisms", "cars-tasn"), ("models", "birds"), ("models", "cars")] {
            choose(&page, place, id)?;
            let shifts = browser.script("return window.shifts.splice(0);")?;
            // On the narrowest phones what is said of an answer is itself longer than its room.
            ensure!(shifts == json!([]) || size.0 < 390, "{id}, {size:?}: {shifts:#}");
        }
        if phone {
            fits(&browser, "a choice of mechanisms")?;
        }
        // None is cut off; on the narrowest ones the row scrolls.
        let cut = browser.script(
            "return [...document.querySelectorAll('#mechanisms label')].filter((label) => {
                 const [span, { left, right }] = [label.querySelector('span'), label.getBoundingClientRect()];
                 return span.scrollWidth > span.clientWidth || (innerWidth >= 390 && (left < 0 || right > innerWidth));
             }).map(({ textContent }) => textContent);",
        )?;
        ensure!(cut == json!([]), "cut off at {size:?}: {cut}");
    }
    Ok(())
}

#[test]
fn a_mechanism_is_chosen_with_the_keyboard_and_stays_offline() -> Result<()> {
    let (site, wire, _) = Site::wired(|www| {
        install(www)?;
        make_version(www)
    })?;
    let browser = Browser::start(Options { webgpu: false, ..Options::default() })?;
    let (page, _) = Page::open(&browser, &site.page("model=cars&backend=cpu"))?;
    tab_to(&browser, "#mechanisms input")?;
    page.after(|| browser.press("ArrowRight", 0))?;
    choices(&browser, "Birds|Cars*", "DCAL|RGA*|Attend and Rectify|TASN")?;
    let focused = shown(&browser, "document.activeElement.value")?;
    ensure!(focused == "cars-rga", "the focus is on {focused}");
    page.is_kept()?;

    wire.down(true);
    browser.reload()?;
    let (page, view) = Page::shown(&browser)?;
    ensure!(view.state == "ready", "offline: {}", view.status);
    choices(&browser, "Birds|Cars*", "DCAL|RGA*|Attend and Rectify|TASN")?;
    ensure!(page.upload(&sample("convertible.png"))?.predictions.len() == small::CLASSES, "no answer offline");
    // One that was never chosen is not there, which is said; the others still are.
    let view = choose(&page, "mechanisms", "cars-tasn")?;
    ensure!(view.state == "error" && view.is_clear(), "{}: {}", view.state, view.status);
    let view = choose(&page, "mechanisms", "cars")?;
    ensure!(view.state == "ready" && view.predictions.len() == small::CLASSES, "{}", view.status);
    Ok(())
}

#[test]
fn what_the_page_lists_as_one_subject_names_the_same_classes() -> Result<()> {
    let index: Value = serde_json::from_slice(&fs::read(www().join("models/index.json"))?)?;
    let entries = index["models"].as_array().context("a list")?;
    let mut classes = HashMap::new();
    let mut mechanisms = Vec::new();
    for entry in entries {
        let id = entry["id"].as_str().context("an id")?;
        let path = www().join(entry["path"].as_str().context("a path")?);
        let manifest = Manifest::read(&fs::read(path.join(MANIFEST))?)?;
        let mechanism = &serde_json::to_value(&manifest.architecture.mechanism)?["name"];
        ensure!(entry["mechanism"] == *mechanism, "{id}: {mechanism} is listed as {}", entry["mechanism"]);
        let subject = entry["subject"].as_str().unwrap_or(id);
        ensure!(entries.iter().any(|other| other["id"] == subject), "{id}: its subject {subject} is not listed");
        ensure!(!mechanisms.contains(&(subject, mechanism.clone())), "{subject} has {mechanism} twice");
        mechanisms.push((subject, mechanism.clone()));
        let known = classes.entry(subject).or_insert_with(|| manifest.labels.clone());
        ensure!(*known == manifest.labels, "{id} names other classes than {subject}");
    }

    let browser = Browser::start(Options { webgpu: false, ..Options::default() })?;
    let (page, _) = Page::open(&browser, &Site::start()?.page("backend=cpu"))?;
    let count = browser.script("return document.querySelectorAll('#models label').length;")?;
    ensure!(count == classes.len(), "{count} choices for {} subjects", classes.len());
    for subject in classes.keys() {
        page.click(&format!("#models input[value=\"{subject}\"]"))?;
        let count = browser.script("return document.querySelectorAll('#mechanisms label').length;")?;
        let several = mechanisms.iter().filter(|(known, _)| known == subject).count();
        ensure!(count == if several > 1 { several } else { 0 }, "{count} mechanisms of {several} for {subject}");
        ensure!(!page.text("#mechanism-said")?.is_empty(), "nothing is said of {subject}'s mechanism");
    }
    Ok(())
}
