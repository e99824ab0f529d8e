//! The crop frame: only what lies in it is classified.

use std::fs;

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::{Page, View};
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::{Value, json};

/// Where the frame is on the screen, and its label.
const FRAME: &str = "const frame = document.querySelector('#crop-layer > div');
    const { left, top, width, height } = frame.getBoundingClientRect();
    return { left, top, width, height, label: frame.getAttribute('aria-label') };";

fn small_site() -> Result<Site> {
    Site::damaged(|www| small::install(www, &small::bundle()?))
}

/// `[x, y, width, height]` in the photo's pixels, as the frame's label tells them.
fn region(browser: &Browser) -> Result<[u32; 4]> {
    let frame = browser.script(FRAME)?;
    let label = frame["label"].as_str().context("no label")?;
    let numbers: Vec<u32> =
        label.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    ensure!(numbers.len() == 4, "{label}");
    Ok([numbers[2], numbers[3], numbers[0], numbers[1]])
}

/// The page's answer to the frame is that to a file that was cut to it.
fn is_that_of_the_cut_file(page: &Page<'_>, browser: &Browser, photos: &Photos) -> Result<()> {
    let [x, y, width, height] = region(browser)?;
    let (_, cropped) = Page::shown(browser)?;
    let cut = photos.png("mallard.png", |photo| photo.crop_imm(x, y, width, height))?;
    let expected = page.upload(&cut)?;
    agree(&cropped, &expected).with_context(|| format!("{x}, {y}, {width} x {height}"))
}

fn agree(found: &View, expected: &View) -> Result<()> {
    ensure!(found.state == "ready" && found.predictions.len() == small::CLASSES, "no answer: {}", found.status);
    for (found, expected) in found.predictions.iter().zip(&expected.predictions) {
        let close = (found.probability - expected.probability).abs() < 1e-6;
        ensure!(found.label == expected.label && close, "{found:?} instead of {expected:?}");
    }
    Ok(())
}

fn number(value: &Value, name: &str) -> Result<f64> {
    value[name].as_f64().with_context(|| format!("{name} in {value}"))
}

#[test]
fn the_region_of_the_api_is_what_a_cut_file_would_be() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    Page::open(&browser, &site.page("backend=cpu"))?;
    let found = browser.script(
        "return import('./pkg/finegrain.js').then(async ({ Classifier }) => {
             const classifier = await Classifier.load('models/small/', { backend: 'cpu' });
             const photo = await (await fetch('samples/mallard.png')).blob();
             const image = await createImageBitmap(photo);
             const region = { x: 20, y: 31, width: 90, height: 77 };
             const cut = new OffscreenCanvas(90, 77);
             const context = cut.getContext('2d');
             context.fillStyle = 'white';
             context.fillRect(0, 0, 90, 77);
             context.drawImage(image, -20, -31);
             const pixels = new OffscreenCanvas(image.width, image.height);
             pixels.getContext('2d').drawImage(image, 0, 0);
             const data = pixels.getContext('2d').getImageData(0, 0, image.width, image.height);
             const answers = [
                 await classifier.classify(photo, { region }),
                 await classifier.classify(data, { region }),
                 await classifier.classify(context.getImageData(0, 0, 90, 77)),
                 await classifier.classify(photo),
             ];
             const wrong = [];
             for (const region of [{ x: -1, y: 0, width: 5, height: 5 }, { x: 0, y: 0, width: 5000, height: 5 },
                                   { x: 0, y: 0, width: 0.2, height: 5 }, { x: 0, y: 0, width: NaN, height: 5 }, {}]) {
                 wrong.push(await classifier.classify(photo, { region }).then(() => 'taken', (error) => error.message));
             }
             classifier.free();
             return { wrong, answers: answers.map(({ predictions, crop }) =>
                 ({ crop, p: predictions.map(({ label, probability }) => [label, probability]) })) };
         });",
    )?;
    let p = |at: usize| &found["answers"][at]["p"];
    ensure!(p(0) == p(2), "not what the cut file gives: {found}");
    ensure!(p(0) != p(3), "the region changes nothing: {found}");
    // The test draws straight alpha over nothing for the second: close, and not to the last bit.
    for (a, b) in p(0).as_array().into_iter().flatten().zip(p(1).as_array().into_iter().flatten()) {
        ensure!(a[0] == b[0], "{found}");
    }
    let [crop, cut] = [0, 2].map(|at| &found["answers"][at]["crop"]);
    for (side, start) in [("x", 20.0), ("y", 31.0), ("width", 0.0), ("height", 0.0)] {
        ensure!((number(crop, side)? - start - number(cut, side)?).abs() < 1e-9, "{side}: {found}");
    }
    for said in found["wrong"].as_array().into_iter().flatten() {
        ensure!(said.as_str().is_some_and(|said| said.contains("region")), "{found}");
    }
    Ok(())
}

#[test]
fn the_frame_is_moved_and_resized_by_keyboard_and_mouse() -> Result<()> {
    let (browser, site, photos) = (Browser::start(Options::default())?, small_site()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    // Under a name of its own: the cut files take the other one.
    let photo = photos.file("whole.png", &fs::read(photos.png("mallard.png", |photo| photo)?)?)?;
    let whole = page.upload(&photo)?;
    ensure!(browser.script("return document.querySelector('#uncrop').disabled;")? == true);

    // A new frame leaves out a tenth on each side (the sample is 199 x 169).
    page.after(|| page.click("#crop"))?;
    ensure!(region(&browser)? == [20, 17, 159, 135], "{:?}", region(&browser)?);
    is_that_of_the_cut_file(&page, &browser, &photos)?;

    // Keys: the frame has the focus when it opens; 199 / 50 is 4 pixels a step.
    page.upload(&photo)?;
    page.after(|| page.click("#crop"))?;
    page.after(|| {
        browser.press("ArrowRight", 0)?;
        browser.press("ArrowDown", 0)?;
        browser.press("ArrowLeft", 8)?;
        browser.press("ArrowUp", 8)
    })?;
    ensure!(region(&browser)? == [24, 21, 155, 131], "{:?}", region(&browser)?);
    is_that_of_the_cut_file(&page, &browser, &photos)?;

    // Mouse: a corner, then the whole frame against the photo's edge.
    page.upload(&photo)?;
    page.after(|| page.click("#crop"))?;
    let frame = browser.script(FRAME)?;
    let [left, top, width, height] = ["left", "top", "width", "height"].map(|side| number(&frame, side));
    let [left, top, width, height] = [left?, top?, width?, height?];
    let scale = width / 159.0;
    let corner = [left + width - 1.0, top + height - 1.0];
    page.after(|| browser.drag(corner, [corner[0] - 50.0 * scale, corner[1] - 30.0 * scale]))?;
    ensure!(region(&browser)? == [20, 17, 109, 105], "{:?}", region(&browser)?);
    let middle = [left + 40.0 * scale, top + 40.0 * scale];
    page.after(|| browser.drag(middle, [middle[0] - 400.0 * scale, middle[1] + 10.0 * scale]))?;
    ensure!(region(&browser)? == [0, 27, 109, 105], "{:?}", region(&browser)?);
    is_that_of_the_cut_file(&page, &browser, &photos)?;

    // Back to the whole photo.
    page.upload(&photo)?;
    page.after(|| page.click("#crop"))?;
    let reset = page.after(|| page.click("#uncrop"))?;
    agree(&reset, &whole)?;
    ensure!(browser.script("return document.querySelector('#crop-layer').hidden;")? == true, "the frame stays");
    Ok(())
}

#[test]
fn the_frame_is_moved_by_a_finger_on_a_phone() -> Result<()> {
    let options = Options { size: (390, 844), phone: true, ..Options::default() };
    let (browser, site, photos) = (Browser::start(options)?, small_site()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.upload(&sample("mallard.png"))?;
    page.after(|| page.click("#crop"))?;
    let frame = browser.script(FRAME)?;
    let [left, top, width] = ["left", "top", "width"].map(|side| number(&frame, side));
    let [left, top, scale] = [left?, top?, width? / 159.0];
    let middle = [left + 80.0 * scale, top + 60.0 * scale];
    page.after(|| browser.drag_finger(middle, [middle[0] + 12.0 * scale, middle[1] + 9.0 * scale]))?;
    let [x, y, width, height] = region(&browser)?;
    ensure!((x, width, height) == (32, 159, 135) && (25..=27).contains(&y), "{x}, {y}, {width} x {height}");
    ensure!(browser.script("return window.scrollY;")? == json!(0), "the page scrolled instead");
    is_that_of_the_cut_file(&page, &browser, &photos)
}

#[test]
fn zooming_in_frames_what_the_network_looked_at() -> Result<()> {
    let (browser, site, photos) = (Browser::start(Options::default())?, Site::start()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    ensure!(browser.script("return document.querySelector('#zoom').disabled;")? == true, "there is nothing to zoom to");
    // The bird is a small part of this one.
    let bird = photos.png("mallard.png", |photo| {
        let mut wide = image::DynamicImage::from(image::RgbImage::from_pixel(800, 600, image::Rgb([120, 150, 120])));
        image::imageops::overlay(&mut wide, &photo, 500, 350);
        wide
    })?;
    page.upload(&bird)?;
    page.after(|| page.click("#zoom"))?;
    let [x, y, width, height] = region(&browser)?;
    ensure!(width < 600 && height < 600 && x + width > 560 && y + height > 400, "{x}, {y}, {width} x {height}");
    let (_, view) = Page::shown(&browser)?;
    ensure!(view.state == "ready" && view.predictions[0].label == "Mallard", "{view:?}");
    // A second look's own zoom lies within the first.
    if browser.script("return document.querySelector('#zoom').disabled;")? == false {
        page.after(|| page.click("#zoom"))?;
        let [left, top, w, h] = region(&browser)?;
        let inside = left + 1 >= x && top + 1 >= y && left + w <= x + width + 1 && top + h <= y + height + 1;
        ensure!(inside, "{left}, {top}, {w} x {h} is not within {x}, {y}, {width} x {height}");
    }
    Ok(())
}

#[test]
fn a_photo_of_the_gallery_keeps_its_frame() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.after(|| browser.choose_files("input#photo", &[&sample("mallard.png"), &sample("white_pelican.png")]))?;
    page.wait_for("document.querySelectorAll('#gallery li button[data-state=ready]').length === 2")?;
    page.wait_for("document.querySelectorAll('#predictions li').length > 0")?;
    page.after(|| page.click("#crop"))?;
    let cropped = region(&browser)?;
    browser.script("document.querySelectorAll('#gallery li button')[1].click();")?;
    page.wait_for("document.querySelector('#crop-layer').hidden")?;
    browser.script("document.querySelectorAll('#gallery li button')[0].click();")?;
    page.wait_for("!document.querySelector('#crop-layer').hidden")?;
    ensure!(region(&browser)? == cropped, "{:?} instead of {cropped:?}", region(&browser)?);
    Ok(())
}
