//! `finegrain verify`: `{"burn": {"<output>": {"max_abs", "rel_norm"}}, "webgpu": {...}, "cpu": {...}, "backend": {...}, "pass",
//! "failed", "missing", "adapter"}`. `backend` holds, for each output, the worst of the back ends that ran; a distance
//! that is not finite is null. Exit status 1 unless `pass`. A trace may be of a whole network or of TASN, RGA or Attend and
//! Rectify by themselves, which the back end `cpu` does not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use finegrain::compare::Difference;
use serde::Serialize;

use super::Outcome;
use super::output::Output;
use crate::traces::Traced;
use crate::verify::{self, FORWARD, GRADIENT, Verdict};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A trace: safetensors with input, weights and results
    #[arg(value_name = "TRACE.safetensors")]
    trace: PathBuf,
    /// What to compare with it: the burn model (gradients too), our shaders, our pass on the processor, or all
    #[arg(long, value_enum, default_value_t = Which::All)]
    backend: Which,
    /// Weights for a trace that holds none (timm's names); GLCA becomes a copy of the last block
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Burn,
    Webgpu,
    Cpu,
    All,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    backends: BTreeMap<&'static str, BTreeMap<String, Difference>>,
    backend: BTreeMap<String, Difference>,
    pass: bool,
    failed: Vec<String>,
    missing: Vec<String>,
    adapter: Option<String>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let trace = Traced::read(&args.trace, args.weights.as_deref())?;
    let mut verdicts: BTreeMap<&'static str, Verdict> = BTreeMap::new();
    let mut adapter = None;
    let wanted = |which| [which, Which::All].contains(&args.backend);
    if let (Traced::Part(part), Which::Cpu) = (&trace, args.backend) {
        bail!("the back end cpu has no {}: use --backend burn or webgpu", part.mechanism.name());
    }
    if wanted(Which::Burn) {
        let verdict = match &trace {
            Traced::Network(trace) => verify::burn(trace),
            Traced::Part(part) => verify::burn_part(part),
        };
        verdicts.insert("burn", verdict?);
    }
    if let (Traced::Network(trace), true) = (&trace, wanted(Which::Cpu)) {
        verdicts.insert("cpu", verify::cpu(trace)?);
    }
    if wanted(Which::Webgpu) {
        let (verdict, name) = match &trace {
            Traced::Network(trace) => verify::webgpu(trace),
            Traced::Part(part) => verify::webgpu_part(part),
        }?;
        verdicts.insert("webgpu", verdict);
        adapter = Some(name);
    }
    let report = Report::new(verdicts, adapter);
    output.print(&report, text)?;
    Ok(if report.pass { Outcome::Good } else { Outcome::Bad })
}

impl Report {
    fn new(verdicts: BTreeMap<&'static str, Verdict>, adapter: Option<String>) -> Self {
        // A trace without anything to compare proves nothing.
        let pass = verdicts.values().all(|verdict| verdict.pass() && !verdict.differences.is_empty());
        let (mut failed, mut missing) = (Vec::new(), Vec::new());
        let mut worst: BTreeMap<String, Difference> = BTreeMap::new();
        for (backend, verdict) in &verdicts {
            failed.extend(verdict.failed.iter().map(|name| format!("{backend}: {name}")));
            missing.extend(verdict.missing.iter().map(|name| format!("{backend}: {name}")));
            for (name, &difference) in &verdict.differences {
                let entry = worst.entry(name.clone()).or_insert(difference);
                entry.max_abs = entry.max_abs.max(difference.max_abs);
                entry.rel_norm = entry.rel_norm.max(difference.rel_norm);
            }
        }
        let backends = verdicts.into_iter().map(|(backend, verdict)| (backend, verdict.differences)).collect();
        Self { backends, backend: worst, pass, failed, missing, adapter }
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for (backend, differences) in &report.backends {
        let _ = writeln!(text, "{backend:<32} {:>10} {:>10}", "max abs", "rel norm");
        for (name, difference) in differences {
            let bad = report.failed.contains(&format!("{backend}: {name}"));
            let mark = if bad { "  too far" } else { "" };
            let _ = writeln!(text, "  {name:<30} {:>10.2e} {:>10.2e}{mark}", difference.max_abs, difference.rel_norm);
        }
    }
    for name in &report.missing {
        let _ = writeln!(text, "not computed by {name}");
    }
    let verdict = if report.pass { "passed" } else { "FAILED" };
    let _ = writeln!(
        text,
        "{verdict} (relative norm at most {FORWARD:.0e}, gradients {GRADIENT:.0e}; of coordinates the largest difference)"
    );
    text
}
