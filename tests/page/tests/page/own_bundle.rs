//! Bundles from the user's own disk: a folder, or one .zip; and the copies that the browser keeps of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use finegrain::bundle::{Bundle, MANIFEST, pack};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::{Page, View};
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::{Site, make_version};
use finegrain_page_tests::small;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The small network with names of its own, as a person might have trained it.
fn own() -> Result<Bundle> {
    let mut bundle = small::bundle()?;
    bundle.manifest.title = "Beetles: 5 species".into();
    bundle.manifest.labels = (0..small::CLASSES).map(|class| format!("beetle {class}")).collect();
    Ok(bundle)
}

fn zip(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    Ok(pack(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))?)
}

/// A folder with the bundle's files in `beetles/` and the zip `beetles.zip` of that folder.
fn disk() -> Result<TempDir> {
    let disk = TempDir::new()?;
    let folder = disk.path().join("beetles");
    fs::create_dir(&folder)?;
    let mut files = own()?.write()?;
    files.push(("README.md".into(), b"# Beetles".to_vec()));
    for (name, content) in &files {
        fs::write(folder.join(name), content)?;
    }
    let inside: Vec<_> = files.into_iter().map(|(name, content)| (format!("beetles/{name}"), content)).collect();
    fs::write(disk.path().join("beetles.zip"), zip(&inside)?)?;
    Ok(disk)
}

fn small_site() -> Result<Site> {
    Site::damaged(|www| small::install(www, &small::bundle()?))
}

/// The answer is that of the same network under the other names.
fn is_named_anew(view: &View, before: &View) -> Result<()> {
    ensure!(view.state == "ready" && view.predictions.len() == small::CLASSES, "no answer: {}", view.status);
    for (found, former) in view.predictions.iter().zip(&before.predictions) {
        let expected = former.label.replace("class", "beetle");
        let close = (found.probability - former.probability).abs() < 1e-6;
        ensure!(found.label == expected && close, "{found:?} instead of {expected} {former:?}");
    }
    Ok(())
}

type Give = fn(&Browser, &Path) -> Result<()>;

#[test]
fn a_bundle_comes_from_the_disk_in_four_ways() -> Result<()> {
    let ways: [(&str, Give); 4] = [
        ("a zip chosen", |browser, disk| browser.choose_file("#own-zip", &disk.join("beetles.zip"))),
        ("a folder chosen", |browser, disk| browser.choose_file("#own-folder", &disk.join("beetles"))),
        ("a zip dropped", |browser, disk| browser.drop_files(&[&disk.join("beetles.zip")])),
        ("a folder dropped", |browser, disk| browser.drop_files(&[&disk.join("beetles")])),
    ];
    let (browser, site, disk) = (Browser::start(Options::default())?, small_site()?, disk()?);
    for (way, give) in ways {
        let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
        let before = page.upload(&sample("mallard.png"))?;
        // The photo on the stage is looked at again, by the other network.
        give(&browser, disk.path())?;
        page.wait_for("document.querySelector('#predictions li')?.dataset.label.startsWith('beetle')")?;
        let (_, view) = Page::shown(&browser)?;
        is_named_anew(&view, &before)?;
        let chosen = browser.script("return document.querySelector('#models input:checked + span').textContent;")?;
        ensure!(chosen == "Beetles (own)", "{way}: {chosen} is chosen");
        // There and back again.
        browser.script("document.querySelector('#models input[value=small]').click();")?;
        page.wait_for("document.querySelector('#predictions li')?.dataset.label.startsWith('class')")?;
        browser.script("document.querySelector('#models input[value^=own]').click();")?;
        page.wait_for("document.querySelector('#predictions li')?.dataset.label.startsWith('beetle')")?;
        is_named_anew(&Page::shown(&browser)?.1, &before)?;
        // Its manifest says which mechanism it has: now, and when the browser's copy is offered at the next visit.
        for visit in 1..=2 {
            let said = browser.script("return document.getElementById('mechanism-said').textContent;")?;
            let said = said.as_str().unwrap_or_default();
            ensure!(said.starts_with("DCAL: the patches"), "{way}, visit {visit}: \"{said}\"");
            if visit == 1 {
                browser.script("location.reload();")?;
                page.wait_for("document.querySelector('#models input[value^=own]:checked') && document.getElementById('mechanism-said').textContent")?;
            }
        }
        println!("{way}: {}", view.status);
    }
    Ok(())
}

#[test]
fn a_bundle_from_the_disk_that_is_wrong_gets_a_sentence_and_the_former_network_goes_on() -> Result<()> {
    let folder = TempDir::new()?;
    let files = own()?.write()?;
    let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = files.clone();
        files.iter_mut().filter(|(known, _)| known == name).for_each(|(_, content)| change(content));
        zip(&files)
    };
    let zeros = vec![0; 32 << 20];
    let manifest = |change: &dyn Fn(&mut Value)| {
        changed(MANIFEST, &|content| {
            if let Ok(mut manifest) = serde_json::from_slice(content) {
                change(&mut manifest);
                *content = manifest.to_string().into_bytes();
            }
        })
    };
    let mut cut = zip(&files)?;
    cut.truncate(cut.len() / 2);
    let wrong: Vec<(&str, Vec<u8>, &str)> = vec![
        ("words.zip", b"These are words.".to_vec(), "cannot be read"),
        ("cut.zip", cut, "cannot be read"),
        ("other.zip", zip(&[("holiday.jpg".into(), vec![1, 2, 3])])?, "manifest.json"),
        ("changed.zip", changed("model.safetensors", &|bytes| bytes[900] ^= 1)?, "sha256"),
        ("bomb.zip", changed("model.safetensors", &|bytes| bytes.clone_from(&zeros))?, "more than the"),
        ("manifest-bomb.zip", changed(MANIFEST, &|bytes| bytes.clone_from(&zeros))?, "more than the"),
        ("greedy.zip", manifest(&|manifest| manifest["files"][0]["bytes"] = json!(1u64 << 40))?, "larger than"),
        ("labels.zip", manifest(&|manifest| manifest["labels"] = json!(["one"]))?, "labels"),
        (
            "levels.zip",
            manifest(&|manifest| {
                manifest["hierarchy"] = json!([{ "name": "kind", "groups": ["all"], "of_class": [0, 0] }]);
            })?,
            "level",
        ),
    ];
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let before = page.upload(&sample("mallard.png"))?;
    for (name, bytes, word) in wrong {
        let file: PathBuf = folder.path().join(name);
        fs::write(&file, bytes)?;
        browser.choose_file("#own-zip", &file)?;
        page.wait_for("document.querySelector('#notices [data-kind=bundle]')")?;
        page.wait_for("document.querySelectorAll('#predictions li').length > 0")?;
        let said = page.notice("bundle")?.unwrap_or_default();
        ensure!(said.contains(word) && said.ends_with('.') && !said.contains("undefined"), "{name}: {said}");
        let (_, view) = Page::shown(&browser)?;
        let same = view.predictions.iter().zip(&before.predictions).all(|(a, b)| a.label == b.label);
        ensure!(view.state == "ready" && same, "{name}: the former network is gone: {}", view.status);
        ensure!(browser.script("return !document.querySelector('#models input[value^=own]');")? == true, "{name}");
        println!("{name}: {said}");
        browser.script("document.querySelector('#notices [data-kind=bundle]').remove();")?;
    }
    Ok(())
}

#[test]
fn the_chooser_tells_size_accuracy_and_needs() -> Result<()> {
    let site = Site::damaged(|www| {
        small::install(www, &small::bundle()?)?;
        let entry = json!({
            "bytes": 12_711_384, "classes": 5, "id": "small", "path": "models/small/", "precision": "f32",
            "title": "<b>Small</b>: 5 classes", "accuracy": 0.8605, "test_photos": 932, "memory": 58_000_000,
        });
        Ok(fs::write(www.join("models/index.json"), json!({ "models": [entry] }).to_string())?)
    })?;
    let browser = Browser::start(Options::default())?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.click("#bundles")?;
    let text = page.text("#bundles-dialog dl")?;
    for part in ["<b>Small</b>", "5 classes", "12.7 MB to fetch once", "86.1 % of 932 test photos", "58 MB of memory"] {
        ensure!(text.contains(part), "{part} is missing: {text}");
    }
    Ok(())
}

/// Waits until the own network has answered.
fn beetle(page: &Page<'_>) -> Result<()> {
    page.wait_for("document.querySelector('#predictions li')?.dataset.label.startsWith('beetle')")
}

#[test]
fn an_own_bundle_stays_over_a_reload_and_offline_until_it_is_removed() -> Result<()> {
    let (browser, disk) = (Browser::start(Options::default())?, disk()?);
    let (site, wire, _) = Site::wired(|www| {
        small::install(www, &small::bundle()?)?;
        make_version(www)
    })?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    let before = page.upload(&sample("mallard.png"))?;
    page.is_kept()?;
    browser.choose_file("#own-zip", &disk.path().join("beetles.zip"))?;
    beetle(&page)?;
    page.wait_for("document.querySelector('#kept').textContent.includes('Beetles (own)')")?;
    ensure!(page.notice("storage")?.is_none(), "{:?}", page.notice("storage")?);

    // The zip may go: the copy is the browser's, and the address of the page names it.
    disk.close()?;
    wire.down(true);
    browser.reload()?;
    let (page, view) = Page::shown(&browser)?;
    ensure!(view.state == "ready", "offline: {}", view.status);
    is_named_anew(&page.upload(&sample("mallard.png"))?, &before)?;
    let chosen = browser.script("return document.querySelector('#models input:checked + span').textContent;")?;
    ensure!(chosen == "Beetles (own)", "{chosen} is chosen");
    wire.down(false);

    page.click("#bundles")?;
    let told = page.text("#bundles-dialog dl")?;
    ensure!(told.contains("Beetles: 5 species") && told.contains("Your own, kept on this device"), "{told}");
    page.click("#bundles-dialog dd button")?;
    page.wait_for("!document.querySelector('#models input[value^=own]')")?;
    page.wait_for("document.querySelector('#predictions li')?.dataset.label.startsWith('class')")?;
    page.wait_for("!document.querySelector('#kept').textContent.includes('Beetles')")?;
    let told = page.text("#bundles-dialog dl")?;
    ensure!(!told.contains("Beetles"), "{told}");
    browser.reload()?;
    Page::shown(&browser)?;
    let left = browser.script("return document.querySelectorAll('#models input').length;")?;
    ensure!(left == 1, "it is back: {left} networks");
    Ok(())
}

#[test]
fn a_kept_bundle_that_was_changed_is_not_believed() -> Result<()> {
    // Each gets at the files of the copy: `folder` is its folder, `hash` the name of its weights.
    let changes = [
        (
            "a wrong byte",
            "const handle = await folder.getFileHandle(hash);
             const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
             bytes[900] ^= 1;
             const stream = await handle.createWritable();
             await stream.write(bytes);
             await stream.close();",
        ),
        ("a file that is gone", "await folder.removeEntry(hash);"),
        (
            "another manifest",
            "const handle = await folder.getFileHandle('record.json');
             const text = (await (await handle.getFile()).text()).replaceAll('beetle 1', 'beetle 7');
             const stream = await handle.createWritable();
             await stream.write(text);
             await stream.close();",
        ),
    ];
    let (browser, site, disk) = (Browser::start(Options::default())?, small_site()?, disk()?);
    for (what, change) in changes {
        let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
        page.upload(&sample("mallard.png"))?;
        browser.choose_file("#own-zip", &disk.path().join("beetles.zip"))?;
        beetle(&page)?;
        page.wait_for("document.querySelector('#kept').textContent.includes('Beetles')")?;
        browser.script(&format!(
            "return (async () => {{
                 const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('finegrain');
                 for await (const folder of root.values()) {{
                     const record = JSON.parse(await (await (await folder.getFileHandle('record.json')).getFile()).text());
                     if (!record.url.startsWith('own:')) continue;
                     const {{ files }} = JSON.parse(record.manifest);
                     const {{ sha256: hash }} = files.find(({{ name }}) => name === 'model.safetensors');
                     {change}
                 }}
             }})();"
        ))?;
        browser.reload()?;
        let (page, view) = Page::shown(&browser)?;
        ensure!(view.state == "error" && view.is_clear(), "{what}: `{}`: {}", view.state, view.status);
        ensure!(view.status.contains("open it from the disk again"), "{what}: {}", view.status);
        // Opened again, it is whole again.
        browser.choose_file("#own-zip", &disk.path().join("beetles.zip"))?;
        page.wait_for("document.documentElement.dataset.state === 'ready'")?;
        page.upload(&sample("mallard.png"))?;
        beetle(&page)?;
        browser.reload()?;
        let (_, view) = Page::shown(&browser)?;
        ensure!(view.state == "ready", "{what}: {}", view.status);
    }
    Ok(())
}

#[test]
fn an_own_bundle_runs_from_memory_where_the_storage_is_full() -> Result<()> {
    let (browser, site, disk) = (Browser::start(Options::default())?, small_site()?, disk()?);
    let url = site.page("backend=cpu");
    let (page, _) = Page::open(&browser, &url)?;
    page.upload(&sample("mallard.png"))?;
    let origin = url.split("/?").next().context("an origin")?;
    browser.devtools("Storage.overrideQuotaForOrigin", &json!({ "origin": origin, "quotaSize": 1000 }))?;
    browser.choose_file("#own-zip", &disk.path().join("beetles.zip"))?;
    beetle(&page)?;
    let said = page.notice("storage")?.context("nothing is said of it")?;
    ensure!(said.contains("full") && said.contains("open it again next time"), "{said}");
    let kept = browser.script("return import('./pkg/finegrain.js').then(({ storage }) => storage());")?;
    ensure!(kept["bundles"].as_array().is_some_and(|kept| kept.len() == 1), "half a copy is left: {kept}");
    // There and back again: it is still in memory.
    browser.script("document.querySelector('#models input[value=small]').click();")?;
    page.wait_for("document.querySelector('#predictions li')?.dataset.label.startsWith('class')")?;
    browser.script("document.querySelector('#models input[value=own]').click();")?;
    beetle(&page)?;
    browser.reload()?;
    Page::shown(&browser)?;
    let left = browser.script("return document.querySelectorAll('#models input').length;")?;
    ensure!(left == 1, "{left} networks");
    Ok(())
}
