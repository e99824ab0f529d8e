//! Trace files: a network, its input and every result, computed in float64 by other programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use finegrain::architecture::{Architecture, Dcal, Hybrid, Mechanism, ResNet};
use finegrain::model::adapt;
use finegrain::tensors::{Tensor, TensorMap};
use serde::Deserialize;

use crate::parts::Part;

/// A trace and the network in it.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Everything in the file: `input.*`, `param.*`, `out.*`, `grad.*`.
    pub tensors: TensorMap,
    /// The network.
    pub architecture: Architecture,
    /// Its weights, timm's names.
    pub weights: TensorMap,
}

/// The metadata `config`: of a transformer or of a residual network; what it leaves out follows from the tensors.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Config {
    ResNet { resnet: ResNet, image_size: [usize; 2] },
    Vit(Vit),
}

#[derive(Debug, Deserialize)]
struct Vit {
    depth: usize,
    dim: usize,
    heads: usize,
    image_size: Side,
    patch_size: usize,
    ratio: Option<f64>,
    mlp_ratio: Option<usize>,
    layer_norm_eps: Option<f32>,
    hybrid: Option<Hybrid>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Side {
    Square(usize),
    Rectangle([usize; 2]),
}

/// What a trace file is of.
#[derive(Debug, Clone)]
pub enum Traced {
    /// A whole network.
    Network(Box<Trace>),
    /// A mechanism by itself.
    Part(Box<Part>),
}

impl Traced {
    /// Reads a trace of either kind; a network's weights are those of the file `weights` where there is
    /// one (timm's names).
    ///
    /// # Errors
    /// One sentence for a file that is no trace, that contradicts itself, or that is without weights.
    pub fn read(path: &Path, weights: Option<&Path>) -> Result<Self> {
        let tensors = read(path)?;
        let interpret = || match Part::of(&tensors)? {
            Some(_) if weights.is_some() => bail!("it holds its own parameters: leave --weights out"),
            Some(part) => Ok(Self::Part(Box::new(part))),
            None => Ok(Self::Network(Box::new(Trace::interpret(tensors.clone(), weights)?))),
        };
        interpret().with_context(|| format!("the trace \"{}\" cannot be used", path.display()))
    }
}

impl Trace {
    /// A trace and its weights: the tensors `param.*`, or those of the file `weights`, adapted as for training: GLCA starts as
    /// a copy of the last block and shares the head.
    fn interpret(tensors: TensorMap, weights: Option<&Path>) -> Result<Self> {
        let Some(config) = tensors.metadata.get("config") else { bail!("it has no metadata \"config\"") };
        let config: Config = serde_json::from_str(config).context("its metadata \"config\" is not understood")?;
        let architecture = architecture(&config, &tensors)?;
        architecture.check()?;
        let own = tensors.under("param.");
        let weights = match weights {
            Some(path) => {
                let pretrained = read(path)?;
                check_count(&architecture, &pretrained)?;
                with_shared_head(adapt(&pretrained, &architecture)?, &architecture)?
            }
            None if own.is_empty() => bail!("it holds no parameters: name the file that does with --weights"),
            None => own,
        };
        check_count(&architecture, &weights)?;
        Ok(Self { tensors, architecture, weights })
    }

    /// The input, `[B, 3, H, W]`, and `B`.
    ///
    /// # Errors
    /// An input that is missing or not that of the network.
    pub fn images(&self) -> Result<(&[f32], usize)> {
        let [height, width] = self.architecture.image_size;
        let name = "input.images";
        let batch = self.tensors.get(name).and_then(|tensor| tensor.shape.first().copied()).unwrap_or(1);
        let images = self.tensors.weight(name, &[batch, 3, height, width])?;
        if batch == 0 {
            bail!("its input has no images");
        }
        Ok((images, batch))
    }

    /// Indices `[B]` from 0 to `limit`, such as `input.labels`; `None` where the trace has none.
    ///
    /// # Errors
    /// Indices of another number, or out of range.
    pub fn indices(&self, name: &str, limit: usize) -> Result<Option<&[i32]>> {
        if self.tensors.get(name).is_none() {
            return Ok(None);
        }
        let (_, batch) = self.images()?;
        let values = self.tensors.integers(name)?;
        if values.len() != batch {
            bail!("\"{name}\" has {} values for {batch} images", values.len());
        }
        match values.iter().find(|&&value| usize::try_from(value).map_or(true, |value| value >= limit)) {
            Some(value) => bail!("\"{name}\" holds {value}, it must be from 0 to {}", limit - 1),
            None => Ok(Some(values)),
        }
    }
}

fn read(path: &Path) -> Result<TensorMap> {
    let bytes = fs::read(path).with_context(|| format!("\"{}\" cannot be read", path.display()))?;
    TensorMap::read(&bytes).with_context(|| format!("\"{}\" cannot be used", path.display()))
}

fn architecture(config: &Config, tensors: &TensorMap) -> Result<Architecture> {
    let has = |name: &str| tensors.get(name).is_some();
    let rows = |name: &str, axis: usize| tensors.get(name).and_then(|tensor| tensor.shape.get(axis).copied());
    let Some(classes) = rows("out.logits.sa", 1) else { bail!("it has no \"out.logits.sa\" [B, classes]") };
    let config = match config {
        Config::ResNet { resnet, image_size } => {
            resnet.check_numbers()?;
            return Ok(resnet.clone().architecture(*image_size, classes, Mechanism::None));
        }
        Config::Vit(config) => config,
    };
    let glca = has("out.logits.glca") || has("param.glca.norm1.weight");
    let pwca = has("out.logits.pwca");
    let hidden = rows("param.blocks.0.mlp.fc1.weight", 0);
    let implied = hidden.filter(|hidden| config.dim > 0 && hidden % config.dim == 0).map(|hidden| hidden / config.dim);
    let mechanism = match config.ratio {
        Some(ratio) => Mechanism::Dcal(Dcal { ratio, glca, pwca, gates: None }),
        None if glca || pwca => bail!("its config has no \"ratio\" (R, the share of local queries)"),
        None => Mechanism::None,
    };
    Ok(Architecture {
        resnet: None,
        hybrid: config.hybrid.clone(),
        image_size: match config.image_size {
            Side::Square(side) => [side, side],
            Side::Rectangle(size) => size,
        },
        patch_size: config.patch_size,
        dim: config.dim,
        depth: config.depth,
        heads: config.heads,
        mlp_ratio: config.mlp_ratio.or(implied).unwrap_or(4),
        layer_norm_eps: config.layer_norm_eps.unwrap_or(1e-6),
        classes,
        mechanism,
    })
}

/// The GLCA branch of a pretrained backbone classifies with the backbone's own head.
fn with_shared_head(mut weights: TensorMap, architecture: &Architecture) -> Result<TensorMap> {
    if architecture.glca().is_some() {
        for part in ["weight", "bias"] {
            let head: Tensor = weights.get(&format!("head.{part}")).context("the weights have no head")?.clone();
            weights.insert(format!("glca_head.{part}"), head);
        }
    }
    Ok(weights)
}

/// Compares a config's size with the file's before anything is allocated for it. Adapting adds a block and a head to
/// what is there, so twice the file is allowed; what exactly is missing is told when the weights are loaded.
fn check_count(architecture: &Architecture, weights: &TensorMap) -> Result<()> {
    let count = |tensor: &Tensor| tensor.shape.iter().map(|&side| side as u64).product::<u64>();
    let found: u64 = weights.iter().map(|(_, tensor)| count(tensor)).sum();
    match architecture.parameters() {
        Some(count) if count <= found.saturating_mul(2) => Ok(()),
        _ => bail!("its config describes a network with more parameters than there are ({found})"),
    }
}
