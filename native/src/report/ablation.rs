//! Several runs as one table: mean and standard deviation over the runs (seeds) of each mechanism.

use std::collections::{BTreeMap, BTreeSet};

use finegrain::architecture::{Architecture, Dcal, Mechanism, RgaBlocks};
use finegrain::engine::{Command, record};
use finegrain::tensors::Precision;
use serde::Serialize;
use serde_json::Value;

use super::Run;
use crate::train::TestAccuracy;

/// Keys of a recipe in which the runs of a table may differ.
const FREE: [&str; 4] = ["id", "title", "train.seed", "train.workers"];

/// The runs of one mechanism.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// What is switched on.
    pub(crate) mechanism: String,
    /// Names and seeds of the runs that have finished.
    pub(crate) runs: Vec<(String, u64)>,
    /// Runs that are not counted: unfinished, or without test photos.
    pub(crate) left_out: Vec<String>,
    /// Test top-1 of the answer, of SA and of GLCA alone; in re-identification mAP ([`measure`]).
    pub(crate) answer: Option<Spread>,
    pub(crate) sa: Option<Spread>,
    pub(crate) glca: Option<Spread>,
    /// Of the network that answers; none where no run has finished.
    pub(crate) size: Option<Size>,
}

/// What a network is and does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Size {
    /// Its weights.
    pub(crate) parameters: usize,
    /// Operations for a photo, rollout and GLCA included; a multiply-add is two (`engine/cost.rs`).
    pub(crate) operations: u64,
}

impl Size {
    fn of(architecture: &Architecture) -> Option<Self> {
        let recording = record::classify(architecture, Precision::F32).ok()?;
        let cost = |command: &Command| match command {
            Command::Dispatch { kernel, uniforms, .. } => (kernel.cost)(uniforms).flops,
            Command::ReadBack { .. } => 0,
        };
        let operations = recording.commands().iter().map(cost).sum();
        let weights = architecture.weights();
        let answering = weights.iter().filter(|weight| !Architecture::training_only(&weight.name));
        Some(Self { parameters: answering.map(|weight| weight.shape.iter().product::<usize>()).sum(), operations })
    }

    /// "5.70 million, 2.51 thousand million" as a table has it.
    pub(crate) fn cells(size: Option<Self>) -> [String; 2] {
        let cells = |Self { parameters, operations }| [parameters as f64 * 1e-6, operations as f64 * 1e-9];
        size.map(cells).map_or_else(Default::default, |cells| cells.map(|value| format!("{value:.2}")))
    }
}

/// Mean and standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    /// Of the sample (divided by one less than the count); none for a single value.
    pub(crate) deviation: Option<f64>,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation })
    }
}

/// What the rows' values are: runs of re-identification have no top-1.
pub(crate) fn measure(runs: &[&Run]) -> &'static str {
    let reid = |run: &&Run| !run.recipe["reid"].is_null();
    match (runs.iter().any(reid), runs.iter().all(reid)) {
        (false, _) => "top-1",
        (true, true) => "mAP",
        (true, false) => "top-1, or mAP where photos are compared,",
    }
}

/// A row for each mechanism, from none to all of it.
pub(crate) fn rows(runs: &[&Run]) -> Vec<Row> {
    let mut groups: BTreeMap<(usize, String, String), Vec<&Run>> = BTreeMap::new();
    for &run in runs {
        let (place, name) = mechanism(&run.recipe);
        // Two that differ in what the name does not say are two rows; without any there is one baseline.
        let settings = run.recipe.pointer("/model/mechanism").filter(|_| place > 0).map(Value::to_string);
        groups.entry((place, name, settings.unwrap_or_default())).or_default().push(run);
    }
    groups.into_iter().map(|((_, mechanism, _), runs)| row(mechanism, &runs)).collect()
}

fn row(mechanism: String, runs: &[&Run]) -> Row {
    let map = |run: &Run| {
        let found = run.measures.as_ref()?.retrieval.as_ref()?.plain;
        Some(TestAccuracy { answer: found.answer.map, sa: found.sa.map, glca: found.glca.map(|glca| glca.map) })
    };
    let top1 = |run: &Run| run.record.as_ref().and_then(|record| record.training.test_top1.or_else(|| map(run)));
    let (finished, left_out): (Vec<&Run>, Vec<&Run>) = runs.iter().copied().partition(|run| top1(run).is_some());
    let scores: Vec<TestAccuracy> = finished.iter().filter_map(|run| top1(run)).collect();
    let spread =
        |pick: &dyn Fn(&TestAccuracy) -> Option<f64>| Spread::of(&scores.iter().filter_map(pick).collect::<Vec<_>>());
    let seed = |run: &Run| run.recipe.pointer("/train/seed").and_then(Value::as_u64).unwrap_or(0);
    Row {
        mechanism,
        runs: finished.iter().map(|run| (run.name.clone(), seed(run))).collect(),
        left_out: left_out.iter().map(|run| run.name.clone()).collect(),
        answer: spread(&|top1| Some(top1.answer)),
        sa: spread(&|top1| Some(top1.sa)),
        glca: spread(&|top1| top1.glca),
        size: finished.iter().find_map(|run| Size::of(&run.record.as_ref()?.architecture)),
    }
}

/// The place of a mechanism in the table, and what it is called there.
fn mechanism(recipe: &Value) -> (usize, String) {
    let found = serde_json::from_value(recipe.pointer("/model/mechanism").cloned().unwrap_or_default());
    match found {
        Ok(Mechanism::Dcal(Dcal { ratio, glca, pwca, gates })) => {
            let ratio = format!("R = {} %", (10_000.0 * ratio).round() / 100.0);
            let (place, name) = match (glca, pwca) {
                (false, false) => (0, "baseline".to_owned()),
                (true, false) => (1, format!("+ GLCA ({ratio})")),
                (false, true) => (2, "+ PWCA".to_owned()),
                (true, true) => (3, format!("+ GLCA + PWCA ({ratio})")),
            };
            gates.map_or((place, name.clone()), |gates| (7, format!("{name} + {}", rga(&gates))))
        }
        Ok(Mechanism::Rga(gates)) => (4, rga(&gates)),
        Ok(Mechanism::Rectify(rectify)) => {
            let name = format!("Attend and Rectify after {}", places(&rectify.after));
            rectify.gates.map_or((5, name.clone()), |gates| (8, format!("{name} + {}", rga(&gates))))
        }
        Ok(Mechanism::Tasn(tasn)) => (6, format!("TASN after {}, zoom {}", tasn.after, tasn.zoom)),
        Ok(Mechanism::None) | Err(_) => (0, "baseline".to_owned()),
    }
}

/// What RGA's gates are called.
fn rga(gates: &RgaBlocks) -> String {
    let which = if gates.spatial { "S" } else { "" }.to_owned() + if gates.channel { "C" } else { "" };
    format!("RGA-{which} after {}", places(&gates.after))
}

fn places(after: &[usize]) -> String {
    after.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The keys, beside mechanism and seed, in which the recipes differ: such runs are no fair comparison.
pub(crate) fn differences(runs: &[&Run]) -> Vec<String> {
    let flat: Vec<BTreeMap<String, String>> = runs
        .iter()
        .map(|run| {
            let mut keys = BTreeMap::new();
            flatten(&run.recipe, "", &mut keys);
            keys
        })
        .collect();
    let keys: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let compared = |key: &&&String| !FREE.contains(&key.as_str()) && !key.starts_with("model.mechanism");
    let differs = |key: &&&String| flat.iter().any(|keys| keys.get(**key) != flat[0].get(**key));
    keys.iter().filter(compared).filter(differs).map(|key| (*key).clone()).collect()
}

fn flatten(value: &Value, path: &str, keys: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(value, &path, keys);
            }
        }
        other => drop(keys.insert(path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::train::Backbone;

    #[test]
    fn mean_and_deviation_are_worked_out_by_hand() {
        // Mean 4, squared distances 4 + 0 + 4, divided by 2.
        assert_eq!(Spread::of(&[2.0, 4.0, 6.0]), Some(Spread { mean: 4.0, deviation: Some(2.0) }));
        assert_eq!(Spread::of(&[0.5]), Some(Spread { mean: 0.5, deviation: None }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn the_size_is_that_of_the_published_network() {
        let of = |mechanism| Size::of(&Backbone::named("vit-tiny").unwrap().architecture(224, 196, mechanism)).unwrap();
        let plain = of(Mechanism::None);
        // timm's 5,717,416 with 196 classes in place of 1000; 1.26 thousand million multiply-adds, and rollout.
        assert_eq!(plain.parameters, 5_717_416 - 804 * 193);
        assert!((2.5e9..3.0e9).contains(&(plain.operations as f64)), "{plain:?}");
        let glca = of(Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: true, gates: None }));
        assert!(glca.parameters > plain.parameters + 400_000 && glca.operations > plain.operations, "{glca:?}");
        assert_eq!(Size::cells(Some(plain))[0], "5.56");
        assert_eq!(Size::cells(None), ["", ""]);
    }

    #[test]
    fn mechanisms_are_named_and_ordered() {
        let of = |glca: bool, pwca: bool| {
            let dcal = json!({ "name": "dcal", "ratio": 0.1, "glca": glca, "pwca": pwca });
            mechanism(&json!({ "model": { "mechanism": dcal } }))
        };
        let rga = json!({ "name": "rga", "ratio": 8, "spatial": true, "channel": true, "after": [4, 8] });
        let rga = mechanism(&json!({ "model": { "mechanism": rga } }));
        let mut all = [rga, of(true, true), of(false, true), of(true, false), of(false, false)];
        all.sort();
        let names = all.map(|(_, name)| name);
        assert_eq!(names, ["baseline", "+ GLCA (R = 10 %)", "+ PWCA", "+ GLCA + PWCA (R = 10 %)", "RGA-SC after 4, 8"]);
        assert_eq!(mechanism(&json!({ "model": { "mechanism": { "name": "none" } } })).1, "baseline");
        let gates = json!({ "ratio": 8, "spatial": true, "channel": false, "after": [4] });
        let pair = json!({ "name": "dcal", "ratio": 0.1, "glca": true, "pwca": false, "gates": gates });
        let (_, pair) = mechanism(&json!({ "model": { "mechanism": pair } }));
        assert_eq!(pair, "+ GLCA (R = 10 %) + RGA-S after 4");
    }

    #[test]
    fn runs_that_differ_in_any_setting_are_rows_of_their_own() {
        let run = |ratio: usize| Run {
            folder: Default::default(),
            name: String::new(),
            recipe: json!({ "model": { "mechanism":
                { "name": "rga", "ratio": ratio, "spatial": true, "channel": true, "after": [4] } } }),
            recipe_text: String::new(),
            history: Default::default(),
            record: None,
            measures: None,
            sha256: None,
        };
        let runs = [run(8), run(4), run(8)];
        let rows = rows(&runs.each_ref());
        let counts: Vec<usize> = rows.iter().map(|row| row.left_out.len()).collect();
        assert_eq!(counts, [1, 2], "ratio 4, then the two of ratio 8, under one name");
        assert_eq!(rows[0].mechanism, rows[1].mechanism);
    }
}
