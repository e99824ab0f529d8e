//! `www/example/`: the package in a page of somebody else's.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::program;
use finegrain_page_tests::site::{Site, www};

const STATUS: &str = "document.querySelector('[role=status]').textContent";

#[test]
fn the_example_names_a_bird() -> Result<()> {
    let (browser, site) = (Browser::start(Options { webgpu: false, ..Options::default() })?, Site::start()?);
    browser.open(&site.file("example/index.html"))?;
    let page = Page::of(&browser);
    page.wait_for("!document.querySelector('input').disabled")?;
    let photo = sample("mallard.png");
    browser.choose_file("input", &photo)?;
    page.wait_for("document.querySelectorAll('li').length === 5")?;
    let first = browser.script("return document.querySelector('li').textContent;")?;
    let expected = program::classify("birds", &photo)?;
    let label = &expected.first().context("the program names no class")?.label;
    ensure!(first.as_str().is_some_and(|text| text.starts_with(label.as_str())), "{first} instead of {label}");

    let photos = Photos::new()?;
    browser.choose_file("input", &photos.file("text.jpg", b"These are words, not a photo.\n")?)?;
    page.wait_for(&format!("{STATUS}.includes('text.jpg')"))?;
    let lines =
        |file| Ok::<_, anyhow::Error>(std::fs::read_to_string(www().join("example").join(file))?.lines().count());
    ensure!(lines("index.html")? + lines("example.js")? < 40, "it is to be short");
    Ok(())
}
