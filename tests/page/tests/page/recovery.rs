//! Devices that are lost or compute wrongly. WebGPU is SwiftShader here, and the network a very small one.
//!
//! The page offers no way to break a device. The tests put code before the worker's script (in their copy of the page)
//! that stands between the browser's WebGPU and ours, and speaks to the test over a `BroadcastChannel`.

use anyhow::{Context, Result, ensure};
use finegrain::tensors::{Tensor, Values};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::{Site, prepend};
use finegrain_page_tests::small;

/// Destroys the device right after a submission, as often as the test asks for: the photo is on its way then.
pub(crate) const LOSING: &str = "
    let left = 0, submissions = 0, test = null;
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...given) {
        const device = await request.apply(this, given);
        // The page has other workers from the same script: the one with the device answers.
        test ??= new BroadcastChannel('test');
        test.onmessage = ({ data }) => {
            if (data.lose === 'now') device.destroy();
            else if (data.lose !== undefined) left = data.lose;
            test.postMessage({ submissions });
        };
        const submit = device.queue.submit;
        device.queue.submit = function (commands) {
            submit.call(this, commands);
            submissions += 1;
            if (left > 0) {
                left -= 1;
                device.destroy();
            }
        };
        return device;
    };";

/// A kernel that forgets half of itself, as a driver's compiler may.
const WRONG_KERNEL: &str = "
    const create = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (descriptor) {
        const code = descriptor.code.replace('u.keep * weight(token)', '0.8 * u.keep * weight(token)');
        return create.call(this, { label: descriptor.label, code });
    };";

pub(crate) fn site(code: &str) -> Result<Site> {
    Site::damaged(|www| {
        prepend(&www.join("pkg/worker.js"), code)?;
        small::install(www, &small::bundle()?)
    })
}

/// Tells the worker how many devices are to be lost; gives the number of submissions until now.
pub(crate) fn lose(browser: &Browser, devices: &str) -> Result<u64> {
    let answer = browser.script(&format!(
        "const test = new BroadcastChannel('test');
         test.postMessage({{ lose: {devices} }});
         return new Promise((resolve) => {{ test.onmessage = ({{ data }}) => resolve(data.submissions); }});"
    ))?;
    answer.as_u64().context("the worker does not answer")
}

#[test]
fn a_lost_device_is_replaced_and_the_photo_run_again() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, site(LOSING)?);
    let (page, view) = Page::open(&browser, &site.page("backend=webgpu"))?;
    ensure!(view.state == "ready" && view.status.contains("WebGPU"), "{}", view.status);
    let photo = sample("mallard.png");
    let whole = page.upload(&photo)?;
    // On the way and while nothing runs; also repeatedly: an answer in between starts the count again.
    for when in ["1", "'now'", "1"] {
        lose(&browser, when)?;
        let view = page.upload(&photo)?;
        ensure!(view.state == "ready" && view.status.contains("WebGPU"), "{}", view.status);
        let said = page.notice("device-lost")?.context("nothing is said of it")?;
        ensure!(said.contains("lost"), "{said}");
        for (shown, before) in view.predictions.iter().zip(&whole.predictions) {
            ensure!((shown.probability - before.probability).abs() < 1e-5, "another answer: {:?}", view.predictions);
        }
    }
    Ok(())
}

#[test]
fn after_three_losses_in_a_row_the_cpu_takes_over() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, site(LOSING)?);
    let (page, _) = Page::open(&browser, &site.page("backend=webgpu"))?;
    lose(&browser, "3")?;
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.state == "ready" && view.predictions.len() == small::CLASSES, "no answer: {}", view.status);
    ensure!(view.status.contains("CPU"), "it does not run on the CPU: {}", view.status);
    let said = page.notice("step-down")?.context("nothing is said of it")?;
    ensure!(said.contains("three times"), "{said}");
    Ok(())
}

#[test]
fn the_self_test_is_made_once_for_a_bundle_and_a_device() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, site(LOSING)?);
    Page::open(&browser, &site.page("backend=webgpu"))?;
    ensure!(lose(&browser, "undefined")? == 1, "the self-test was not made");
    Page::open(&browser, &site.page("backend=webgpu"))?;
    ensure!(lose(&browser, "undefined")? == 0, "the self-test was made again");
    Ok(())
}

#[test]
fn a_device_that_computes_wrongly_is_left_and_a_report_offered() -> Result<()> {
    let (browser, site) = (Browser::start(Options::default())?, site(WRONG_KERNEL)?);
    let (page, view) = Page::open(&browser, &site.page("backend=webgpu"))?;
    ensure!(view.state == "ready", "{}", view.status);
    let said = page.notice("self-test")?.context("nothing is said of it")?;
    ensure!(said.contains("wrongly") && said.contains("rollout") && said.contains("CPU"), "{said}");
    // Where the clipboard is not given (as here), the report itself is shown.
    browser.script("document.querySelector('#notices [data-kind=self-test] button').click();")?;
    page.wait_for("document.querySelector('#notices textarea') || document.querySelector('#notices button')?.textContent === 'Copied'")?;
    let report = browser.script("return document.querySelector('#notices textarea')?.value ?? '';")?;
    let report = report.as_str().unwrap_or_default();
    ensure!(report.contains("first difference: out.rollout") && report.contains("device: webgpu"), "{report}");
    println!("{said}\n{report}");
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.state == "ready" && view.status.contains("CPU"), "{}", view.status);
    Ok(())
}

#[test]
fn a_bundle_whose_trace_is_wrong_everywhere_is_not_trusted() -> Result<()> {
    let (browser, site) = (
        Browser::start(Options::default())?,
        Site::damaged(|www| {
            let mut bundle = small::bundle()?;
            let logits = bundle.trace.remove("out.logits.sa").context("it has logits")?;
            let Values::F32(values) = logits.values else { anyhow::bail!("logits are reals") };
            let off = Tensor::f32(logits.shape, values.iter().map(|value| value * 1.01).collect());
            bundle.trace.insert("out.logits.sa", off);
            small::install(www, &bundle)
        })?,
    );
    let (page, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "ready", "{}", view.status);
    let said = page.notice("self-test")?.context("nothing is said of it")?;
    ensure!(said.contains("do not trust"), "{said}");
    Ok(())
}

/// A helper that stops in the middle of the third photo (the first is the self-test), once.
const STOPPING: &str = "
    let photos = 0;
    const set = Float32Array.prototype.set;
    Float32Array.prototype.set = function (...given) {
        // What is given away goes into the common memory; a photo begins with taking the image out of it.
        if (given[0].buffer instanceof SharedArrayBuffer && given[0].length === 3 * 32 * 32) photos += 1;
        if (photos === 3 && this.buffer instanceof SharedArrayBuffer) throw new WebAssembly.RuntimeError('stopped by the test');
        return set.apply(this, given);
    };";

#[test]
fn a_helper_that_stops_costs_one_photo_and_the_next_one_is_answered() -> Result<()> {
    let browser = Browser::start(Options::default())?;
    let site = Site::damaged(|www| {
        prepend(&www.join("pkg/helper.js"), STOPPING)?;
        small::install(www, &small::bundle()?)
    })?;
    browser.open(&site.page("backend=cpu"))?;
    let found = browser.script(
        "return import('./pkg/finegrain.js').then(async ({ Classifier }) => {
             const photo = await (await fetch('samples/mallard.png')).blob();
             const classifier = await Classifier.load('models/small/', { backend: 'cpu', threads: 3 });
             const answers = [];
             for (let i = 0; i < 3; i += 1) {
                 answers.push(await classifier.classify(photo).then(({ adapter }) => adapter, ({ message }) => message));
             }
             classifier.free();
             return answers;
         });",
    )?;
    let words = |i: usize| found[i].as_str().unwrap_or_default().to_owned();
    ensure!(words(0).contains("3 threads"), "{found}");
    ensure!(words(1).contains("stopped unexpectedly") && words(1).contains("next photo"), "{found}");
    ensure!(words(2).contains("3 threads"), "{found}");
    Ok(())
}
