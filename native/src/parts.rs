//! Traces of one mechanism by itself (TASN, RGA, Attend and Rectify): its input, parameters and results, without a network
//! around it.

use anyhow::{Context, Result, bail};
use finegrain::architecture::{Rga, Tasn};
use finegrain::fold::BATCH_NORM_EPSILON;
use finegrain::tensors::TensorMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A trace of a mechanism.
#[derive(Debug, Clone)]
pub struct Part {
    /// Everything in the file: `input.*`, `param.*`, `out.*`.
    pub tensors: TensorMap,
    /// The parameters, named as the model's fields.
    pub weights: TensorMap,
    /// Which mechanism, and its settings.
    pub mechanism: Mechanism,
}

/// The mechanisms that have traces of their own.
#[derive(Debug, Clone)]
pub enum Mechanism {
    /// Trilinear attention sampling.
    Tasn {
        /// How it resamples.
        settings: Tasn,
        /// The channel that is the detail map.
        detail_channel: usize,
    },
    /// Relation-aware global attention.
    Rga(Rga),
    /// One module of Attend and Rectify, and global gates.
    Rectify {
        /// `K`.
        heads: usize,
        /// Number of classes.
        classes: usize,
    },
}

#[derive(Deserialize)]
struct TasnConfig {
    scale: f32,
    out_size: usize,
    detail_channel: usize,
    temperature: f32,
    dense: f32,
    rounds: usize,
}

#[derive(Deserialize)]
struct RgaConfig {
    ratio: usize,
    batch_norm_eps: f64,
}

#[derive(Deserialize)]
struct RectifyConfig {
    heads: usize,
    classes: usize,
}

impl Mechanism {
    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tasn { .. } => "TASN",
            Self::Rga(_) => "RGA",
            Self::Rectify { .. } => "Attend and Rectify",
        }
    }
}

impl Part {
    /// The mechanism of a trace that holds what only that mechanism computes; `None` for a trace of a network.
    ///
    /// # Errors
    /// One sentence for a config that is missing or cannot be.
    pub fn of(tensors: &TensorMap) -> Result<Option<Self>> {
        let has = |name: &str| tensors.get(name).is_some();
        let mechanism = if has("out.trilinear") {
            tasn(tensors)?
        } else if has("out.spatial_gate") {
            rga(tensors)?
        } else if has("out.head_gates") {
            rectify(tensors)?
        } else {
            return Ok(None);
        };
        let mut weights = TensorMap::default();
        for (name, tensor) in tensors.under("param.").iter() {
            let name = name.replace(".bn.mean", ".bn.running_mean").replace(".bn.var", ".bn.running_var");
            weights.insert(name, tensor.clone());
        }
        Ok(Some(Self { tensors: tensors.clone(), weights, mechanism }))
    }
}

fn config<C: DeserializeOwned>(tensors: &TensorMap) -> Result<C> {
    let Some(config) = tensors.metadata.get("config") else { bail!("it has no metadata \"config\"") };
    serde_json::from_str(config).context("its metadata \"config\" is not understood")
}

/// Results are held against the config before anything is allocated for it.
fn tasn(tensors: &TensorMap) -> Result<Mechanism> {
    let TasnConfig { scale, out_size, detail_channel, temperature, dense, rounds } = config(tensors)?;
    for (name, value) in [("scale", scale), ("temperature", temperature), ("dense", dense)] {
        if !(value.is_finite() && value > 0.0) {
            bail!("its config says {name} {value}, it must be above 0");
        }
    }
    if !(1..=100).contains(&rounds) {
        bail!("its config says {rounds} rounds of clipping, there may be 1 to 100");
    }
    let ([batch, channels, ..], _) = tensors.axes::<4>("input.features")?;
    let ([_, _, height, width], _) = tensors.axes::<4>("input.image")?;
    if height < 2 || width < 2 {
        bail!("its image is {height} x {width}, it must be at least 2 x 2");
    }
    tensors.axes::<4>("out.structure")?;
    tensors.weight("out.structure", &[batch, 3, out_size, out_size])?;
    if detail_channel >= channels {
        bail!("its config says detail_channel {detail_channel}, its map has {channels} channels");
    }
    let settings = Tasn { scale, size: [out_size, out_size], dense, rounds, temperature };
    Ok(Mechanism::Tasn { settings, detail_channel })
}

fn rga(tensors: &TensorMap) -> Result<Mechanism> {
    let RgaConfig { ratio, batch_norm_eps } = config(tensors)?;
    if ratio == 0 {
        bail!("its config says ratio 0, it must be at least 1");
    }
    if (batch_norm_eps - BATCH_NORM_EPSILON).abs() > 1e-9 {
        bail!("its config says batch_norm_eps {batch_norm_eps}, only {BATCH_NORM_EPSILON:e} is supported");
    }
    // The widths follow from map and ratio: held against the largest weights before any is allocated.
    let settings = Rga { ratio, spatial: true, channel: tensors.get("out.channel_gate").is_some() };
    let ([_, channels, height, width], _) = tensors.axes::<4>("input.features")?;
    let spatial = settings.widths(height * width, channels);
    tensors.weight("param.spatial.relation.conv", &[spatial.relation, 2 * spatial.nodes])?;
    if settings.channel {
        let channel = settings.widths(channels, height * width);
        tensors.weight("param.channel.relation.conv", &[channel.relation, 2 * channel.nodes])?;
        tensors.weight("param.channel.theta.conv", &[channel.embedded, channel.features])?;
    }
    Ok(Mechanism::Rga(settings))
}

fn rectify(tensors: &TensorMap) -> Result<Mechanism> {
    let RectifyConfig { heads, classes } = config(tensors)?;
    let Some(outputs) = heads.checked_mul(classes).filter(|&outputs| outputs > 0) else {
        bail!("its config says {heads} heads and {classes} classes");
    };
    let ([_, channels, ..], _) = tensors.axes::<4>("input.features")?;
    tensors.weight("param.output", &[outputs, channels, 3, 3])?;
    Ok(Mechanism::Rectify { heads, classes })
}
