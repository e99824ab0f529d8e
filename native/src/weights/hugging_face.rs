//! The names of Hugging Face's `ViTModel` and `ViTForImageClassification`, DeiT's likewise.

use anyhow::{Context, Result};
use finegrain::tensors::{Tensor, TensorMap};

use super::names::Renamed;

/// Names inside a block, theirs and timm's.
const BLOCK: [(&str, &str); 6] = [
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("attention.output.dense.", "attn.proj."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("attention.attention.query.", "attn.qkv."),
];

/// Names outside of the blocks.
const OUTSIDE: [(&str, &str); 6] = [
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.weight", "patch_embed.proj.weight"),
    ("embeddings.patch_embeddings.projection.bias", "patch_embed.proj.bias"),
    ("layernorm.weight", "norm.weight"),
    ("layernorm.bias", "norm.bias"),
];

/// Gives the network under `prefix` timm's names; queries, keys and values become one tensor, in this order. The
/// classifier lies beside the network (`vit.` and `classifier.`).
///
/// # Errors
/// When a block has queries without keys and values.
pub(super) fn rename(file: &TensorMap, prefix: &str) -> Result<Renamed> {
    let outer = prefix.strip_suffix("vit.").or_else(|| prefix.strip_suffix("deit.")).unwrap_or(prefix);
    let (mut weights, mut left_over) = (TensorMap::default(), Vec::new());
    for (full, tensor) in file.iter() {
        let classifier = full.strip_prefix(outer).and_then(|name| name.strip_prefix("classifier."));
        let name = full.strip_prefix(prefix);
        let renamed = classifier.map(|part| format!("head.{part}")).or_else(|| timm(name?));
        let part =
            name.is_some_and(|n| n.contains(".attention.attention.key.") || n.contains(".attention.attention.value."));
        match renamed {
            Some(renamed) if renamed.contains(".attn.qkv.") => {
                weights.insert(renamed, joined(file, full, tensor)?);
            }
            Some(renamed) => weights.insert(renamed, tensor.clone()),
            None if part => {}
            None if name == Some("embeddings.distillation_token") => {
                weights.insert("embeddings.distillation_token", tensor.clone());
            }
            None => left_over.push(full.to_owned()),
        }
    }
    Ok(Renamed { names: "Hugging Face", weights, left_over })
}

/// timm's name of `name`; that of the queries is the name of all three.
fn timm(name: &str) -> Option<String> {
    if let Some((_, timm)) = OUTSIDE.iter().find(|(own, _)| *own == name) {
        return Some((*timm).to_owned());
    }
    let (block, rest) = name.strip_prefix("encoder.layer.")?.split_once('.')?;
    let (own, timm) = BLOCK.iter().find(|(own, _)| rest.starts_with(own))?;
    Some(format!("blocks.{block}.{timm}{}", &rest[own.len()..]))
}

/// Queries, keys and values below each other, `[3 D, D]` or `[3 D]`.
fn joined(file: &TensorMap, query: &str, tensor: &Tensor) -> Result<Tensor> {
    let mut values = Vec::new();
    for part in ["query", "key", "value"] {
        let name = query.replace(".attention.attention.query.", &format!(".attention.attention.{part}."));
        let found = file.get(&name).filter(|found| found.shape == tensor.shape);
        found.with_context(|| format!("\"{name}\" is missing or has another shape than \"{query}\""))?;
        values.extend_from_slice(file.reals(&name)?);
    }
    let mut shape = tensor.shape.clone();
    if let Some(rows) = shape.first_mut() {
        *rows *= 3;
    }
    Ok(Tensor::f32(shape, values))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A network under Hugging Face's names, as `ViTForImageClassification` saves it.
    pub(crate) fn foreign(timm: &TensorMap) -> TensorMap {
        let mut file = TensorMap::default();
        for (name, tensor) in timm.iter() {
            let outside = OUTSIDE.iter().find(|(_, own)| *own == name).map(|(foreign, _)| format!("vit.{foreign}"));
            let head = name.strip_prefix("head.").map(|part| format!("classifier.{part}"));
            let block = || {
                let (block, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
                let (foreign, own) = BLOCK.iter().find(|(_, own)| rest.starts_with(own))?;
                Some(format!("vit.encoder.layer.{block}.{foreign}{}", &rest[own.len()..]))
            };
            let Some(foreign) = outside.or(head).or_else(block) else { panic!("{name}") };
            if !name.contains(".attn.qkv.") {
                file.insert(foreign, tensor.clone());
                continue;
            }
            let values = timm.reals(name).unwrap();
            let mut shape = tensor.shape.clone();
            shape[0] /= 3;
            for (values, part) in values.chunks(values.len() / 3).zip(["query", "key", "value"]) {
                file.insert(foreign.replace("query", part), Tensor::f32(shape.clone(), values.to_vec()));
            }
        }
        file.insert("vit.pooler.dense.weight", Tensor::f32([1], vec![0.0]));
        file
    }

    #[test]
    fn queries_without_keys_are_told() {
        let mut file = TensorMap::default();
        file.insert("embeddings.cls_token", Tensor::f32([1, 1, 2], vec![0.0; 2]));
        file.insert("encoder.layer.0.attention.attention.query.bias", Tensor::f32([2], vec![0.0; 2]));
        let error = rename(&file, "").unwrap_err().to_string();
        assert!(error.contains("encoder.layer.0.attention.attention.key.bias"), "{error}");
    }
}
