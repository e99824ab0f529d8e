//! A GPU without memory for a training step: burn panics where a tensor is read, and that is told in a sentence.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use anyhow::{Result, bail};

/// How burn and the drivers below it word it.
const WORDS: [&str; 5] = ["out of device memory", "out of memory", "out-of-memory", "outofmemory", "buffertoobig"];

/// Runs optimizer step `step` (from 1) and turns a panic for want of GPU memory into an error; other panics go on.
///
/// A step that ended so has left its network and optimizer in the middle: the caller ends the run.
///
/// # Errors
/// Those of `work`, and that there is not enough memory.
pub(super) fn guard<T>(step: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(panic) if for_memory(panic.as_ref()) => bail!(
            "the GPU has not enough memory for step {step}; the last checkpoint is kept: continue with --resume --set \
             train.gradient_checkpointing=true, or start again with a smaller train.micro_batch or model.image_size"
        ),
        Err(panic) => resume_unwind(panic),
    }
}

/// Keeps such panics off standard error, where the error's sentence will stand; others are printed as ever.
pub(super) fn quieten() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !for_memory(info.payload()) {
            usual(info);
        }
    }));
}

fn for_memory(panic: &(dyn Any + Send)) -> bool {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.map(str::to_lowercase).is_some_and(|text| WORDS.iter().any(|word| text.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_is_a_sentence_and_other_panics_go_on() {
        // cubecl 0.11.3's words, inside those of burn 0.22.1.
        let burn = "Error while reading data: use `try_into_data` instead to catch the error at runtime: WithContext { \
                    reason: \"out of device memory allocating 1073741824 bytes\" }";
        let error = guard(7, || -> Result<()> { panic!("{burn}") }).unwrap_err().to_string();
        for words in
            ["step 7", "train.micro_batch", "model.image_size", "train.gradient_checkpointing", "checkpoint is kept"]
        {
            assert!(error.contains(words), "{error}");
        }
        let other = catch_unwind(|| guard(1, || -> Result<()> { panic!("index out of bounds") }));
        assert!(other.is_err(), "a bug stays a bug");
        assert_eq!(guard(1, || Ok(3)).unwrap(), 3);
    }
}
