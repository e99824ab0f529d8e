//! What goes to standard output.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

use anyhow::Result;
use serde::Serialize;

/// Prints a command's result, once, at its end.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `result` as one JSON document, or what `text` says of it.
    pub(super) fn print<T: Serialize>(&self, result: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let mut printed = if self.json { serde_json::to_string_pretty(result)? } else { text(result) };
        if !printed.ends_with('\n') {
            printed.push('\n');
        }
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(printed.as_bytes()).and_then(|()| stdout.flush()) {
            // `finegrain ... | head` has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}

/// An error and its causes as one sentence.
pub(super) fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Several of our errors quote their cause themselves.
        if text.contains(&cause) {
            continue;
        }
        let separator = match text.chars().last() {
            None => "",
            Some('?') => " ",
            Some(_) => ": ",
        };
        let _ = write!(text, "{separator}{cause}");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_on_one_line_and_are_not_repeated() {
        let error = anyhow::anyhow!("inner\n part").context("outer");
        assert_eq!(sentence(&error), "outer: inner part");
        let error = anyhow::anyhow!("gone").context("the file is gone");
        assert_eq!(sentence(&error), "the file is gone");
    }
}
