//! Pretrained weights in a network, and a report of what matched, what was missing and what was left over.

use anyhow::{Result, bail};
use finegrain::architecture::Architecture;
use finegrain::model::{Network, adapt};
use finegrain::tensors::TensorMap;
use serde::{Deserialize, Serialize};

use super::names::{describe, hybrid_in_words, rename, residual_in_words};

/// The report of an import: tensor names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Whose names the file has: "timm", "Hugging Face" or, of a residual network, "timm and torchvision".
    pub names: String,
    /// Tensors of the network that are those of the file.
    pub matched: Vec<String>,
    /// Tensors that were fitted: a position embedding of another grid.
    pub interpolated: Vec<String>,
    /// Tensors that the file does not have, or not for as many classes: classifiers start at zero, GLCA as a copy of the
    /// last block, the loss's `w_k` at 0, RGA's gates and the modules of Attend and Rectify at random, TASN's norm as a copy of
    /// the last one.
    pub missing: Vec<String>,
    /// Tensors of the file that the network does not have.
    pub left_over: Vec<String>,
}

/// Puts the weights of a file (as [`read`](super::read()) gave them) into `network`.
///
/// # Errors
/// When the file holds no network that we know, or one of another architecture: both are described.
pub fn import(file: &TensorMap, network: Network) -> Result<(Network, Import)> {
    let mut renamed = rename(file)?;
    let architecture = network.architecture().clone();
    check(&renamed.weights, &architecture)?;
    let mut adapted = adapt(&renamed.weights, &architecture)?;
    // Bottlenecks of re-identification, RGA's gates and the modules of Attend and Rectify start anew, unless the file is of such
    // a run itself.
    let anew = |name: &str| name.contains("bottleneck.") || name.starts_with("rga.") || name.starts_with("rectify.");
    for (name, tensor) in network.weights().iter().filter(|(name, _)| anew(name)) {
        // Opinions of other classes are none of ours.
        let other = name.ends_with(".output") && adapted.get(name).is_some_and(|own| own.shape != tensor.shape);
        if other || adapted.get(name).is_none() {
            adapted.insert(name, tensor.clone());
        }
    }
    let network = network.load(&adapted)?;

    let (mut matched, mut interpolated, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for (name, tensor) in network.weights().iter() {
        match renamed.weights.remove(name) {
            Some(own) if own.shape == tensor.shape => matched.push(name.to_owned()),
            Some(_) if name == "pos_embed" => interpolated.push(name.to_owned()),
            Some(_) => {
                // A classifier of other classes: not used, and not there for ours.
                missing.push(name.to_owned());
                renamed.left_over.push(name.to_owned());
            }
            None => missing.push(name.to_owned()),
        }
    }
    renamed.left_over.extend(renamed.weights.iter().map(|(name, _)| name.to_owned()));
    let (names, left_over) = (renamed.names.to_owned(), renamed.left_over);
    Ok((network, Import { names, matched, interpolated, missing, left_over }))
}

/// Refuses another width, depth, patch or MLP, or other blocks, all in one sentence.
fn check(weights: &TensorMap, architecture: &Architecture) -> Result<()> {
    let Architecture { dim, depth, patch_size, mlp_ratio, .. } = *architecture;
    let wanted = match &architecture.resnet {
        Some(resnet) => residual_in_words(resnet.block, &resnet.blocks, resnet.width),
        None => {
            let patch = match &architecture.hybrid {
                Some(hybrid) => hybrid_in_words(&hybrid.blocks, hybrid.width),
                None => format!("patch_size {patch_size}"),
            };
            format!("dim {dim}, depth {depth}, {patch}, mlp_ratio {mlp_ratio}")
        }
    };
    let found = describe(weights);
    if found != wanted {
        bail!("it holds a network of another architecture ({found}), the recipe's [model] says {wanted}");
    }
    Ok(())
}

impl Import {
    /// The report in three lines for the log.
    pub fn lines(&self) -> [String; 3] {
        let list = |names: &[String]| match names {
            [] => "nothing".to_owned(),
            names if names.len() <= 6 => names.join(", "),
            names => format!("{}, ... ({} in all)", names[..5].join(", "), names.len()),
        };
        let interpolated = match self.interpolated.is_empty() {
            true => String::new(),
            false => format!(", interpolated: {}", list(&self.interpolated)),
        };
        [
            format!(
                "pretrained weights ({}'s names): {} tensors matched{interpolated}",
                self.names,
                self.matched.len()
            ),
            format!("missing there, started anew: {}", list(&self.missing)),
            format!("left over: {}", list(&self.left_over)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use finegrain::architecture::{Dcal, Mechanism};
    use finegrain::tensors::Tensor;

    use super::*;
    use crate::weights::hugging_face::tests::foreign;

    fn architecture(mechanism: Mechanism) -> Architecture {
        Architecture {
            resnet: None,
            hybrid: None,
            image_size: [8, 8],
            patch_size: 2,
            dim: 8,
            depth: 2,
            heads: 2,
            mlp_ratio: 2,
            layer_norm_eps: 1e-6,
            classes: 3,
            mechanism,
        }
    }

    fn plain() -> TensorMap {
        Network::new(&architecture(Mechanism::None), &Device::flex()).weights()
    }

    fn network(image_size: [usize; 2], classes: usize) -> Network {
        let mechanism = Mechanism::Dcal(Dcal { ratio: 0.25, glca: true, pwca: true, gates: None });
        Network::new(&Architecture { image_size, classes, ..architecture(mechanism) }, &Device::flex())
    }

    #[test]
    fn both_kinds_of_names_give_the_same_network() {
        let plain = plain();
        let (own, report) = import(&plain, network([8, 8], 3)).unwrap();
        let (other, foreign_report) = import(&foreign(&plain), network([8, 8], 3)).unwrap();
        assert!(own.weights() == other.weights());
        assert_eq!((report.names.as_str(), foreign_report.names.as_str()), ("timm", "Hugging Face"));
        assert_eq!(report.matched, foreign_report.matched);
        assert_eq!(report.matched.len(), plain.len());
        assert_eq!((report.left_over.len(), foreign_report.left_over), (0, vec!["vit.pooler.dense.weight".to_owned()]));
        assert!(report.missing.iter().all(|name| name.starts_with("glca") || name == "loss_log_var"));
        for (name, tensor) in plain.iter() {
            assert_eq!(own.weights().get(name), Some(tensor), "{name}");
        }
    }

    #[test]
    fn a_wrapped_checkpoint_of_another_grid_and_other_classes_is_fitted() {
        let mut file = TensorMap::default();
        for (name, tensor) in plain().iter() {
            file.insert(format!("model.{name}"), tensor.clone());
            file.insert(format!("model_ema.{name}"), Tensor::f32([1], vec![9.0]));
        }
        let (network, report) = import(&file, network([12, 8], 5)).unwrap();
        assert_eq!(report.interpolated, ["pos_embed"]);
        assert!(
            report.missing.contains(&"head.weight".to_owned()) && report.left_over.contains(&"head.bias".to_owned())
        );
        assert!(report.left_over.contains(&"model_ema.cls_token".to_owned()));
        assert_eq!(network.weights().get("norm.weight"), plain().get("norm.weight"));
        let lines = report.lines();
        assert!(lines[0].contains("interpolated: pos_embed") && lines[2].contains("in all"), "{lines:?}");
    }

    #[test]
    fn what_does_not_fit_is_described() {
        let error = |file: &TensorMap| import(file, network([8, 8], 3)).unwrap_err().to_string();
        let mut deeper = plain();
        deeper.insert("blocks.2.norm1.weight", Tensor::f32([8], vec![0.0; 8]));
        assert!(error(&deeper).contains("depth 3, patch_size 2") && error(&deeper).contains("says dim 8, depth 2"));
        let mut distilled = plain();
        distilled.insert("dist_token", Tensor::f32([1, 1, 8], vec![0.0; 8]));
        assert!(error(&distilled).contains("without distillation"));
        let mut other = TensorMap::default();
        other.insert("conv1.weight", Tensor::f32([1], vec![0.0]));
        assert!(error(&other).contains("no residual network (it begins with conv1.weight)"));
        let mut broken = plain();
        broken.remove("blocks.1.attn.proj.bias");
        assert!(error(&broken).contains("\"blocks.1.attn.proj.bias\" is missing"));
    }
}
