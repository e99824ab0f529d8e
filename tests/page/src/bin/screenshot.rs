//! Takes the README's screenshots: the page with an answer, on a desktop and on a phone.
//!
//! `cargo xtask screenshot` makes the wasm modules first.

use std::fs;

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::{Site, www};

fn main() -> Result<()> {
    let shots = [
        ("desktop-birds.png", "birds", "mallard.png", Options { size: (1280, 900), ..Options::default() }),
        ("desktop-cars.png", "cars", "convertible.png", Options { size: (1280, 900), ..Options::default() }),
        (
            "phone-birds.png",
            "birds",
            "white_pelican.png",
            Options { size: (390, 844), phone: true, ..Options::default() },
        ),
    ];
    let site = Site::start()?;
    let folder = www().join("screenshots");
    fs::create_dir_all(&folder)?;
    for (file, model, photo, options) in shots {
        let browser = Browser::start(options)?;
        let (page, _) = Page::open(&browser, &site.page(&format!("model={model}&backend=auto")))?;
        let view = page.upload(&sample(photo))?;
        ensure!(view.state == "ready", "no answer: {}", view.status);
        fs::write(folder.join(file), browser.screenshot()?).with_context(|| format!("{file} cannot be written"))?;
        println!("www/screenshots/{file}: {}", view.status);
    }
    Ok(())
}
