//! Finds a vision transformer among the tensors of a file and gives its tensors timm's names.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use finegrain::architecture::Residual;
use finegrain::tensors::TensorMap;

use super::hugging_face;

/// A network's tensors under timm's names.
#[derive(Debug)]
pub(super) struct Renamed {
    /// Whose names the file has: "timm", "Hugging Face" or, of a residual network, "timm and torchvision".
    pub names: &'static str,
    /// The tensors.
    pub weights: TensorMap,
    /// Names in the file of what does not belong to the network.
    pub left_over: Vec<String>,
}

/// Looks for a class token: timm's transformers have it at the top, Hugging Face's under `embeddings`; or for a residual network's
/// first block. What the file wraps around the network (`model.`, `state_dict.`, `module.`) is cut off.
///
/// # Errors
/// When there is neither, or a second class token for distillation.
pub(super) fn rename(file: &TensorMap) -> Result<Renamed> {
    // The shortest prefix: a checkpoint may hold an average (`model_ema.`) beside the network (`model.`).
    let before = |first: &str| {
        let prefixes = file.iter().filter_map(|(name, _)| name.strip_suffix(first));
        let whole = prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
        whole.min_by_key(|prefix| (prefix.len(), prefix.to_owned()))
    };
    let Some(prefix) = before("cls_token") else {
        if let Some(prefix) = before(FIRST_BLOCK) {
            return Ok(residual(file, prefix));
        }
        let first: Vec<&str> = file.iter().map(|(name, _)| name).take(3).collect();
        bail!("it is no vision transformer and no residual network (it begins with {})", first.join(", "));
    };
    let renamed = match prefix.strip_suffix("embeddings.") {
        Some(prefix) => hugging_face::rename(file, prefix)?,
        None => {
            let weights = file.under(prefix);
            let left_over = file.iter().map(|(name, _)| name).filter(|name| !name.starts_with(prefix));
            Renamed { names: "timm", left_over: left_over.map(str::to_owned).collect(), weights }
        }
    };
    if let Some(name) =
        ["dist_token", "embeddings.distillation_token"].iter().find(|name| renamed.weights.get(name).is_some())
    {
        bail!("it has a second class token ({name}): take the weights of the network without distillation");
    }
    Ok(renamed)
}

/// What every residual network has.
const FIRST_BLOCK: &str = "layer1.0.conv1.weight";

/// A residual network under `prefix`: its classifier is `fc.` elsewhere, and how many batches its norms saw is of no use.
fn residual(file: &TensorMap, prefix: &str) -> Renamed {
    let mut weights = TensorMap::default();
    for (name, tensor) in file.under(prefix).iter().filter(|(name, _)| !name.ends_with("num_batches_tracked")) {
        let name = name.strip_prefix("fc.").map_or_else(|| name.to_owned(), |part| format!("head.{part}"));
        weights.insert(name, tensor.clone());
    }
    let outside = file.iter().map(|(name, _)| name).filter(|name| !name.starts_with(prefix));
    let left_over = outside.filter(|name| !name.ends_with("num_batches_tracked")).map(str::to_owned).collect();
    Renamed { names: "timm and torchvision", weights, left_over }
}

/// What a network's tensors say of it, for an error that explains itself.
pub(super) fn describe(weights: &TensorMap) -> String {
    if weights.get(FIRST_BLOCK).is_some() {
        return describe_residual(weights);
    }
    let shape = |name: &str| weights.get(name).map(|tensor| tensor.shape.clone()).unwrap_or_default();
    let blocks: BTreeSet<&str> =
        weights.iter().filter_map(|(name, _)| name.strip_prefix("blocks.")?.split('.').next()).collect();
    let dim = shape("cls_token").last().copied().unwrap_or(0);
    let hidden = shape("blocks.0.mlp.fc1.weight").first().copied().unwrap_or(0);
    let patch = match shape(HYBRID_STEM).first() {
        Some(&width) => {
            let first = |stage: usize, block: usize| {
                weights.get(&format!("patch_embed.backbone.stages.{stage}.blocks.{block}.conv1.weight")).is_some()
            };
            let count = |stage: usize| (0..).take_while(|&block| first(stage, block)).count();
            let blocks: Vec<usize> = (0..).map(count).take_while(|&count| count > 0).collect();
            hybrid_in_words(&blocks, width)
        }
        None => format!("patch_size {}", shape("patch_embed.proj.weight").last().copied().unwrap_or(0)),
    };
    let mlp_ratio = hidden.checked_div(dim).unwrap_or(0);
    format!("dim {dim}, depth {}, {patch}, mlp_ratio {mlp_ratio}", blocks.len())
}

/// What every hybrid has.
const HYBRID_STEM: &str = "patch_embed.backbone.stem.conv.weight";

/// What [`describe`] says of a hybrid's convolutions.
pub(super) fn hybrid_in_words(blocks: &[usize], width: usize) -> String {
    format!("patches behind {blocks:?} residual blocks of width {width}")
}

fn describe_residual(weights: &TensorMap) -> String {
    let outputs = |name: &str| weights.get(name).and_then(|tensor| tensor.shape.first().copied()).unwrap_or(0);
    let blocks = |stage: usize| {
        let first = |block: &usize| weights.get(&format!("layer{stage}.{block}.conv1.weight")).is_some();
        (0..).take_while(first).count()
    };
    let blocks: Vec<usize> = (1..).map(blocks).take_while(|&count| count > 0).collect();
    let kind = match weights.get("layer1.0.conv3.weight").is_some() {
        true => Residual::Bottleneck,
        false if weights.get("bn1.weight").is_some() => Residual::Basic,
        false => Residual::Wide,
    };
    residual_in_words(kind, &blocks, outputs(FIRST_BLOCK))
}

/// What [`describe`] says of a residual network.
pub(super) fn residual_in_words(kind: Residual, blocks: &[usize], width: usize) -> String {
    let kind = match kind {
        Residual::Basic => "basic",
        Residual::Bottleneck => "bottleneck",
        Residual::Wide => "wide",
    };
    format!("a residual network of {kind} blocks, {blocks:?} of them, width {width}")
}
