//! Takes the README's screenshots: the page with an answer, wide and narrow, light and dark, and an answer opened up.
//!
//! `cargo xtask screenshot` makes the wasm modules first.

use std::fs;

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::{Site, www};
use serde_json::json;

/// One picture.
struct Shot {
    file: &'static str,
    model: &'static str,
    photo: &'static str,
    /// The width of a desktop or of a phone.
    phone: bool,
    /// "light" or "dark".
    scheme: &'static str,
    /// Whether "How it looked" is open, at its layers.
    opened: bool,
}

const SHOTS: [Shot; 5] = [
    shot("desktop-birds.png", "birds", "mallard.png", false, "light", false),
    shot("desktop-cars.png", "cars", "convertible.png", false, "dark", false),
    shot("phone-birds.png", "birds", "white_pelican.png", true, "light", false),
    shot("phone-cars.png", "cars", "convertible.png", true, "dark", false),
    shot("desktop-look.png", "birds", "mallard.png", false, "light", true),
];

const fn shot(
    file: &'static str,
    model: &'static str,
    photo: &'static str,
    phone: bool,
    scheme: &'static str,
    opened: bool,
) -> Shot {
    Shot { file, model, photo, phone, scheme, opened }
}

fn main() -> Result<()> {
    let site = Site::start()?;
    let folder = www().join("screenshots");
    fs::create_dir_all(&folder)?;
    for Shot { file, model, photo, phone, scheme, opened } in SHOTS {
        let size = if phone { (390, 844) } else { (1280, 900) };
        let browser = Browser::start(Options { size, phone, ..Options::default() })?;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", &features)?;
        let (page, _) = Page::open(&browser, &site.page(&format!("model={model}&backend=auto")))?;
        let view = page.upload(&sample(photo))?;
        ensure!(view.state == "ready", "no answer: {}", view.status);
        if opened {
            browser.script(
                "document.getElementById('look').open = true;
                 document.querySelector('#look input[value=layers]').click();",
            )?;
            page.wait_for("document.querySelectorAll('#thumbs canvas').length > 0")?;
            // The thumbnails are drawn when the answer to the look is there.
            page.wait_for("document.getElementById('look-caption').textContent.includes('seen from')")?;
            browser.script("document.getElementById('look').scrollIntoView();")?;
        }
        fs::write(folder.join(file), browser.screenshot()?).with_context(|| format!("{file} cannot be written"))?;
        println!("www/screenshots/{file}: {}", view.status);
    }
    Ok(())
}
