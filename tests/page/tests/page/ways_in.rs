//! The ways in which a photo comes: drop, paste, link, camera.

use std::fs;

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Camera, Options};
use finegrain_page_tests::elsewhere::Elsewhere;
use finegrain_page_tests::page::{Page, View};
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::json;

/// The page with a very small network.
fn small_site() -> Result<Site> {
    Site::damaged(|www| small::install(www, &small::bundle()?))
}

/// Both photos got the same answer: they have the same pixels.
fn same(found: &View, expected: &View) -> Result<()> {
    ensure!(found.state == "ready" && found.predictions.len() == small::CLASSES, "no answer: {}", found.status);
    for (found, expected) in found.predictions.iter().zip(&expected.predictions) {
        let close = (found.probability - expected.probability).abs() < 1e-6;
        ensure!(found.label == expected.label && close, "{found:?} instead of {expected:?}");
    }
    Ok(())
}

#[test]
fn a_photo_is_dropped() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let chosen = page.upload(&sample("mallard.png"))?;
    page.upload(&sample("white_pelican.png"))?;
    let dropped = page.after(|| browser.drop_files(&[&sample("mallard.png")]))?;
    same(&dropped, &chosen)?;
    ensure!(browser.script("return !document.querySelector('#drop.shown');")? == true, "the veil stays");

    let photos = Photos::new()?;
    let bad = page.after(|| browser.drop_files(&[&photos.file("words.txt", b"no photo")?]))?;
    ensure!(bad.state == "error" && bad.is_clear(), "{}", bad.status);
    Ok(())
}

#[test]
fn a_photo_is_pasted() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let chosen = page.upload(&sample("convertible.png"))?;
    page.upload(&sample("white_pelican.png"))?;
    let permissions = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", &permissions)?;
    browser.devtools("Page.bringToFront", &json!({}))?;
    browser.script(
        "return fetch('samples/convertible.png').then((response) => response.blob())
             .then((blob) => navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]));",
    )?;
    // As a person: the keys, and what the browser makes of them.
    let paste = json!({ "type": "keyDown", "key": "v", "code": "KeyV", "modifiers": 2, "commands": ["paste"] });
    let pasted = page.after(|| browser.devtools("Input.dispatchKeyEvent", &paste))?;
    same(&pasted, &chosen)
}

#[test]
fn a_photo_comes_from_a_link_that_a_person_gives() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    let there = Elsewhere::start(fs::read(sample("mallard.png"))?)?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let chosen = page.upload(&sample("mallard.png"))?;
    page.upload(&sample("white_pelican.png"))?;

    let fetch = |address: &str| {
        page.click("#link")?;
        let field = json!(address);
        browser.script(&format!("document.querySelector('#link-dialog input').value = {field};"))?;
        ensure!(there.requests().len() <= 1, "it is asked before the button is pressed");
        page.click("#link-dialog [type=submit]")
    };
    let linked = page.after(|| fetch(&there.address("/open/duck.png")))?;
    same(&linked, &chosen)?;
    let requests = there.requests();
    ensure!(requests.len() == 1 && requests[0].starts_with("get /open/duck.png"), "{requests:?}");
    ensure!(!requests[0].contains("\ncookie:") && !requests[0].contains("\nreferer:"), "{requests:?}");

    // The page stays as it is, with a sentence in the dialog.
    for (address, word) in [
        (there.address("/closed/duck.png"), "save the photo and drop it"),
        (there.address("/none/duck.png"), "save the photo and drop it"),
        ("file:///etc/hostname".to_owned(), "https://"),
        ("no address".to_owned(), "https://"),
    ] {
        browser.script(&format!(
            "const dialog = document.querySelector('#link-dialog');
             if (!dialog.open) document.querySelector('#link').click();
             dialog.querySelector('[role=alert]').textContent = '';
             dialog.querySelector('input').value = {};
             dialog.querySelector('form').noValidate = true;
             dialog.querySelector('[type=submit]').click();",
            json!(address)
        ))?;
        page.wait_for("document.querySelector('#link-dialog [role=alert]').textContent")?;
        let said = page.text("#link-dialog [role=alert]")?;
        ensure!(said.contains(word) && said.ends_with('.'), "{address}: {said}");
        println!("{address}: {said}");
    }
    page.click("#link-dialog [data-action=cancel]")?;
    let (_, view) = Page::shown(&browser)?;
    same(&view, &chosen)
}

#[test]
fn an_address_that_is_pasted_waits_for_the_button() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    let there = Elsewhere::start(fs::read(sample("mallard.png"))?)?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    browser.script(&format!(
        "const data = new DataTransfer();
         data.setData('text/plain', {});
         document.body.dispatchEvent(new ClipboardEvent('paste', {{ clipboardData: data, bubbles: true }}));",
        json!(there.address("/open/duck.png"))
    ))?;
    page.wait_for("document.querySelector('#link-dialog').open")?;
    ensure!(there.requests().is_empty(), "{:?}", there.requests());
    let view = page.after(|| page.click("#link-dialog [type=submit]"))?;
    ensure!(view.state == "ready" && there.requests().len() == 1, "{}", view.status);
    Ok(())
}

#[test]
fn nothing_but_an_image_can_be_asked_of_another_site() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    let there = Elsewhere::start(Vec::new())?;
    Page::open(&browser, &site.page("backend=cpu"))?;
    let address = there.address("/open/");
    let outcome = browser.script(&format!(
        "const address = '{address}';
         const asked = (promise) => promise.then(() => 'sent', () => 'blocked');
         const worker = new Blob([`fetch('${{address}}')`], {{ type: 'text/javascript' }});
         const request = new XMLHttpRequest();
         return Promise.all([
             asked(fetch(address, {{ method: 'POST', body: 'a photo' }})),
             asked(fetch(address, {{ mode: 'no-cors' }})),
             asked(new Promise((resolve, reject) => {{
                 request.onload = resolve;
                 request.onerror = reject;
                 request.open('POST', address);
                 request.send('a photo');
             }})),
             asked(new Promise((resolve, reject) => {{
                 const socket = new WebSocket(address.replace('http', 'ws'));
                 socket.onopen = resolve;
                 socket.onerror = reject;
             }})),
             asked(new Promise((resolve, reject) => {{
                 const started = new Worker(URL.createObjectURL(worker));
                 started.onerror = reject;
                 setTimeout(resolve, 1000);
             }})),
             asked(Promise.resolve(navigator.sendBeacon(address, 'a photo'))),
         ]);"
    ))?;
    // A beacon is said to be queued and then dropped; the server knows better.
    ensure!(outcome.as_array().is_some_and(|all| all[..5].iter().all(|one| one == "blocked")), "{outcome}");
    ensure!(there.requests().is_empty(), "{:?}", there.requests());
    Ok(())
}

#[test]
fn the_camera_takes_a_photo_and_is_closed() -> Result<()> {
    let options = Options { camera: Camera::Allowed, ..Options::default() };
    let (browser, site) = (Browser::start(options)?, small_site()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.click("#camera")?;
    page.wait_for("!document.querySelector('#camera-dialog [data-action=take]').disabled")?;
    browser.script("window.tracks = document.querySelector('#camera-dialog video').srcObject.getTracks();")?;
    page.click("#camera-dialog input[type=checkbox]")?;
    page.wait_for("/class \\d, [0-9.]+ %/.test(document.querySelector('#camera-dialog output').textContent)")
        .context("nothing is named live")?;
    let view = page.after(|| page.click("#camera-dialog [data-action=take]"))?;
    ensure!(view.state == "ready" && view.predictions.len() == small::CLASSES, "no answer: {}", view.status);
    ensure!(view.colours > 10, "the photo is not shown");
    let over = "return !document.querySelector('#camera-dialog').open
                    && window.tracks.length > 0 && window.tracks.every((track) => track.readyState === 'ended');";
    ensure!(browser.script(over)? == true, "the camera is still open");

    // Given up: it is closed as well, and the photo stays.
    page.click("#camera")?;
    page.wait_for("!document.querySelector('#camera-dialog [data-action=take]').disabled")?;
    browser.script("window.tracks = document.querySelector('#camera-dialog video').srcObject.getTracks();")?;
    page.click("#camera-dialog [data-action=cancel]")?;
    page.wait_for("window.tracks.every((track) => track.readyState === 'ended')")?;
    same(&Page::shown(&browser)?.1, &view)
}

#[test]
fn a_camera_that_cannot_be_had_gets_a_sentence() -> Result<()> {
    for (camera, word) in [(Camera::Denied, "allow it"), (Camera::Missing, "camera")] {
        let (browser, site) = (Browser::start(Options { camera, ..Options::default() })?, small_site()?);
        let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
        page.click("#camera")?;
        page.wait_for("document.documentElement.dataset.state === 'error'")?;
        let (_, view) = Page::shown(&browser)?;
        ensure!(view.is_clear() && view.status.contains(word), "{camera:?}: {}", view.status);
        ensure!(browser.script("return document.querySelector('#camera-dialog').open;")? == false, "it stays open");
        println!("{camera:?}: {}", view.status);
        let good = page.upload(&sample("mallard.png"))?;
        ensure!(good.state == "ready", "unusable afterwards: {}", good.status);
    }
    Ok(())
}
