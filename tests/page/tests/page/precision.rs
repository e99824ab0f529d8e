//! Bundles in eight bits, and weights in every precision, in both modules.

use anyhow::{Context, Result, ensure};
use finegrain::compare::reals;
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::program;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::{Value, json};

use crate::answers::{SAME_PIXELS, agree};
use crate::recovery::site;

/// Loads the small network in a precision; gives what it says of a photo, its bytes on the device, and what was noticed.
const LOAD: &str = "
    const { Classifier } = await import('./pkg/finegrain.js');
    const data = new Uint8ClampedArray(48 * 36 * 4);
    for (let i = 0; i < data.length; i += 1) data[i] = i % 4 === 3 ? 255 : (i * 31 + (i >> 6) * 17) % 256;
    const notices = [];
    // The page fetches the network at the same time, and waiting for that is noticed, too.
    const onNotice = ({ kind, text }) => kind === 'waiting' || notices.push(text);
    const options = { backend: BACKEND, precision: PRECISION, onNotice };
    const network = await Classifier.load('models/small/', options);
    const { predictions } = await network.classify(new ImageData(data, 48, 36), { topK: 5 });
    const found = { backend: network.backend, predictions, notices, gpu: (await network.memory()).gpu };
    network.free();
    return found;
";

fn load(browser: &Browser, backend: &str, precision: &str) -> Result<Value> {
    let body = LOAD.replace("BACKEND", &format!("'{backend}'")).replace("PRECISION", &format!("'{precision}'"));
    browser.script(&format!("return (async () => {{ {body} }})();"))
}

/// Probabilities by class.
fn probabilities(found: &Value) -> Result<Vec<f32>> {
    let list = found["predictions"].as_array().with_context(|| format!("no predictions: {found}"))?;
    (0..small::CLASSES)
        .map(|class| {
            let own = list.iter().find(|p| p["label"] == format!("class {class}"));
            let probability = own.and_then(|p| p["probability"].as_f64()).context("a class is missing")?;
            Ok(probability as f32)
        })
        .collect()
}

#[test]
fn a_bundle_in_eight_bits_works_in_both_modules() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| {
        program::export(&www.join("models/birds"), "int8", &www.join("models/birds"))?;
        Ok(())
    })?;
    let photo = sample("mallard.png");
    for backend in ["cpu", "webgpu"] {
        let (page, view) = Page::open(&browser, &site.page(&format!("model=birds&backend={backend}")))?;
        ensure!(view.state == "ready", "{backend}: {}", view.status);
        ensure!(page.notice("self-test")?.is_none(), "{backend}: the device does not pass the bundle's own test");
        let view = page.upload(&photo)?;
        // The shipped bundle in f16 names it, too; eight bits move its probability a little.
        let shipped = program::classify("birds", &photo)?;
        agree(&view, &shipped, 0.1)?;
        ensure!(view.predictions[0].label == shipped[0].label, "{backend}: {:?}", view.predictions);
    }
    Ok(())
}

/// A driver that takes the wrong half of a packed weight.
const WRONG_HALF: &str = "
    const create = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (descriptor) {
        const code = descriptor.code.replace('unpack2x16float(four.x)', 'unpack2x16float(four.y)');
        return create.call(this, { label: descriptor.label, code });
    };";

#[test]
fn a_device_that_reads_packed_weights_wrongly_gets_them_in_f32() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, site(WRONG_HALF)?);
    browser.open(&site.page("backend=cpu"))?;
    let (plain, packed) = (load(&browser, "webgpu", "f32")?, load(&browser, "webgpu", "f16")?);
    ensure!(plain["notices"] == json!([]), "{plain}");
    let said = packed["notices"][0].as_str().context("nothing is said of it")?;
    ensure!(said.contains("packed weights wrongly") && said.contains("f32"), "{said}");
    ensure!(packed["backend"] == "webgpu" && packed["gpu"] == plain["gpu"], "{packed}");
    ensure!(reals(&probabilities(&packed)?, &probabilities(&plain)?).rel_norm <= SAME_PIXELS, "{packed} {plain}");
    Ok(())
}

#[test]
fn weights_lie_on_the_device_in_the_precision_that_is_asked_for() -> Result<()> {
    let (browser, site) =
        (Browser::start(Options::default())?, Site::damaged(|www| small::install(www, &small::bundle()?))?);
    browser.open(&site.page("backend=cpu"))?;
    let mut bytes = Vec::new();
    let mut exact = Vec::new();
    for precision in ["auto", "f32", "f16", "int8"] {
        let found = load(&browser, "webgpu", precision)?;
        ensure!(found["backend"] == "webgpu" && found["notices"] == json!([]), "{precision}: {found}");
        let own = probabilities(&found)?;
        if exact.is_empty() {
            exact.clone_from(&own);
        }
        let tolerance = match precision {
            "f16" => 5e-3,
            "int8" => 5e-2,
            _ => SAME_PIXELS,
        };
        let difference = reals(&own, &exact).rel_norm;
        ensure!(difference <= tolerance, "{precision}: off by {difference:.1e}");
        ensure!(difference > 0.0 || !matches!(precision, "f16" | "int8"), "{precision}: nothing was rounded");
        bytes.push(found["gpu"].as_u64().context("no bytes")?);
    }
    ensure!(bytes[0] == bytes[1] && bytes[2] < bytes[1] && bytes[3] < bytes[2], "{bytes:?}");
    // The processor takes the bundle as it is.
    let found = load(&browser, "cpu", "int8")?;
    ensure!(reals(&probabilities(&found)?, &exact).rel_norm <= 1e-4, "{found}");
    let refused = browser.script(
        "return import('./pkg/finegrain.js').then(({ Classifier }) =>
            Classifier.load('models/small/', { precision: 'f8' }).then(() => 'no', (error) => error.message));",
    )?;
    ensure!(refused.as_str().is_some_and(|text| text.contains("int8")), "{refused}");
    Ok(())
}
