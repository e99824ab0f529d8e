//! Without a network, and with a new version on it.

use std::fs;

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::{Site, make_version};
use finegrain_page_tests::small;
use serde_json::json;

#[test]
fn after_the_first_visit_the_page_works_offline() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, _) = Site::wired(make_version)?;
    let (page, view) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    ensure!(view.state == "ready", "{}", view.status);
    page.is_kept()?;

    wire.down(true);
    browser.reload()?;
    let (page, view) = Page::shown(&browser)?;
    ensure!(view.state == "ready", "offline: {}", view.status);
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.state == "ready" && view.predictions.len() == 5, "no answer offline: {}", view.status);

    // What is not there is said, and the page stays usable.
    browser.script("document.querySelector('#models input[value=cars]').click();")?;
    page.wait_for("document.documentElement.dataset.state === 'error'")?;
    let (page, view) = Page::shown(&browser)?;
    ensure!(view.is_clear(), "{}", view.status);
    println!("{}", view.status);
    browser.script("document.querySelector('#models input[value=birds]').click();")?;
    page.wait_for("document.documentElement.dataset.state === 'ready'")
}

#[test]
fn on_a_server_without_headers_threads_come_with_the_second_visit() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, wire, _) = Site::wired(|www| {
        small::install(www, &small::bundle()?)?;
        make_version(www)
    })?;
    wire.bare();
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(browser.script("return crossOriginIsolated;")? == false, "the headers came all the same");
    page.is_kept()?;
    browser.reload()?;
    let (page, view) = Page::shown(&browser)?;
    ensure!(browser.script("return crossOriginIsolated;")? == true, "the kept page is not isolated");
    ensure!(view.state == "ready", "{}", view.status);
    let view = page.upload(&sample("mallard.png"))?;
    let many = browser.script("return navigator.hardwareConcurrency > 1;")? == true;
    ensure!(view.predictions.len() == small::CLASSES, "{}", view.status);
    ensure!(!many || view.status.contains(" threads, wasm SIMD"), "{}", view.status);
    Ok(())
}

#[test]
fn a_new_version_replaces_the_old_one_whole() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let (site, _wire, folder) = Site::wired(|www| {
        small::install(www, &small::bundle()?)?;
        make_version(www)
    })?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.is_kept()?;

    // Half of a new version lies on the server: it is not taken.
    let change = |file: &str, to: &str| -> Result<()> {
        let path = folder.join(file);
        let text = fs::read_to_string(&path)?;
        Ok(fs::write(path, format!("{text}\n{to}\n"))?)
    };
    change("js/app.js", "document.body.dataset.version = 'new';")?;
    change("css/page.css", "body { --new: 1; }")?;
    make_version(&folder)?;
    let list = fs::read_to_string(folder.join("pkg/shell.js"))?;
    change("css/page.css", "body { --new: 2; }")?;
    let update =
        "return navigator.serviceWorker.getRegistration().then((found) => found.update()).then(() => true, String);";
    browser.script(update)?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    browser.reload()?;
    let (page, view) = Page::shown(&browser)?;
    ensure!(view.state == "ready" && browser.script("return document.body.dataset.version ?? 'old';")? == "old");
    ensure!(page.notice("version")?.is_none(), "a version that is not whole is offered");

    make_version(&folder)?;
    ensure!(fs::read_to_string(folder.join("pkg/shell.js"))? != list, "the version is the content");
    browser.script(update)?;
    page.wait_for("document.querySelector('#notices [data-kind=version] button')")?;
    ensure!(browser.script("return document.body.dataset.version ?? 'old';")? == "old", "it came unasked");
    browser.script("document.querySelector('#notices [data-kind=version] button').click();")?;
    page.wait_for("document.body?.dataset.version === 'new'")?;
    let (page, view) = Page::shown(&browser)?;
    ensure!(page.upload(&sample("mallard.png"))?.predictions.len() == small::CLASSES, "{}", view.status);
    let kept = browser.script("return caches.keys().then((names) => names.length);")?;
    ensure!(kept == 1, "{kept} versions are kept");
    Ok(())
}

#[test]
fn the_page_can_be_installed() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    Page::open(&browser, &site.page("backend=cpu"))?;
    let found = browser.script(
        "return fetch(document.querySelector('link[rel=manifest]').href).then(async (response) => {
             const { name, display, start_url, icons } = await response.json();
             const sizes = await Promise.all(icons.map(async ({ src }) => {
                 const image = new Image();
                 image.src = src;
                 await image.decode();
                 return image.naturalWidth;
             }));
             return { name: Boolean(name), display, start: Boolean(start_url), sizes: sizes.slice(1) };
         });",
    )?;
    let expected = json!({ "name": true, "display": "standalone", "start": true, "sizes": [192, 512, 512] });
    ensure!(found == expected, "{found}");
    Ok(())
}

#[test]
fn the_policy_is_strict_in_the_page_and_in_its_headers() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    Page::open(&browser, &site.page("backend=cpu"))?;
    let [meta, header] = [
        "return document.querySelector('meta[http-equiv]').content;",
        "return fetch('pkg/worker.js').then(({ headers }) => headers.get('content-security-policy'));",
    ]
    .map(|script| browser.script(script));
    let (meta, header) = (meta?, header?);
    let (meta, header) = (meta.as_str().context("no policy")?, header.as_str().context("no policy in the headers")?);
    ensure!(header == format!("{meta}; frame-ancestors 'none'"), "they differ:\n{meta}\n{header}");
    ensure!(
        !meta.contains("unsafe-inline") && !meta.contains("'unsafe-eval'") && meta.starts_with("default-src 'none'")
    );
    // And it works: a script in the page is not run.
    let ran = browser.script(
        "const script = document.createElement('script');
         script.textContent = 'window.hurt = true';
         document.body.append(script);
         return Boolean(window.hurt);",
    )?;
    ensure!(ran == false, "an inline script ran");
    Ok(())
}
