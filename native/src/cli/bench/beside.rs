//! The same network in burn, in turns with ours: what a user would have without this engine.

use anyhow::{Context, Result};
use burn::tensor::Device;
use finegrain::model::Network;

use super::measure::time;
use super::report::{Part, Spread};
use super::subject::Subject;
use crate::train::DeviceChoice;

/// A burn network on one of burn's back ends.
pub(super) struct Peer<'a> {
    name: &'static str,
    network: Network,
    device: Device,
    image: &'a [f32],
}

impl<'a> Peer<'a> {
    /// Loads it.
    ///
    /// # Errors
    /// A device that this build or this machine does not have.
    pub(super) fn new(subject: &'a Subject, device: DeviceChoice) -> Result<Self> {
        let (device, name) = device.open()?;
        let name = match name {
            "cuda" => "burn, CUDA",
            "wgpu" => "burn, wgpu",
            _ => "burn, flex (CPU)",
        };
        let network = Network::new(&subject.architecture, &device).load(&subject.weights)?;
        Ok(Self { name, network, device, image: &subject.image })
    }

    /// One photo, from its pixels to the answer in memory.
    fn photo(&self) -> Result<f64> {
        time(|| {
            let answers = self.network.classify(self.network.images(self.image, &self.device));
            answers.first().map(drop).context("burn gave no answer")
        })
    }
}

/// Ours and the peers in turns, `runs` times behind one photo each that is not counted (burn compiles and tunes on the way); nothing without
/// peers. Ratios are to ours.
pub(super) fn beside(runs: usize, ours: impl Fn() -> Result<f64>, peers: &[Peer<'_>]) -> Result<Vec<Part>> {
    if peers.is_empty() {
        return Ok(Vec::new());
    }
    for peer in peers {
        peer.photo()?;
    }
    let mut times = vec![Vec::new(); 1 + peers.len()];
    for _ in 0..runs {
        times[0].push(ours()?);
        for (peer, times) in peers.iter().zip(&mut times[1..]) {
            times.push(peer.photo()?);
        }
    }
    let names = std::iter::once("finegrain").chain(peers.iter().map(|peer| peer.name));
    let medians: Vec<f64> = times.iter().map(|times| Spread::of(times).median_ms).collect();
    let part = |(name, &median_ms): (&'static str, &f64)| Part { name, median_ms, ratio: median_ms / medians[0] };
    Ok(names.zip(&medians).map(part).collect())
}
