//! A hybrid on the page: convolutions before a transformer, in both modules and on two threads.

use anyhow::{Result, ensure};
use finegrain::compare::reals;
use finegrain::cpu::Cpu;
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::sample;
use finegrain_page_tests::site::Site;
use finegrain_page_tests::{random, small};
use serde_json::json;

use crate::looking::{input, numbers};
use crate::residual::{ANSWER, BACKENDS};

#[test]
fn a_hybrid_answers_as_the_program_does() -> Result<()> {
    let bundle = random::hybrid()?;
    let site = Site::damaged(|www| small::install(www, &bundle))?;
    let browser = Browser::start(Options::default())?;
    let (page, view) = Page::open(&browser, &site.page("backend=cpu"))?;
    ensure!(view.state == "ready", "{}", view.status);
    let network = Cpu::load(&bundle.manifest.architecture, &bundle.weights)?;
    let truth = network.see(&input(&bundle)?)?;
    for (backend, threads) in BACKENDS {
        let script = ANSWER
            .replace("FOLDER", "small")
            .replace("BACKEND", &format!("'{backend}'"))
            .replace("THREADS", &threads.to_string());
        let found = browser.script(&script)?;
        ensure!(found["backend"] == *backend, "{found}");
        ensure!(found["shape"] == json!([2, 2, [[8, 8], [8, 8]], 0.2]) && found["map"] == "rollout", "{found}");
        for (what, truth) in
            [("probability", truth.answer().probability.as_slice()), ("activation", &truth.answer().rollout[1..])]
        {
            let difference = reals(&numbers(&found[what])?, truth).rel_norm;
            ensure!(difference < 1e-4, "{backend}, {threads} threads, {what}: {difference:.1e}");
        }
        // It has tokens: nothing is refused.
        ensure!(found["refusals"] == json!(["not refused", "not refused", "not refused"]), "{found}");
    }
    let view = page.upload(&sample("mallard.png"))?;
    ensure!(view.predictions.len() == 5, "{}", view.status);
    Ok(())
}
