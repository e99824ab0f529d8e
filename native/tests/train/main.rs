//! Whole training runs on generated photos: the loss falls, a killed run ends where the other one does, errors are
//! one sentence.
#![cfg(feature = "full")]
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod faults;
mod hybrid;
mod mechanism;
mod place;
mod recipes;
mod rectify;
mod reid;
mod resnet;
mod resume;
mod rga;
mod runs;
mod tasn;
mod teachers;
