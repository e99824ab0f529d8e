//! Finds a vision transformer among the tensors of a file and gives its tensors timm's names.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use finegrain::tensors::TensorMap;

use super::hugging_face;

/// A vision transformer's tensors under timm's names.
#[derive(Debug)]
pub(super) struct Renamed {
    /// Whose names the file has: "timm" or "Hugging Face".
    pub names: &'static str,
    /// The tensors.
    pub weights: TensorMap,
    /// Names in the file of what does not belong to the network.
    pub left_over: Vec<String>,
}

/// Looks for a class token: timm's networks have it at the top, Hugging Face's under `embeddings`. What the file wraps
/// around the network (`model.`, `state_dict.`, `module.`) is cut off.
///
/// # Errors
/// When there is no class token, or a second one for distillation.
pub(super) fn rename(file: &TensorMap) -> Result<Renamed> {
    let tokens: Vec<&str> = file.iter().filter_map(|(name, _)| name.strip_suffix("cls_token")).collect();
    // The shortest prefix: a checkpoint may hold an average (`model_ema.`) beside the network (`model.`).
    let prefix = tokens
        .into_iter()
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .min_by_key(|prefix| (prefix.len(), prefix.to_owned()));
    let Some(prefix) = prefix else {
        let first: Vec<&str> = file.iter().map(|(name, _)| name).take(3).collect();
        bail!("it has no class token, so it is no vision transformer (it begins with {})", first.join(", "));
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

/// What a network's tensors say of it, for an error that explains itself.
pub(super) fn describe(weights: &TensorMap) -> String {
    let shape = |name: &str| weights.get(name).map(|tensor| tensor.shape.clone()).unwrap_or_default();
    let blocks: BTreeSet<&str> =
        weights.iter().filter_map(|(name, _)| name.strip_prefix("blocks.")?.split('.').next()).collect();
    let dim = shape("cls_token").last().copied().unwrap_or(0);
    let patch = shape("patch_embed.proj.weight").last().copied().unwrap_or(0);
    let hidden = shape("blocks.0.mlp.fc1.weight").first().copied().unwrap_or(0);
    format!("dim {dim}, depth {}, patch_size {patch}, mlp_ratio {}", blocks.len(), hidden.checked_div(dim).unwrap_or(0))
}
