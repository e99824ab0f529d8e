//! The tiles of matrix products in the browser: measured where that is asked for (WebGPU is SwiftShader here), kept in its
//! storage, read at the next load. No time is judged.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::{Value, json};

use crate::recovery::site;

/// Loads the small network with each setting in turn; `damaged` first cuts off what is kept. Gives what is kept after each.
const LOADS: &str = "
    const { Classifier, clearStorage } = await import('./pkg/finegrain.js');
    const data = new Uint8ClampedArray(48 * 36 * 4).map((_, i) => i % 4 === 3 ? 255 : (i * 31 + (i >> 6) * 17) % 256);
    const file = async () => {
        const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('finegrain');
        return root.getFileHandle('tiles.txt');
    };
    const kept = async () => {
        try {
            return await (await (await file()).getFile()).text();
        } catch {
            return null;
        }
    };
    const loads = [];
    for (const tiles of ['auto', 'measure', 'measure', 'damaged', 'default']) {
        if (tiles === 'damaged') {
            const text = await kept();
            const stream = await (await file()).createWritable();
            await stream.write(text.slice(0, 100));
            await stream.close();
        }
        const notices = [];
        const onNotice = ({ kind, text }) => kind === 'waiting' || notices.push(text);
        const options = { backend: 'webgpu', tiles: tiles === 'damaged' ? 'measure' : tiles, onNotice };
        const network = await Classifier.load('models/small/', options);
        const { predictions } = await network.classify(new ImageData(data, 48, 36), { topK: 5 });
        network.free();
        loads.push({ tiles, backend: network.backend, predictions, notices, kept: await kept() });
    }
    await clearStorage();
    const refused = await Classifier.load('models/small/', { tiles: 'square' }).catch((error) => error.message);
    return { loads, cleared: await kept(), refused };
";

#[test]
fn tiles_are_measured_kept_and_read_again() -> Result<()> {
    let (browser, site) =
        (Browser::start(Options::default())?, Site::damaged(|www| small::install(www, &small::bundle()?))?);
    browser.open(&site.page("backend=cpu"))?;
    let found = browser.script(&format!("return (async () => {{ {LOADS} }})();"))?;
    let loads = found["loads"].as_array().with_context(|| format!("no loads: {found}"))?;
    let [plain, first, second, damaged, last] = &loads[..] else { anyhow::bail!("five loads: {found}") };
    ensure!(plain["kept"] == Value::Null, "a software adapter is not measured unasked: {plain}");
    for load in [first, second, damaged, last] {
        ensure!(load["backend"] == "webgpu" && load["notices"] == json!([]), "{load}");
        // Whatever the tile, each element is summed in the same order.
        ensure!(near(&load["predictions"], &plain["predictions"])?, "{load} {plain}");
    }
    // A line for the adapter, one for each product, one for the end.
    let times = |load: &Value| -> Result<usize> {
        let kept = load["kept"].as_str().context("nothing is kept")?;
        ensure!(kept.ends_with("\nend"), "{kept}");
        Ok(kept.lines().count() - 2)
    };
    ensure!(times(first)? > 0 && second["kept"] == first["kept"], "measured twice: {first} {second}");
    ensure!(times(damaged)? == times(first)? && last["kept"] == damaged["kept"], "{damaged} {last}");
    ensure!(found["cleared"] == Value::Null, "{found}");
    ensure!(found["refused"].as_str().is_some_and(|text| text.contains("measure")), "{found}");
    Ok(())
}

/// A driver that compiles the large tile wrongly.
const WRONG_TILE: &str = "
    const create = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (descriptor) {
        const large = descriptor.code.includes('const ACROSS = 16u;');
        const code = large ? descriptor.code.replace('return widen(', 'return 1.1 * widen(') : descriptor.code;
        return create.call(this, { label: descriptor.label, code });
    };";

/// Measures, makes the large tile the fastest in what is kept, and loads again with each setting.
const LARGE: &str = "
    const { Classifier } = await import('./pkg/finegrain.js');
    const data = new Uint8ClampedArray(48 * 36 * 4).map((_, i) => i % 4 === 3 ? 255 : (i * 31 + (i >> 6) * 17) % 256);
    const load = async (tiles) => {
        const notices = [];
        const onNotice = ({ kind, text }) => kind === 'waiting' || notices.push(text);
        const network = await Classifier.load('models/small/', { backend: 'webgpu', tiles, onNotice });
        const { predictions } = await network.classify(new ImageData(data, 48, 36), { topK: 5 });
        network.free();
        return { backend: network.backend, predictions, notices };
    };
    const plain = await load('default');
    await load('measure');
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('finegrain');
    const file = await root.getFileHandle('tiles.txt');
    const kept = await (await file.getFile()).text();
    const stream = await file.createWritable();
    await stream.write(kept.replace(/(_large|_small)? \\d+(?=[,\\n])/g, (_, tile = '') => `${tile} ${tile === '_large' ? 1 : 1000}`));
    await stream.close();
    return { plain, large: await load('measure') };
";

#[test]
fn a_device_that_is_wrong_in_its_fastest_tile_gets_another() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, site(WRONG_TILE)?);
    browser.open(&site.page("backend=cpu"))?;
    let found = browser.script(&format!("return (async () => {{ {LARGE} }})();"))?;
    let (plain, large) = (&found["plain"], &found["large"]);
    ensure!(plain["notices"] == json!([]), "{plain}");
    let said = large["notices"][0].as_str().with_context(|| format!("nothing is said of it: {large}"))?;
    ensure!(said.contains("tiles that were fastest"), "{said}");
    ensure!(large["notices"].as_array().is_some_and(|all| all.len() == 1) && large["backend"] == "webgpu", "{large}");
    ensure!(large["predictions"] == plain["predictions"], "{found}");
    Ok(())
}

/// The same names in the same order, equally probable: another tile may round otherwise.
fn near(found: &Value, expected: &Value) -> Result<bool> {
    let (found, expected) = (found.as_array().context("no list")?, expected.as_array().context("no list")?);
    let probability = |value: &Value| value["probability"].as_f64().context("no probability");
    for (found, expected) in found.iter().zip(expected) {
        if found["label"] != expected["label"] || (probability(found)? - probability(expected)?).abs() > 1e-5 {
            return Ok(false);
        }
    }
    Ok(found.len() == expected.len())
}
