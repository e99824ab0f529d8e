//! Re-identification: query photos against a gallery, ranked by the distance of their features.

mod features;
mod rank;
mod rerank;

pub use features::{Distances, Features, FeaturesError, Metric, distances};
pub use rank::{Photos, Ranking, numbers, rank};
pub use rerank::{Rerank, rerank};

#[cfg(test)]
mod tests;
