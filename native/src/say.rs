//! What the program tells while it works.

use std::io::Write as _;

/// Writes a line to standard error. Where nobody reads it any more (`2>&1 | head -1`, a terminal that was closed), the work goes on.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
