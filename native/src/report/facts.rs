//! How facts are written.

use super::Run;
use super::ablation::Spread;
use crate::train::Training;

/// A share as a percentage, not to be broken between number and sign.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2}\u{a0}%", 100.0 * share)
}

/// A mean with its standard deviation, in percent.
pub(super) fn spread(spread: Option<Spread>) -> String {
    match spread {
        None => "–".into(),
        Some(Spread { mean, deviation: None }) => format!("{:.2}", 100.0 * mean),
        Some(Spread { mean, deviation: Some(deviation) }) => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation),
    }
}

/// Seconds as people say them.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// The sentence under the title: what came out, or how far it is.
pub(super) fn result(run: &Run) -> String {
    let Some(record) = &run.record else {
        let (epoch, epochs) = (run.history.epoch, run.epochs());
        return match run.history.step {
            0 => format!("No step is logged yet; the recipe asks for {epochs} epochs."),
            step => format!("Still running, or stopped: epoch {epoch} of {epochs}, {step} steps so far."),
        };
    };
    let test = run.measures.as_ref().and_then(|measures| measures.test.as_ref());
    let retrieval = run.measures.as_ref().and_then(|measures| measures.retrieval.as_ref());
    if let Some(ranking) = retrieval.map(|retrieval| retrieval.plain.answer).or(record.training.test_ranking) {
        return format!(
            "mAP {} and rank-1 {} over {} queries.",
            percent(ranking.map),
            percent(ranking.rank1),
            ranking.queries
        );
    }
    match (test, record.training.test_top1) {
        (Some(test), _) => format!(
            "{} top-1 and {} top-5 on {} test photos.",
            percent(test.answer.top1),
            percent(test.answer.top5),
            test.photos
        ),
        (None, Some(top1)) => {
            format!("{} top-1 on {} test photos.", percent(top1.answer), record.training.test_photos)
        }
        (None, None) => "Finished; the data set has no test photos.".into(),
    }
}

/// Names and values for a table: versions, hashes, sizes, times.
pub(super) fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Run", run.name.clone())];
    if let Some(record) = &run.record {
        let (training, architecture) = (&record.training, &record.architecture);
        let [height, width] = architecture.input_size();
        facts.extend([
            (if training.recipe.reid.is_some() { "Identities" } else { "Classes" }, architecture.classes.to_string()),
            ("Input", format!("{height} x {width} pixels")),
            ("Network", crate::card::network(architecture)),
            ("Parameters", format!("{:.2} million", architecture.parameters().unwrap_or_default() as f64 / 1e6)),
            ("Training photos", training.train_photos.to_string()),
            ("Held-out photos", training.held_out_photos.to_string()),
            ("Test photos", training.test_photos.to_string()),
            ("Epochs, steps", format!("{}, {}", training.epochs, training.steps)),
            ("Time of training", format!("{} on {}", duration(training.seconds), training.device)),
            ("Last epoch's loss", format!("{:.4}", training.final_train_loss)),
            ("Trained with", format!("finegrain {}", training.finegrain)),
        ]);
        if let Some(best) = training.best {
            let what =
                format!("epoch {}: {} of the held-out photos, loss {:.4}", best.epoch, percent(best.top1), best.loss);
            facts.push(("Best epoch", what));
        }
        history(training, &mut facts);
    }
    if let Some(waiting) = run.history.waiting {
        facts.push(("Waiting for photos", format!("{} of each step", percent(waiting))));
    }
    if let Some(peak) = run.history.peak_mib {
        facts.push(("Peak memory", format!("{peak:.0} MiB")));
    }
    if let Some(sha256) = &run.sha256 {
        facts.push(("SHA-256 of the weights", sha256.clone()));
    }
    facts.push(("Report by", format!("finegrain {}", env!("CARGO_PKG_VERSION"))));
    facts
}

/// What the run, and each run before it, started from.
fn history(training: &Training, facts: &mut Vec<(&'static str, String)>) {
    let mut from = Some(training);
    while let Some(run) = from {
        for kept in run.averaged.iter().filter(|ingredient| ingredient.kept) {
            facts.push(("Mean of", format!("{}, SHA-256 {}", kept.run, kept.sha256)));
        }
        for teacher in &run.teachers {
            facts.push(("Taught by", format!("{}, SHA-256 {}", teacher.run, teacher.sha256)));
        }
        if let (Some(file), Some(sha256)) = (&run.init_file, &run.init_sha256) {
            let made = run.init_run.as_ref().map(|before| format!(", made in {} epochs", before.epochs));
            facts.push(("Started from", format!("{file}{}, SHA-256 {sha256}", made.unwrap_or_default())));
        }
        from = run.init_run.as_deref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(percent(0.12344), "12.34\u{a0}%");
        assert_eq!([90.0, 600.0, 9000.0].map(duration), ["90 s", "10 min", "2.5 h"]);
        assert_eq!(spread(Some(Spread { mean: 0.5, deviation: Some(0.0123) })), "50.00 ± 1.23");
        assert_eq!(spread(Some(Spread { mean: 0.5, deviation: None })), "50.00");
        assert_eq!(spread(None), "–");
    }
}
