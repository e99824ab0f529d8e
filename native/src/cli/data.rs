//! `finegrain data check`: names a data set, counts it beside the official counts and decodes every photo.
//!
//! Prints a [`Report`] with `sound` and `partial`. The exit status is 0 for a sound data set, whole or in part, and 1
//! when a photo is missing, broken or listed twice, or when training would refuse it.

use std::fmt::{Display, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::output::Output;
use super::{Outcome, interrupt};
use crate::data::check::{Part, Report, Split, inspect};
use crate::say::say;

/// As many of a list are shown to people; `--json` has all.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Name the data set in a folder and say what is missing or broken
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Folder of the data set, in its official layout
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Read the lists and look whether the photos are there, but decode none
    #[arg(long)]
    quick: bool,
}

#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    report: Report,
    /// Nothing is missing, broken, listed twice or untrainable.
    sound: bool,
    /// Less, or something else, than the official data set.
    partial: bool,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let Command::Check(args) = &args.command;
    let mut report = inspect(&args.dir)?;
    if !args.quick {
        let stop = Arc::new(AtomicBool::new(false));
        interrupt::raise(&stop)?;
        let bar = ProgressBar::new(report.photos() as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} photos ({per_sec}, {eta} left)") {
            bar.set_style(style);
        }
        report.decode(&stop, &|| bar.inc(1));
        let done = bar.position();
        bar.finish_and_clear();
        if stop.load(Ordering::Relaxed) {
            say(&format!("interrupted after {done} of {} photos: the check is not complete", report.photos()));
            return Ok(Outcome::Interrupted);
        }
    }
    let sound = report.is_sound();
    let partial = report.parts.iter().any(Part::is_partial);
    output.print(&Checked { report, sound, partial }, |checked| text(&checked.report))?;
    Ok(if sound { Outcome::Good } else { Outcome::Bad })
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for part in &report.parts {
        let _ = writeln!(text, "{} (kind \"{}\") in \"{}\"", part.dataset, part.kind, report.dir.display());
        for split in &part.splits {
            let _ = writeln!(text, "  {:<8}{}", split.split, counts(split, part.unit));
        }
        if part.junk > 0 {
            let _ = writeln!(text, "  {} photos are junk by the data set's own rules and left out", number(part.junk));
        }
        if let Some(line) = partial(part) {
            let _ = writeln!(text, "{line}");
        }
        if let Some(reason) = &part.untrainable {
            let _ = writeln!(text, "cannot be trained on: {reason}");
        }
        list(&mut text, "classes without a training photo", &part.empty_classes);
        list(&mut text, "identities in training and test both", &part.shared_identities);
    }
    let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    list(&mut text, "missing photos that the lists name", &paths(&report.missing));
    list(&mut text, "photos listed more than once", &paths(&report.repeated));
    let broken: Vec<&str> = report.broken.iter().map(|photo| photo.reason.as_str()).collect();
    list(&mut text, "broken photos", &broken);
    let seen = match report.decoded {
        Some(decoded) => format!("{} photos decoded", number(decoded)),
        None => format!("{} photos are there, none was decoded", number(report.photos())),
    };
    let verdict = if report.is_sound() { "the data set is sound" } else { "the data set is NOT sound" };
    let _ = writeln!(text, "{seen}: {verdict}");
    text
}

/// "2,999 of 5,994 photos, 100 of 200 classes"
fn counts(split: &Split, unit: &str) -> String {
    let of = |count: usize, official: Option<usize>| match official {
        Some(official) if count > official => format!("{} (officially {})", number(count), number(official)),
        Some(official) => format!("{} of {}", number(count), number(official)),
        None => number(count),
    };
    format!("{} photos, {} {unit}", of(split.photos, split.official_photos), of(split.classes, split.official_classes))
}

/// Says plainly that this is not the whole data set.
fn partial(part: &Part) -> Option<String> {
    if !part.is_partial() {
        return None;
    }
    let train = part.splits.first()?;
    let most = part.splits.iter().any(|split| split.official_photos.is_some_and(|official| split.photos > official));
    let words = if most { "other photos than the official data set" } else { "a part of the official data set" };
    let classes = match train.official_classes {
        Some(official) if official == train.classes => format!("all {} {}", number(official), part.unit),
        Some(official) => format!("{} of {} {}", number(train.classes), number(official), part.unit),
        None => return None,
    };
    Some(format!("This is {words}: {classes} in training. Figures measured on it are not the official benchmark's."))
}

/// A headline with how many there are, and the first few.
fn list<T: Display>(text: &mut String, what: &str, items: &[T]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "{what} ({}):", number(items.len()));
    for item in items.iter().take(SHOWN) {
        let _ = writeln!(text, "  {item}");
    }
    if items.len() > SHOWN {
        let _ = writeln!(text, "  and {} more (--json lists all)", number(items.len() - SHOWN));
    }
}

/// 11788 as "11,788".
fn number(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 126_441, 1_000_000].map(number), ["0", "999", "1,000", "126,441", "1,000,000"]);
    }

    #[test]
    fn long_lists_are_cut() {
        let mut text = String::new();
        list(&mut text, "broken photos", &(0..12).collect::<Vec<_>>());
        assert!(
            text.starts_with("broken photos (12):\n  0\n") && text.ends_with("  9\n  and 2 more (--json lists all)\n")
        );
        list::<u8>(&mut text, "nothing", &[]);
        assert!(!text.contains("nothing"));
    }
}
