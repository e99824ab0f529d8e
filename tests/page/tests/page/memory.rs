//! Memory stays where it is: of the module, of the graphics device, and of the page as a whole.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::site::{Site, prepend};
use finegrain_page_tests::small;
use serde_json::{Value, json};

const SWITCHES: usize = 20;
const PHOTOS: usize = 200;

/// What the whole page may differ by between two collections of garbage.
const ROOM: f64 = 8e6;

/// Before the worker's script: counts what lies on graphics devices, and tells it whenever a device comes or goes and whenever
/// it is asked. It looks at the browser's own objects, not at what the page says of itself.
const COUNTED: &str = "
    const gpu = new BroadcastChannel('gpu');
    const request = globalThis.GPUAdapter?.prototype.requestDevice;
    if (request) GPUAdapter.prototype.requestDevice = async function (...given) {
        const device = await request.apply(this, given);
        const sizes = new Map();
        const create = device.createBuffer;
        device.createBuffer = function (descriptor) {
            const buffer = create.call(this, descriptor);
            const destroy = buffer.destroy;
            sizes.set(buffer, descriptor.size);
            buffer.destroy = function () {
                sizes.delete(buffer);
                destroy.call(this);
            };
            return buffer;
        };
        const destroy = device.destroy;
        device.destroy = function () {
            sizes.clear();
            destroy.call(this);
            gpu.postMessage({ devices: -1 });
        };
        gpu.addEventListener('message', ({ data }) => {
            if (data === 'bytes?') gpu.postMessage({ bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0) });
        });
        gpu.postMessage({ devices: 1 });
        return device;
    };";

/// Loads, classifies and frees again and again, then classifies again and again, and writes down what memory was taken on
/// the way: of the module, of the device as the API says and as the browser's objects say, and of all.
const MEASURE: &str = "return import('./pkg/finegrain.js').then(async ({ Classifier }) => {
    const channel = new BroadcastChannel('gpu');
    let devices = 0, opened = 0, answered = () => {};
    channel.onmessage = ({ data }) => {
        devices += data.devices ?? 0;
        if (data.devices === 1) opened += 1;
        if (data.bytes !== undefined) answered(data.bytes);
    };
    const onDevice = () => new Promise((resolve) => {
        answered = resolve;
        channel.postMessage('bytes?');
    });
    const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
    const all = async () => (await performance.measureUserAgentSpecificMemory()).bytes;
    const photo = await (await fetch('samples/mallard.png')).blob();
    const load = () => Classifier.load('models/small/', { backend: BACKEND });
    const switches = { all: [], gpu: [], left: [] };
    for (let i = 0; i < SWITCHES; i += 1) {
        const classifier = await load();
        await classifier.classify(photo);
        switches.gpu.push((await classifier.memory()).gpu);
        classifier.free();
        await pause();
        switches.left.push(devices);
        if (i % 5 === 4) switches.all.push(await all());
    }
    const photos = { all: [], wasm: [], gpu: [], buffers: [] };
    const classifier = await load();
    for (let i = 0; i < PHOTOS; i += 1) {
        await classifier.classify(photo);
        if (i % 50 !== 4 && i !== PHOTOS - 1) continue;
        const { wasm, gpu } = await classifier.memory();
        photos.wasm.push(wasm);
        photos.gpu.push(gpu);
        if (BACKEND === 'webgpu') photos.buffers.push(await onDevice());
        photos.all.push(await all());
    }
    classifier.free();
    await pause();
    return { backend: classifier.backend, opened, devices, switches, photos };
});";

fn small_site() -> Result<Site> {
    Site::damaged(|www| {
        prepend(&www.join("pkg/worker.js"), COUNTED)?;
        small::install(www, &small::bundle()?)
    })
}

fn measure(backend: &str) -> Result<Value> {
    let (browser, site) = (Browser::start(Options::default())?, small_site()?);
    Page::open(&browser, &site.page("backend=cpu"))?;
    let script = MEASURE
        .replace("BACKEND", &format!("'{backend}'"))
        .replace("SWITCHES", &SWITCHES.to_string())
        .replace("PHOTOS", &PHOTOS.to_string());
    let measured = browser.script(&script)?;
    println!("{measured}");
    ensure!(measured["backend"] == backend, "{measured}");
    Ok(measured)
}

#[test]
fn switches_and_photos_leave_the_cpus_memory_where_it_was() -> Result<()> {
    let measured = measure("cpu")?;
    stays(&measured["photos"]["wasm"], 0.0).context("wasm memory over the photos")?;
    stays(&measured["photos"]["all"], ROOM).context("all memory over the photos")?;
    stays(&measured["switches"]["all"], ROOM).context("all memory over the switches")
}

#[test]
fn switches_and_photos_leave_the_graphics_devices_memory_where_it_was() -> Result<()> {
    let measured = measure("webgpu")?;
    let (switches, photos) = (&measured["switches"], &measured["photos"]);
    stays(&photos["wasm"], 0.0).context("wasm memory over the photos")?;
    stays(&photos["gpu"], 0.0).context("the API's buffers over the photos")?;
    stays(&photos["buffers"], 0.0).context("the browser's buffers over the photos")?;
    stays(&photos["all"], ROOM).context("all memory over the photos")?;
    stays(&switches["gpu"], 0.0).context("the API's buffers over the switches")?;
    stays(&switches["all"], ROOM).context("all memory over the switches")?;
    // What the API says is what the browser has.
    let (said, found) = (photos["gpu"][0].as_f64(), photos["buffers"][0].as_f64());
    ensure!(said > Some(1e5) && said <= found && found <= said.map(|said| 1.1 * said), "{said:?} of {found:?}");
    // Every device was given back, with all that lay on it, and not by the end of the page.
    let none = json!(vec![0; SWITCHES]);
    ensure!(measured["opened"] == SWITCHES + 1 && measured["devices"] == 0 && switches["left"] == none, "{measured}");
    Ok(())
}

/// The same through the page itself: its switch, its stage, its lists.
const LIVE: &str = "return (async () => {
    const photo = await (await fetch('samples/mallard.png')).blob();
    const state = () => document.documentElement.dataset.state;
    const answer = () => new Promise((resolve) => {
        const look = () => (state() === 'ready' && document.querySelector('#predictions li') ? resolve() : setTimeout(look, 5));
        look();
    });
    const all = async () => (await performance.measureUserAgentSpecificMemory()).bytes;
    const input = document.querySelector('#photo');
    const give = (i) => {
        const files = new DataTransfer();
        files.items.add(new File([photo], `${i}.png`, { type: 'image/png' }));
        input.files = files.files;
        input.dispatchEvent(new Event('change'));
        return answer();
    };
    const found = { switches: [], photos: [], elements: [] };
    await give('first');
    const models = [...document.querySelectorAll('#models input')];
    for (let i = 0; i < SWITCHES; i += 1) {
        models[(i + 1) % 2].click();
        await answer();
        if (i % 5 === 4) found.switches.push(await all());
    }
    for (let i = 0; i < PHOTOS; i += 1) {
        await give(i);
        if (i % 50 !== 4 && i !== PHOTOS - 1) continue;
        found.photos.push(await all());
        found.elements.push(document.querySelectorAll('*').length);
    }
    return found;
})();";

#[test]
fn the_page_itself_keeps_nothing_of_former_networks_and_photos() -> Result<()> {
    let site = Site::damaged(|www| small::install_as(www, &["small", "twin"], &small::bundle()?))?;
    let browser = Browser::start(Options::default())?;
    Page::open(&browser, &site.page("backend=webgpu"))?;
    let script = LIVE.replace("SWITCHES", &SWITCHES.to_string()).replace("PHOTOS", &PHOTOS.to_string());
    let found = browser.script(&script)?;
    println!("{found}");
    stays(&found["switches"], ROOM).context("over the switches")?;
    stays(&found["photos"], ROOM).context("over the photos")?;
    stays(&found["elements"], 0.0).context("elements of the page")
}

/// The last is not more than the first by more than `room`.
fn stays(values: &Value, room: f64) -> Result<()> {
    let values: Vec<f64> = values.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let [first, .., last] = values[..] else { anyhow::bail!("too few values: {values:?}") };
    ensure!(last - first <= room, "it grows: {values:?}");
    Ok(())
}
