//! Memory stays where it is: of the module, of the graphics device, and of the page as a whole.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::site::{Site, prepend};
use finegrain_page_tests::small;
use serde_json::{Value, json};

const SWITCHES: usize = 20;
const PHOTOS: usize = 200;

/// What the JavaScript of the page and of its workers may differ by between two collections of garbage; a worker that was
/// left behind has 0.7 MB.
const ROOM: f64 = 2e6;

/// Before the worker's script: answers as long as the worker lives, and counts what lies on graphics devices; tells it whenever
/// a device comes or goes, and when it is asked. It looks at the browser's own objects, not at what the page says of itself.
const COUNTED: &str = "
    const gpu = new BroadcastChannel('gpu');
    gpu.addEventListener('message', ({ data }) => data === 'who?' && gpu.postMessage({ here: 1 }));
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
/// the way: of the module, of the device as the API says and as the browser's objects say, of JavaScript; and which workers and
/// devices a `free()` has left.
const MEASURE: &str = "return import('./pkg/finegrain.js').then(async ({ Classifier }) => {
    const channel = new BroadcastChannel('gpu');
    let devices = 0, opened = 0, here = 0, answered = () => {};
    channel.onmessage = ({ data }) => {
        devices += data.devices ?? 0;
        here += data.here ?? 0;
        if (data.devices === 1) opened += 1;
        if (data.bytes !== undefined) answered(data.bytes);
    };
    const onDevice = () => new Promise((resolve) => {
        answered = resolve;
        channel.postMessage('bytes?');
    });
    const pause = () => new Promise((resolve) => setTimeout(resolve, 100));
    const workers = async () => {
        here = 0;
        channel.postMessage('who?');
        await pause();
        return here;
    };
    // The browser takes half a minute for it.
    const script = async () => (await performance.measureUserAgentSpecificMemory()).bytes;
    const photo = await (await fetch('samples/mallard.png')).blob();
    const load = () => Classifier.load('models/small/', { backend: BACKEND });
    const switches = { script: [], gpu: [], devices: [], workers: [] };
    for (let i = 0; i < SWITCHES; i += 1) {
        const classifier = await load();
        await classifier.classify(photo);
        switches.gpu.push((await classifier.memory()).gpu);
        classifier.free();
        await pause();
        switches.devices.push(devices);
        switches.workers.push(await workers());
        if (i === 4 || i === SWITCHES - 1) switches.script.push(await script());
    }
    const photos = { script: [], wasm: [], gpu: [], buffers: [] };
    const classifier = await load();
    for (let i = 0; i < PHOTOS; i += 1) {
        await classifier.classify(photo);
        if (i % 50 !== 4 && i !== PHOTOS - 1) continue;
        const { wasm, gpu } = await classifier.memory();
        photos.wasm.push(wasm);
        photos.gpu.push(gpu);
        if (BACKEND === 'webgpu') photos.buffers.push(await onDevice());
        if (i === 4 || i === PHOTOS - 1) photos.script.push(await script());
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

/// What holds on both back ends.
fn nothing_grows(measured: &Value) -> Result<()> {
    let (switches, photos) = (&measured["switches"], &measured["photos"]);
    stays(&photos["wasm"], 0.0).context("wasm memory over the photos")?;
    stays(&photos["script"], ROOM).context("JavaScript over the photos")?;
    stays(&switches["script"], ROOM).context("JavaScript over the switches")?;
    stays(&switches["workers"], 0.0).context("workers, each with its wasm memory, over the switches")?;
    ensure!(switches["workers"][0].as_u64() > Some(0), "the page's own worker is not counted: {measured}");
    Ok(())
}

#[test]
fn switches_and_photos_leave_the_cpus_memory_where_it_was() -> Result<()> {
    nothing_grows(&measure("cpu")?)
}

#[test]
fn switches_and_photos_leave_the_graphics_devices_memory_where_it_was() -> Result<()> {
    let measured = measure("webgpu")?;
    let (switches, photos) = (&measured["switches"], &measured["photos"]);
    nothing_grows(&measured)?;
    stays(&photos["gpu"], 0.0).context("the API's buffers over the photos")?;
    stays(&photos["buffers"], 0.0).context("the browser's buffers over the photos")?;
    stays(&switches["gpu"], 0.0).context("the API's buffers over the switches")?;
    // What the API says is what the browser has.
    ensure!(photos["gpu"] == photos["buffers"] && photos["gpu"][0].as_f64() > Some(1e5), "{measured}");
    // Every device was given back, with all that lay on it, and not by the end of the page.
    let none = json!(vec![0; SWITCHES]);
    ensure!(
        measured["opened"] == SWITCHES + 1 && measured["devices"] == 0 && switches["devices"] == none,
        "{measured}"
    );
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
    const script = async () => (await performance.measureUserAgentSpecificMemory()).bytes;
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
        if (i === 4 || i === SWITCHES - 1) found.switches.push(await script());
    }
    for (let i = 0; i < PHOTOS; i += 1) {
        await give(i);
        if (i !== 4 && i !== PHOTOS - 1) continue;
        found.photos.push(await script());
        found.elements.push(document.querySelectorAll('*').length);
    }
    return found;
})();";

#[test]
fn the_page_itself_keeps_nothing_of_former_networks_and_photos() -> Result<()> {
    let site = Site::damaged(|www| small::install_as(www, &["small", "twin"], &small::bundle()?))?;
    let browser = Browser::start(Options::default())?;
    Page::open(&browser, &site.page("backend=cpu"))?;
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
