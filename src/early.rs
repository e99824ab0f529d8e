//! Answers that come before the last block, where the modules of Attend and Rectify agree (Rodriguez et al., TMM 2019, abstract; that the
//! modules so far count alike, and must name the same class, is our decision).

use crate::answer::Answer;

/// When the modules may answer by themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sure {
    /// The least probability of the class that all of them name.
    pub probability: f32,
    /// What log-probabilities are divided by before that, as in [`Answer::calibrated`]; above 0.
    pub temperature: f32,
}

/// An answer that may have come early.
#[derive(Debug, Clone, PartialEq)]
pub struct Early {
    /// `[classes]`, at the temperature.
    pub probability: Vec<f32>,
    /// How many blocks, of a residual network stages, were computed.
    pub blocks: usize,
    /// The full answer, where all of them were.
    pub answer: Option<Answer>,
}

impl Early {
    /// What came behind the last of `blocks`.
    pub fn full(answer: Answer, temperature: f32, blocks: usize) -> Self {
        Self { probability: answer.calibrated(temperature), blocks, answer: Some(answer) }
    }
}
