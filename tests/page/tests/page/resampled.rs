//! TASN's second look at a photo as attention resampled it: through the API and on the page.

use anyhow::{Result, ensure};
use finegrain::cpu::Cpu;
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::{random, small};

use crate::looking::{MAP, input, numbers, pick, shown};

/// The sampling through the API, on both back ends.
const SAMPLING: &str = "return (async () => {
    const { Classifier } = await import('./pkg/finegrain.js');
    const data = new Uint8ClampedArray(48 * 36 * 4);
    for (let i = 0; i < data.length; i += 1) data[i] = i % 4 === 3 ? 255 : (i * 31 + (i >> 6) * 17) % 256;
    const network = await Classifier.load('models/small/', { backend: BACKEND });
    const { sampling } = await network.classify(new ImageData(data, 48, 36));
    const found = { backend: network.backend, sampling: sampling && [Array.from(sampling.rows), Array.from(sampling.columns)] };
    network.free();
    return found;
})();";

/// A photo that is lighter from row to row and redder from column to column, drawn as a sampling of its middle; where each drawn
/// row and column comes from, by its colour. And where a patch's heat lies over the photo.
const DRAWN: &str = "return (async () => {
    const { drawResampled, middleOf } = await import('./js/resampled.js');
    const { heatImage } = await import('./js/heat.js');
    const photo = new OffscreenCanvas(256, 256);
    const image = new ImageData(256, 256);
    for (let i = 0; i < 256 * 256; i += 1) image.data.set([i % 256, i >> 8, 0, 255], 4 * i);
    photo.getContext('2d').putImageData(image, 0, 0);
    const rows = Float32Array.from({ length: 64 }, (_, i) => 0.25 + i / 128);
    const columns = Float32Array.from({ length: 32 }, (_, i) => (i / 32) ** 2);
    const drawn = new OffscreenCanvas(96, 128).getContext('2d');
    drawResampled(drawn, photo, { rows, columns });
    const pixels = drawn.getImageData(0, 0, 96, 128).data;
    const found = { down: [], along: [] };
    for (let i = 4; i < 60; i += 1) found.down.push(pixels[4 * ((2 * i + 1) * 96 + 40) + 1] / 256 - rows[i]);
    for (let i = 4; i < 28; i += 1) found.along.push(pixels[4 * (50 * 96 + 3 * i + 1)] / 256 - columns[i]);
    const values = new Float32Array(16);
    values[4 * 1 + 2] = 1;
    const heat = heatImage(values, [4, 4], undefined, { rows, columns });
    const alpha = heat.getContext('2d').getImageData(0, 0, heat.width, heat.height).data;
    let sum = 0, x = 0, y = 0;
    for (let i = 0; i < heat.width * heat.height; i += 1) {
        sum += alpha[4 * i + 3];
        x += alpha[4 * i + 3] * ((i % heat.width) + 0.5);
        y += alpha[4 * i + 3] * (Math.floor(i / heat.width) + 0.5);
    }
    found.heat = [y / sum / heat.height - middleOf(1, 4, rows), x / sum / heat.width - middleOf(2, 4, columns)];
    return found;
})();";

#[test]
fn the_resampled_photo_is_shown() -> Result<()> {
    let bundle = random::resampling()?;
    let site = Site::damaged(|www| small::install(www, &bundle))?;
    let browser = Browser::start(Options::default())?;
    let (page, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "ready", "{}", view.status);
    let architecture = &bundle.manifest.architecture;
    let network = Cpu::load(architecture, &bundle.weights)?;
    let image = input(&bundle)?;
    let truth = network.classify(&image)?.sampling_shares(architecture.input_size(), architecture.grid());
    let moved = truth[0].iter().enumerate().map(|(i, share)| (share - i as f32 / 64.0).abs()).fold(0.0, f32::max);
    ensure!(moved > 0.005, "an even grid tells little: {moved}");
    for backend in ["cpu", "webgpu"] {
        let found = browser.script(&SAMPLING.replace("BACKEND", &format!("'{backend}'")))?;
        ensure!(found["backend"] == backend, "{found}");
        for (axis, truth) in truth.iter().enumerate() {
            let found = numbers(&found["sampling"][axis])?;
            ensure!(found.len() == 64 && found.is_sorted(), "{backend}: {found:?}");
            let worst = found.iter().zip(truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            ensure!(worst < 1e-5, "{backend}: a share is off by {worst}");
        }
    }

    let drawn = browser.script(DRAWN)?;
    for (what, most) in [("down", 0.01), ("along", 0.01), ("heat", 0.04)] {
        let apart = numbers(&drawn[what])?;
        ensure!(!apart.is_empty() && apart.iter().all(|v| v.abs() < most), "{what}: {apart:?}");
    }

    page.upload(&sample("mallard.png"))?;
    browser.script("document.getElementById('look').open = true;")?;
    let caption = |text: &str| format!("document.getElementById('look-caption').textContent.startsWith('{text}')");
    page.wait_for(&caption("Rollout"))?;
    let rollout = shown(&browser, MAP)?;
    pick(&browser, "resampled")?;
    page.wait_for(&caption("The photo as the network saw it: up to "))?;
    ensure!(shown(&browser, MAP)? != rollout, "the map did not change");

    // A network that sees the photo as it is offers nothing of the kind.
    let site = Site::damaged(|www| small::install(www, &small::bundle()?))?;
    let (page, _) = Page::open(&browser, &site.page("backend=cpu"))?;
    page.upload(&sample("mallard.png"))?;
    ensure!(shown(&browser, "document.getElementById('resampled-mode').hidden")? == "true", "a mode without anything");
    let found = browser.script(&SAMPLING.replace("BACKEND", "'cpu'"))?;
    ensure!(found["sampling"].is_null(), "{found}");
    Ok(())
}
