//! "How it looked", and the API behind it.

use anyhow::{Context, Result, ensure};
use finegrain::bundle::Bundle;
use finegrain::compare::reals;
use finegrain::cpu::Cpu;
use finegrain::photo::Photo;
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::small;
use serde_json::Value;

use crate::recovery::{LOSING, lose, site};

/// A photo of 48 x 36 pixels that JavaScript and Rust make alike.
pub(crate) const WIDTH: u32 = 48;
pub(crate) const HEIGHT: u32 = 36;

/// Every look of the API into that photo.
const LOOKS: &str = "
    const { Classifier, branch } = await import('./pkg/finegrain.js');
    const data = new Uint8ClampedArray(48 * 36 * 4);
    for (let i = 0; i < data.length; i += 1) data[i] = i % 4 === 3 ? 255 : (i * 31 + (i >> 6) * 17) % 256;
    const photo = new ImageData(data, 48, 36);
    const network = await Classifier.load('models/small/', { backend: BACKEND });
    const result = await network.classify(photo);
    const [a, b] = [network.labels[1], network.labels[4]];
    const plain = (values) => Array.from(values);
    const found = {
        backend: network.backend,
        shape: [network.layers, network.heads, network.ratio],
        attention: plain(await network.attention()),
        ofPatch: plain(await network.attention({ layer: 1, query: 6 })),
        ofHead: plain(await network.attention({ layer: 1, head: 1, query: 6 })),
        mean: plain(await network.attention({ layer: 1, head: 'mean', query: 6 })),
        glca: plain(await network.attention({ layer: 'glca' })),
        glcaOfPatch: plain(await network.attention({ layer: 'glca', query: result.selected[1] })),
        rollout: plain(await network.rollout({ layer: 1 })),
        whole: plain(await network.rollout()),
        resultRollout: plain(result.rollout),
        difference: Object.values(await network.difference(a, b)).map(plain),
    };
    const half = await network.setRatio(0.5, { topK: 5, of: result });
    found.half = [plain(half.selected), half.predictions, branch(half, 'sa'), branch(half, 'glca')];
    const fresh = await network.classify(photo, { ratio: 0.5 });
    found.fresh = [plain(fresh.selected), fresh.predictions, branch(fresh, 'sa'), branch(fresh, 'glca')];
    const refusals = [
        () => network.attention({ layer: 3 }),
        () => network.attention({ query: 16 }),
        () => network.attention({ layer: 0, head: 2 }),
        () => network.attention({ query: 1.5 }),
        () => network.setRatio(0),
        () => network.difference(a, 'no such bird'),
        () => network.rollout({ of: result }),
    ];
    found.refusals = [];
    for (const refused of refusals) {
        found.refusals.push(await refused().then(() => 'not refused', (error) => error.message));
    }
    network.free();
    return found;";

/// What a bundle's network sees of the photo that the scripts here make.
pub(crate) fn input(bundle: &Bundle) -> Result<Vec<f32>> {
    input_of(bundle, 0)
}

/// The same of another photo, `shift` brighter from pixel to pixel.
pub(crate) fn input_of(bundle: &Bundle, shift: u32) -> Result<Vec<f32>> {
    let value = |i: u32| ((i * (31 + shift) + (i >> 6) * 17) % 256) as u8;
    let rgb = (0..WIDTH * HEIGHT * 4).filter(|i| i % 4 != 3).map(value).collect();
    Ok(bundle.manifest.preprocessing.apply(&Photo::from_rgb(WIDTH, HEIGHT, rgb)?)?)
}

#[test]
fn both_back_ends_give_the_looks_of_the_library() -> Result<()> {
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    let browser = Browser::start(Options::default())?;
    browser.open(&site.page("backend=cpu"))?;
    let bundle = small::bundle()?;
    let network = Cpu::load(&bundle.manifest.architecture, &bundle.weights)?;
    let image = input(&bundle)?;
    for backend in ["cpu", "webgpu"] {
        let found = browser
            .script(&format!("return (async () => {{ {} }})();", LOOKS.replace("BACKEND", &format!("'{backend}'"))))?;
        ensure!(found["backend"] == backend, "{found}");
        ensure!(found["shape"] == serde_json::json!([3, 2, 0.25]), "{}", found["shape"]);
        let mut seen = network.see(&image)?;
        let close = |name: &str, values: &Value, expected: &[f32]| -> Result<()> {
            // Without the class token of each row.
            let patches: Vec<f32> = expected.chunks_exact(17).flat_map(|row| row[1..].to_vec()).collect();
            let difference = reals(&numbers(values)?, &patches).rel_norm;
            ensure!(difference < 1e-4, "{backend}: {name} is off by {difference:.1e}");
            Ok(())
        };
        let patch = seen.attention(&network, 1, 7)?;
        close("attention", &found["attention"], &seen.attention_of_layers(&network, 0)?)?;
        close("of a patch", &found["ofPatch"], &patch)?;
        close("of a head", &found["ofHead"], &patch[17..])?;
        let mean: Vec<f32> = (0..17).map(|i| 0.5 * (patch[i] + patch[17 + i])).collect();
        close("mean", &found["mean"], &mean)?;
        close("GLCA", &found["glca"], &seen.glca_attention(&network, 0)?)?;
        let second = seen.answer().selected[1] as usize;
        close("GLCA of a patch", &found["glcaOfPatch"], &seen.glca_attention(&network, second)?)?;
        close("rollout", &found["rollout"], &seen.rollout(&network, 1)?)?;
        close("whole rollout", &found["whole"], &seen.answer().rollout)?;
        close("the result's rollout", &found["resultRollout"], &seen.answer().rollout)?;
        let difference = seen.difference(&network, [1, 4])?;
        for (i, expected) in [&difference.sa, &difference.glca, &difference.both()].into_iter().enumerate() {
            close("difference", &found["difference"][i], expected)?;
        }
        let answer = seen.with_ratio(0.5)?;
        let selected: Vec<u32> = answer.selected.iter().map(|token| token - 1).collect();
        for (way, lists) in [("setRatio", &found["half"]), ("classify", &found["fresh"])] {
            ensure!(lists[0] == serde_json::json!(selected), "{backend}, {way}: {}", lists[0]);
            for (list, expected) in [(1, &answer.probability), (2, &answer.sa), (3, &answer.glca)] {
                for prediction in lists[list].as_array().context("no predictions")? {
                    let class = prediction["label"].as_str().and_then(|label| label.strip_prefix("class "));
                    let class: usize = class.context("no label")?.parse()?;
                    let probability = prediction["probability"].as_f64().context("no probability")?;
                    let off = (probability - f64::from(expected[class])).abs();
                    ensure!(off < 1e-5, "{backend}, {way}: list {list}, class {class} is off by {off:.1e}");
                }
            }
        }
        let words =
            ["no layer 3", "no token 17", "no head 2", "query is 1.5", "ratio R is 0", "no class", "another photo"];
        let refusals = found["refusals"].as_array().context("no refusals")?;
        for (said, word) in refusals.iter().zip(words) {
            ensure!(said.as_str().is_some_and(|said| said.contains(word)), "{said} should say \"{word}\"");
        }
        ensure!(refusals.len() == words.len(), "{refusals:?}");
    }
    Ok(())
}

pub(crate) fn numbers(values: &Value) -> Result<Vec<f32>> {
    let values = values.as_array().context("no array")?;
    values.iter().map(|value| Ok(value.as_f64().context("no number")? as f32)).collect()
}

/// What the section shows at the moment.
pub(crate) fn shown(browser: &Browser, what: &str) -> Result<String> {
    let value = browser.script(&format!("return String({what});"))?;
    Ok(value.as_str().context("no text")?.to_owned())
}

/// Chooses one of several.
pub(crate) fn pick(browser: &Browser, value: &str) -> Result<()> {
    browser.script(&format!("document.querySelector('#look input[value=\"{value}\"]').click();"))?;
    Ok(())
}

/// Writes down what the page asks its workers from now on.
const LISTEN: &str = "
    const post = Worker.prototype.postMessage;
    window.asked = [];
    Worker.prototype.postMessage = function (message, ...more) {
        window.asked.push(message.kind ?? message.type);
        return post.call(this, message, ...more);
    };";

/// A number that changes with what is on the map.
pub(crate) const MAP: &str = "(() => {
    const canvas = document.getElementById('look-map');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((sum, value, i) => (sum * 31 + value * (i % 7 + 1)) % 1000003, 7);
})()";

#[test]
fn an_answer_is_opened_up() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, Site::start()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    browser.script(LISTEN)?;
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.state == "ready", "{}", view.status);
    // Who only wants the name pays for nothing else.
    ensure!(shown(&browser, "window.asked")? == "preview,classify", "{}", shown(&browser, "window.asked")?);
    ensure!(shown(&browser, "document.getElementById('look').open")? == "false", "it is open by itself");
    browser.script("document.querySelector('#look summary').click();")?;
    page.wait_for("document.getElementById('look-caption').textContent.startsWith('Rollout from the last layer')")?;

    // The branches are all in the answer: nothing is asked.
    browser.script("window.asked.length = 0;")?;
    let list = "[...document.querySelectorAll('#predictions li')].map(({ dataset }) => dataset.probability)";
    let both = shown(&browser, list)?;
    let mut seen = vec![both.clone()];
    for (branch, title) in [("sa", "first look alone"), ("glca", "second look alone")] {
        pick(&browser, branch)?;
        page.wait_for(&format!("document.getElementById('answer-title').textContent.includes('{title}')"))?;
        let list = shown(&browser, list)?;
        ensure!(!seen.contains(&list), "{branch} says what another one says: {list}");
        let small = shown(&browser, "document.querySelector('#look-answer li').dataset.probability")?;
        ensure!(list.starts_with(&small), "two lists: {list} and {small}");
        seen.push(list);
    }
    browser.script("document.querySelector('#look-branch input').click();")?;
    ensure!(shown(&browser, list)? == both, "both is another answer than before");
    ensure!(shown(&browser, "window.asked")?.is_empty(), "{}", shown(&browser, "window.asked")?);

    // R: other patches are outlined at once, and the photo is not classified again.
    let mut maps = vec![shown(&browser, MAP)?];
    for (percent, patches) in [(50, 98), (100, 196), (3, 5)] {
        browser.script(&format!(
            "const ratio = document.getElementById('ratio');
             ratio.value = {percent};
             ratio.dispatchEvent(new Event('input', {{ bubbles: true }}));"
        ))?;
        page.wait_for(&format!("document.getElementById('ratio-said').textContent === '{patches} of 196'"))?;
        let how_many = shown(&browser, "document.getElementById('how-many').textContent")?;
        ensure!(how_many.contains(&format!("{patches} of 196")), "{how_many}");
        let before = maps.last().cloned().unwrap_or_default();
        page.wait_for(&format!("String({MAP}) !== '{before}'"))?;
        maps.push(shown(&browser, MAP)?);
    }
    ensure!(maps.iter().enumerate().all(|(i, map)| !maps[..i].contains(map)), "two R have the same map");
    let asked = shown(&browser, "window.asked")?;
    ensure!(asked.split(',').all(|asked| asked == "ratio"), "{asked}");

    // Rollout from a layer in the middle.
    let before = shown(&browser, MAP)?;
    browser.script(
        "const depth = document.getElementById('depth');
         depth.value = 4;
         depth.dispatchEvent(new Event('input', { bubbles: true }));",
    )?;
    page.wait_for("document.getElementById('look-caption').textContent.startsWith('Rollout from layer 4')")?;
    ensure!(shown(&browser, MAP)? != before, "the map did not change");

    // What set the two most probable apart, in two colours.
    pick(&browser, "apart")?;
    page.wait_for("document.getElementById('apart-said').textContent.includes('spoke for Mallard')")?;
    let sides = ["first", "second"].map(|side| {
        pick(&browser, side)?;
        page.wait_for("true")?;
        shown(&browser, MAP)
    });
    let [first, second] = sides;
    ensure!(first? != second?, "both sides look alike");
    Ok(())
}

#[test]
fn the_colours_and_the_outlines_over_the_photo_can_be_taken_away() -> Result<()> {
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    let browser = Browser::start(Options::default())?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.upload(&sample("mallard.png"))?;
    let map = MAP.replace("look-map", "attention");
    let mut seen = vec![shown(&browser, &map)?];
    for change in [
        "const range = document.getElementById('opacity'); range.value = 30; range.dispatchEvent(new Event('input'));",
        "const range = document.getElementById('opacity'); range.value = 0; range.dispatchEvent(new Event('input'));",
        "document.getElementById('queries').click();",
    ] {
        browser.script(change)?;
        let now = shown(&browser, &map)?;
        ensure!(!seen.contains(&now), "nothing changed: {change}");
        seen.push(now);
    }
    Ok(())
}

#[test]
fn layers_heads_and_patches_by_keyboard() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, Site::start()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    page.upload(&sample("mallard.png"))?;
    browser.script("document.getElementById('look').open = true;")?;
    pick(&browser, "layers")?;
    let caption = |text: &str| format!("document.getElementById('look-caption').textContent.startsWith('{text}')");
    page.wait_for(&caption("Layer 12, all heads, seen from the summary"))?;
    ensure!(shown(&browser, "document.querySelectorAll('#thumbs button').length")? == "52", "12 layers, GLCA, 3 heads");
    let key = |selector: &str, key: &str| {
        browser.script(&format!(
            "const element = document.querySelector('{selector}');
             element.focus();
             element.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true, cancelable: true }}));"
        ))
    };
    let current = "#thumbs [tabindex=\"0\"]";
    key(current, "ArrowDown")?;
    page.wait_for(&caption("Layer 12, head 1"))?;
    key(current, "ArrowLeft")?;
    page.wait_for(&caption("Layer 11, head 1"))?;
    ensure!(shown(&browser, "document.activeElement.getAttribute('aria-label')")? == "Layer 11, head 1", "focus");
    ensure!(shown(&browser, "document.querySelectorAll('#thumbs [aria-checked=true]').length")? == "1", "one choice");

    // From a patch: row 8, column 8 is the middle of 14 x 14; one up.
    let before = shown(&browser, MAP)?;
    key("#look-map", "ArrowUp")?;
    key("#look-map", "Enter")?;
    page.wait_for(&caption("Layer 11, head 1, seen from the patch in row 7, column 8"))?;
    ensure!(shown(&browser, MAP)? != before, "the map did not change");
    key("#look-map", "Escape")?;
    page.wait_for(&caption("Layer 11, head 1, seen from the summary"))?;
    // By touch or mouse, in the upper left corner; and back by the button.
    browser.script(
        "const map = document.getElementById('look-map');
         const { x, y } = map.getBoundingClientRect();
         map.dispatchEvent(new MouseEvent('click', { clientX: x + 5, clientY: y + 5, bubbles: true }));",
    )?;
    page.wait_for(&caption("Layer 11, head 1, seen from the patch in row 1, column 1"))?;
    let back = "document.getElementById('look-class').getClientRects().length > 0";
    ensure!(shown(&browser, back)? == "true", "there is no way back to the summary");
    browser.script("document.getElementById('look-class').click();")?;
    page.wait_for(&caption("Layer 11, head 1, seen from the summary"))?;
    ensure!(shown(&browser, back)? == "false", "a way back to where one is");
    Ok(())
}

#[test]
fn two_photos_stand_side_by_side_on_a_phone() -> Result<()> {
    let options = Options { size: (390, 844), phone: true, ..Options::default() };
    let (browser, site) = (Browser::start(options)?, Site::start()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    let view = page.upload(&sample("mallard.png"))?;
    browser.script("document.getElementById('look').open = true;")?;
    page.wait_for("document.getElementById('look-caption').textContent")?;
    browser.choose_file("input#other", &sample("white_pelican.png"))?;
    page.wait_for("document.querySelectorAll('#pair figure').length === 2")?;
    let said = shown(&browser, "document.getElementById('beside-said').textContent")?;
    ensure!(said == "This photo: Mallard; the other: White Pelican.", "{said}");
    let tops = "[...document.querySelectorAll('#pair figure')].map((figure) => figure.getBoundingClientRect().top)";
    ensure!(shown(&browser, &format!("{tops}[1] > {tops}[0]"))? == "true", "on a phone they stand one below the other");
    // The answer on the page is still that of the first photo, and it can still be looked into.
    let first = shown(&browser, "document.querySelector('#predictions li').dataset.label")?;
    ensure!(first == view.predictions[0].label, "{first}");
    for mode in ["layers", "apart", "rollout"] {
        pick(&browser, mode)?;
        page.wait_for(&format!("!document.getElementById('look-{mode}').hidden"))?;
        let wide = shown(&browser, "document.documentElement.scrollWidth > innerWidth")?;
        ensure!(wide == "false", "{mode}: the page is wider than the phone");
    }
    pick(&browser, "layers")?;
    page.wait_for("document.getElementById('look-caption').textContent.startsWith('Layer 12, all heads')")?;
    // A file that is no photo changes nothing but a sentence.
    browser.choose_file("input#other", &sample("LICENCE.md"))?;
    page.wait_for("document.getElementById('beside-said').textContent.includes('was not taken')")?;
    ensure!(shown(&browser, "document.querySelectorAll('#pair figure').length")? == "2", "the pair is gone");
    // While another answer is on its way there is nothing to look into, and nothing moves.
    browser.script(
        "const inside = document.getElementById('look-inside');
         window.kept = new Promise((resolve) => new MutationObserver(() => inside.inert && resolve([inside.offsetHeight,
             getComputedStyle(document.getElementById('look-map')).visibility])).observe(inside, { attributes: true }));",
    )?;
    page.upload(&sample("white_pelican.png"))?;
    let kept = browser.script("return window.kept;")?;
    ensure!(kept[0].as_f64() > Some(300.0) && kept[1] == "hidden", "{kept}");
    // Where none comes, the place is given up.
    let view = page.upload(&sample("LICENCE.md"))?;
    ensure!(view.state == "error", "{}", view.status);
    ensure!(shown(&browser, "document.getElementById('look-inside').offsetHeight")? == "0", "an empty place");
    ensure!(shown(&browser, "document.getElementById('look-empty').checkVisibility()")? == "true", "nothing is said");
    Ok(())
}

#[test]
fn a_device_lost_while_looking_is_replaced() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, site(LOSING)?);
    let (page, _) = Page::open(&browser, &site.page("backend=webgpu"))?;
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.state == "ready" && view.status.contains("WebGPU"), "{}", view.status);
    browser.script("document.getElementById('look').open = true;")?;
    page.wait_for("document.getElementById('look-caption').textContent.startsWith('Rollout')")?;
    lose(&browser, "1")?;
    pick(&browser, "layers")?;
    page.wait_for("document.getElementById('look-caption').textContent.startsWith('Layer 3, all heads')")?;
    let said = page.notice("device-lost")?.context("nothing is said of it")?;
    ensure!(said.contains("lost"), "{said}");
    let status = page.text("#status")?;
    ensure!(
        browser.script("return document.documentElement.dataset.state;")? == "ready" && status.contains("Took"),
        "{status}"
    );
    // The R that was chosen is there on the new device, too.
    browser.script(
        "const ratio = document.getElementById('ratio');
         ratio.value = 50;
         ratio.dispatchEvent(new Event('input', { bubbles: true }));",
    )?;
    page.wait_for("document.getElementById('ratio-said').textContent === '8 of 16'")?;
    lose(&browser, "1")?;
    pick(&browser, "apart")?;
    page.wait_for("document.getElementById('apart-said').textContent.includes('spoke for')")?;
    Ok(())
}
