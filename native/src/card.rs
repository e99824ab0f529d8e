//! The model card of a bundle: `README.md`, for people, made of the same facts as the report.

use std::fmt::Write as _;

use anyhow::Result;
use finegrain::architecture::{Architecture, Mechanism, Mixing, Residual, RgaBlocks, Stem};
use finegrain::bundle::Manifest;
use finegrain::tensors::Precision;

use crate::data::DatasetKind;
use crate::data::detect::Layout;
use crate::measure::{Measured, Measures, Score};
use crate::train::{RunRecord, Training};

/// The card in Markdown. `manifest` is that of the written bundle, `sha256` the hash of the run's own weights.
///
/// # Errors
/// When the recipe has no form in TOML.
pub fn card(record: &RunRecord, manifest: &Manifest, measures: Option<&Measures>, sha256: &str) -> Result<String> {
    let mut text = format!("# {}\n\n", plain(&record.title));
    about(&mut text, record, manifest);
    measured(&mut text, record, measures);
    calibration(&mut text, manifest, measures);
    training(&mut text, record, sha256)?;
    limits(&mut text, manifest);
    Ok(text)
}

fn about(text: &mut String, record: &RunRecord, manifest: &Manifest) {
    let architecture = &manifest.architecture;
    let [height, width] = architecture.input_size();
    let (first, last) = (manifest.labels.first(), manifest.labels.last());
    let _ = writeln!(
        text,
        "Names what a photo shows: one of {} classes, from \"{}\" to \"{}\" (all of them are in `manifest.json`). \
         Trained with finegrain on {} photos of {}.\n",
        architecture.classes,
        plain(first.map_or("", String::as_str)),
        plain(last.map_or("", String::as_str)),
        record.training.train_photos,
        source(record),
    );
    let network = network(architecture);
    let behind = if architecture.resnet.is_some() { "stage" } else { "block" };
    let mechanism = match &architecture.mechanism {
        Mechanism::None => "no further mechanism".to_owned(),
        Mechanism::Dcal(dcal) => {
            let parts = match (dcal.glca, dcal.pwca) {
                (true, true) => "GLCA, PWCA in training",
                (true, false) => "GLCA",
                (false, true) => "PWCA in training",
                (false, false) => "neither GLCA nor PWCA",
            };
            format!("dual cross-attention (DCAL, CVPR 2022): {parts}, R = {} %", round(100.0 * dcal.ratio))
        }
        Mechanism::Tasn(tasn) => {
            let (zoom, after) = (tasn.zoom, tasn.after);
            format!(
                "trilinear attention sampling (TASN, CVPR 2019): photos of {zoom} times the size, resampled by the attention after \
                 {behind} {after}"
            )
        }
        Mechanism::Rga(gates) => rga(gates, behind),
        Mechanism::Rectify(rectify) => {
            let places: Vec<String> = rectify.after.iter().map(ToString::to_string).collect();
            let (heads, places) = (rectify.heads, places.join(", "));
            let mixing = match rectify.mixing {
                Mixing::Softmax => "softmax",
                Mixing::Sigmoid => "sigmoid",
            };
            format!(
                "Attend and Rectify (ECCV 2018): modules of {heads} heads after {behind}s {places}, mixed by {mixing}"
            )
        }
    };
    let beside = match (&architecture.mechanism, architecture.rga()) {
        (Mechanism::Rga(_), _) | (_, None) => String::new(),
        (_, Some(gates)) => format!("; beside it {}", rga(gates, behind)),
    };
    let mechanism = mechanism + &beside;
    let _ = writeln!(
        text,
        "| | |\n|---|---|\n| Network | {network} |\n\
         | Mechanism | {mechanism} |\n| Input | {height} x {width} pixels |\n{}\n{}\n",
        weights(manifest),
        files(manifest),
    );
}

/// RGA's gates in words, behind blocks or stages.
fn rga(rga: &RgaBlocks, behind: &str) -> String {
    let gates = match (rga.spatial, rga.channel) {
        (true, true) => "spatial and channel gates",
        (true, false) => "spatial gates",
        _ => "channel gates",
    };
    let places: Vec<String> = rga.after.iter().map(ToString::to_string).collect();
    let (ratio, places) = (rga.ratio, places.join(", "));
    format!("relation-aware global attention (RGA, CVPR 2020): {gates} after {behind}s {places}, ratio {ratio}")
}

/// What the backbone is, in words.
pub(crate) fn network(architecture: &Architecture) -> String {
    let Architecture { depth, dim, heads, patch_size, resnet, hybrid, .. } = architecture;
    let joined = |blocks: &[usize]| blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ");
    let Some(resnet) = resnet else {
        let before = hybrid.as_ref().map_or_else(String::new, |hybrid| {
            format!(" behind {} residual blocks in {} stages", joined(&hybrid.blocks), hybrid.blocks.len())
        });
        return format!(
            "vision transformer, {depth} blocks, width {dim}, {heads} heads, patches of {patch_size} pixels{before}"
        );
    };
    let kind = match resnet.block {
        Residual::Basic => "basic",
        Residual::Bottleneck => "bottleneck",
        Residual::Wide => "wide",
    };
    let first = match resnet.stem {
        Stem::Large => "7 x 7",
        Stem::Small => "3 x 3",
    };
    format!(
        "residual network, {} {kind} blocks in {depth} stages, first convolution {first}, {dim} channels at the end, stride \
         {patch_size}",
        joined(&resnet.blocks)
    )
}

fn weights(manifest: &Manifest) -> String {
    let precision = match manifest.precision {
        Precision::F32 => "32-bit",
        Precision::F16 => "16-bit",
        Precision::Int8 => "8-bit in linear layers, 16-bit elsewhere",
    };
    format!("| Weights | {} parameters, {precision} |", manifest.architecture.parameters().unwrap_or_default())
}

fn files(manifest: &Manifest) -> String {
    format!("| Files to load | {:.2} MB |", manifest.bytes() as f64 / 1e6)
}

/// The card of a bundle that was made of another one by storing its weights in another precision: `card` is the other
/// one's, and its measures stay, told apart.
pub fn converted(card: &str, manifest: &Manifest) -> String {
    let line = |line: &str| match line {
        _ if line.starts_with("| Weights |") => weights(manifest),
        _ if line.starts_with("| Files to load |") => files(manifest),
        _ => line.to_owned(),
    };
    let mut text: String = card.lines().map(|text| line(text) + "\n").collect();
    text.push_str(
        "\n## Stored in another precision\n\nThis bundle was made of another one by rounding its weights \
         (`finegrain export BUNDLE --precision ...`). What is measured above was measured before that; `finegrain eval` \
         measures it as it is now.\n",
    );
    text
}

/// What the answer is made of, beside SA's.
fn answer_name(architecture: &Architecture) -> &'static str {
    match (architecture.glca(), architecture.rectify()) {
        (Some(_), _) => "answer (mean of both)",
        (None, Some(_)) => "answer (the votes mixed)",
        (None, None) => "answer",
    }
}

fn measured(text: &mut String, record: &RunRecord, measures: Option<&Measures>) {
    let _ = writeln!(text, "## Measures\n");
    let row =
        |name: &str, score: Score| format!("| {name} | {:.2} % | {:.2} % |\n", 100.0 * score.top1, 100.0 * score.top5);
    match (measures.and_then(|m| m.test.as_ref()), record.training.test_top1) {
        (Some(test), _) => {
            let _ = write!(text, "On {} test photos, which had no say in training:\n\n", test.photos);
            let answer = row(answer_name(&record.architecture), test.answer);
            let _ = write!(text, "| | top-1 | top-5 |\n|---|---|---|\n{answer}");
            text.push_str(&row("SA alone", test.sa));
            text.push_str(&test.glca.map(|glca| row("GLCA alone", glca)).unwrap_or_default());
            text.push_str(&skipped(test));
        }
        (None, Some(top1)) => {
            let _ = writeln!(
                text,
                "Top-1 on {} test photos, which had no say in training: {:.2} % (SA alone {:.2} %{}).",
                record.training.test_photos,
                100.0 * top1.answer,
                100.0 * top1.sa,
                top1.glca.map(|glca| format!(", GLCA alone {:.2} %", 100.0 * glca)).unwrap_or_default(),
            );
        }
        (None, None) => text.push_str("Not measured: the data set had no test photos.\n"),
    }
    let _ = writeln!(
        text,
        "\nMeasured by the trainer's network, before the weights were rounded for this bundle. This measures the bundle \
         itself:\n\n```\nfinegrain eval --bundle THIS_FOLDER --data DATA_SET --dataset {}\n```\n",
        record.training.recipe.data.kind.key()
    );
}

fn skipped(test: &Measured) -> String {
    match test.skipped.len() {
        0 => String::new(),
        count => format!("\n{count} photos of the list could not be used and are not counted.\n"),
    }
}

fn calibration(text: &mut String, manifest: &Manifest, measures: Option<&Measures>) {
    let _ = writeln!(text, "## Calibration\n");
    let Some(calibration) = &manifest.calibration else {
        text.push_str("None: no photos were held out of training. The probabilities are those of the softmax.\n\n");
        return;
    };
    let _ = writeln!(
        text,
        "Temperature {:.4}, fitted on {} photos that were held out of training. A photo is \"not recognised\" when its \
         highest calibrated probability is below {:.4}: 95 % of the right answers on the held-out photos reach that.",
        calibration.temperature, calibration.photos, calibration.threshold
    );
    if let Some(test) = measures.and_then(|m| m.test.as_ref())
        && let Some(calibrated) = &test.calibrated
    {
        let _ = writeln!(
            text,
            "On the test photos the expected calibration error (15 bins) is {:.2} % without and {:.2} % with the \
             temperature; {:.2} % of the photos are recognised, {:.2} % of those are named rightly.",
            100.0 * test.ece,
            100.0 * calibrated.ece,
            100.0 * calibrated.recognised,
            100.0 * calibrated.recognised_right,
        );
    }
    text.push('\n');
}

fn training(text: &mut String, record: &RunRecord, sha256: &str) -> Result<()> {
    let training = &record.training;
    let _ = writeln!(
        text,
        "## Training\n\nfinegrain {}, on {}, {} epochs, {} steps, {:.0} minutes.",
        training.finegrain,
        training.device,
        training.epochs,
        training.steps,
        training.seconds / 60.0
    );
    let mut from: Option<&Training> = Some(training);
    while let Some(run) = from {
        let kept: Vec<_> = run.averaged.iter().filter(|ingredient| ingredient.kept).collect();
        if !kept.is_empty() {
            let runs = kept.iter().map(|kept| format!("`{}` (SHA-256 `{}`)", plain(&kept.run), kept.sha256));
            let _ = writeln!(
                text,
                "These weights are the mean of {} runs, chosen by held-out photos (`finegrain average`): {}. What follows is \
                 about the first.",
                kept.len(),
                runs.collect::<Vec<_>>().join(", ")
            );
        }
        taught(text, run);
        if let (Some(file), Some(sha256)) = (&run.init_file, &run.init_sha256) {
            let _ = writeln!(text, "It started from `{}` (SHA-256 `{sha256}`).", plain(file));
        }
        from = run.init_run.as_deref();
    }
    // The folder of the pretrained weights is of one machine.
    let mut recipe = training.recipe.clone();
    recipe.train.init = None;
    let _ = writeln!(
        text,
        "The trained weights, before rounding, have the SHA-256 `{sha256}`. The whole recipe:\n\n```toml\n{}```\n",
        toml::to_string(&recipe)?
    );
    Ok(())
}

/// Whom a run learned from.
fn taught(text: &mut String, run: &Training) {
    let Some(settings) = run.recipe.teachers.as_ref().filter(|_| !run.teachers.is_empty()) else { return };
    let teachers =
        run.teachers.iter().map(|teacher| format!("`{}` (SHA-256 `{}`)", plain(&teacher.run), teacher.sha256));
    let _ = writeln!(
        text,
        "{} % of its target was the mean answer of trained networks to the same augmented photos (knowledge distillation, Hinton et \
         al., 2015; temperature {}): {}.",
        round(100.0 * settings.share),
        round(settings.temperature),
        teachers.collect::<Vec<_>>().join(", ")
    );
}

fn limits(text: &mut String, manifest: &Manifest) {
    let _ = writeln!(
        text,
        "## Limits\n\n- It knows these {} classes and no others; {}\n- It was measured on photos like those it was \
         trained on. Other cameras, distances, seasons or drawings will do worse.\n- Classes with few photos are the \
         least certain; `finegrain report` lists accuracy and confusion class by class.\n\n## Licences\n\nThe photos of \
         the data set are not included. Their own terms, and those of the pretrained weights, apply to what is made of \
         them: read both before this bundle is used for more than research.",
        manifest.labels.len(),
        if manifest.calibration.is_some() {
            "a photo of something else may still reach the threshold."
        } else {
            "a photo of something else gets one of these names."
        },
    );
}

/// The data set, for people.
fn source(record: &RunRecord) -> String {
    match record.training.recipe.data.kind {
        Layout::Classes(DatasetKind::Folder) => "a folder of classes".into(),
        kind => format!("{} or a subset of it", kind.name()),
    }
}

/// A name on one line, without what Markdown takes for markup.
fn plain(name: &str) -> String {
    let line = name.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !matches!(c, '`' | '|' | '<' | '>' | '[' | ']')).collect()
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
