//! What was checked, how it went and how long it took.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Numbers of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// How a single check ended, unless it failed.
pub(crate) enum Outcome {
    Passed,
    /// Why it was not made.
    Skipped(String),
}

struct Stage {
    name: &'static str,
    counts: Counts,
    time: Duration,
    /// Why the stage failed or was skipped.
    reason: Option<String>,
}

/// Every stage so far.
#[derive(Default)]
pub(crate) struct Report {
    stages: Vec<Stage>,
}

impl Report {
    /// Makes one check that counts as one.
    pub(crate) fn check(&mut self, name: &'static str, check: impl FnOnce() -> Result<Outcome>) {
        self.stage(name, || match check()? {
            Outcome::Passed => Ok((Counts { passed: 1, ..Counts::default() }, None)),
            Outcome::Skipped(reason) => Ok((Counts { skipped: 1, ..Counts::default() }, Some(reason))),
        });
    }

    /// Runs `cargo test ...` and counts its tests.
    pub(crate) fn tests(&mut self, name: &'static str, cargo: &mut Command) {
        self.stage(name, || {
            cargo.stdout(Stdio::piped());
            let mut child = cargo.spawn().context("cargo could not be started")?;
            let mut reader = TestOutput::default();
            for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
                let line = line?;
                println!("{line}");
                reader.line(&line);
            }
            let status = child.wait()?;
            let mut counts = reader.counts();
            if counts.failed == 0 && !status.success() {
                // It did not compile, or a test ended the whole process.
                counts.failed = 1;
                return Ok((counts, Some(format!("cargo test ended with {status}"))));
            }
            if counts == Counts::default() {
                bail!("no test was run");
            }
            Ok((counts, None))
        });
    }

    fn stage(&mut self, name: &'static str, run: impl FnOnce() -> Result<(Counts, Option<String>)>) {
        println!("\n== {name}");
        let start = Instant::now();
        let (counts, reason) = run().unwrap_or_else(|error| {
            eprintln!("{error:#}");
            (Counts { failed: 1, ..Counts::default() }, Some(format!("{error:#}")))
        });
        let time = start.elapsed();
        println!("== {name}: {}, {:.0} s", word(counts), time.as_secs_f64());
        self.stages.push(Stage { name, counts, time, reason });
    }

    fn sum(&self) -> Counts {
        self.stages.iter().fold(Counts::default(), |sum, Stage { counts, .. }| Counts {
            passed: sum.passed + counts.passed,
            failed: sum.failed + counts.failed,
            skipped: sum.skipped + counts.skipped,
        })
    }

    /// Whether something was checked and nothing failed.
    pub(crate) fn is_good(&self) -> bool {
        let sum = self.sum();
        sum.failed == 0 && sum.passed > 0
    }

    /// Prints a line for each stage and the sum.
    pub(crate) fn print(&self) {
        println!("\n{:<44} {:>7} {:>7} {:>7} {:>8}", "stage", "passed", "failed", "skipped", "seconds");
        for Stage { name, counts, time, reason } in &self.stages {
            let Counts { passed, failed, skipped } = counts;
            println!("{name:<44} {passed:>7} {failed:>7} {skipped:>7} {:>8.0}", time.as_secs_f64());
            if let Some(reason) = reason {
                println!("    {}: {}", word(*counts), reason.lines().next().unwrap_or_default());
            }
        }
        let Counts { passed, failed, skipped } = self.sum();
        println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    }
}

fn word(counts: Counts) -> &'static str {
    match counts {
        Counts { failed: 1.., .. } => "FAILED",
        Counts { passed: 0, .. } => "skipped",
        _ => "passed",
    }
}

/// Reads what `cargo test -- --show-output` prints.
///
/// A test that finds its photos missing says `skipped: ...` and returns; for the test harness it has passed.
#[derive(Default)]
struct TestOutput {
    passed: usize,
    failed: usize,
    ignored: usize,
    /// Tests that said so.
    skipped: usize,
    in_output: bool,
    said: bool,
}

impl TestOutput {
    fn line(&mut self, line: &str) {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            self.in_output = true;
            self.said = false;
        } else if self.in_output && !self.said && line.starts_with("skipped: ") {
            self.said = true;
            self.skipped += 1;
        } else if line.starts_with("failures:") {
            // What a failed test printed comes now.
            self.in_output = false;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.in_output = false;
            let words = result.split([' ', ';']).filter(|word| !word.is_empty()).collect::<Vec<_>>();
            let number = |what: &str| -> usize {
                let at = words.iter().position(|word| *word == what).unwrap_or(0);
                at.checked_sub(1).and_then(|at| words[at].parse().ok()).unwrap_or(0)
            };
            self.passed += number("passed");
            self.failed += number("failed");
            self.ignored += number("ignored");
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            passed: self.passed.saturating_sub(self.skipped),
            failed: self.failed,
            skipped: self.skipped + self.ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, TestOutput};

    #[test]
    fn counts_what_cargo_test_prints() {
        let output = "\
running 3 tests
test a ... ok
test b ... FAILED
test c ... ok

successes:

---- c stdout ----
skipped: no photos beside the checkout
skipped: said twice, counted once

successes:
    a
    c

failures:

---- b stdout ----
thread 'b' panicked

failures:
    b

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 1 test
test result: ok. 4 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let mut reader = TestOutput::default();
        output.lines().for_each(|line| reader.line(line));
        assert_eq!(reader.counts(), Counts { passed: 5, failed: 1, skipped: 3 });
    }
}
