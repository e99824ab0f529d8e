//! Which learning rate and weight decay each parameter gets.

use super::config::Train;
use super::optimizer::Rates;

/// Rate and decay of the parameter at burn's path `path`, where the body's rate is `lr` and the network has `depth`
/// blocks.
///
/// Classifiers (TASN's, too), RGA's gates and the modules of Attend and Rectify, which no pretrained weights have, have a factor
/// of their own; blocks (of a residual network: stages) farther from the classifier get less with `layer_decay`, the embedding or first convolution
/// least. Biases, norms, embeddings
/// and `w_k` do not decay.
pub(super) fn rates(path: &str, lr: f64, train: &Train, depth: usize) -> Rates {
    // Batch and group norms call their factors "weight", too.
    let holder = path.rsplit('.').nth(1).unwrap_or("");
    let norm = holder.starts_with("bn") || holder.starts_with("norm");
    let decayed = path.ends_with(".weight") && !norm || path.ends_with(".conv");
    let decayed = decayed || [".attention", ".gate", ".output"].iter().any(|end| path.ends_with(end));
    let anew =
        ["vit.head.", "resnet.head.", "dcal.glca.head.", "rga.", "rectify.", "tasn.attention_head.", "tasn.part_head."];
    let head = anew.iter().any(|part| path.starts_with(part));
    let behind = path.strip_prefix("vit.blocks.").or_else(|| path.strip_prefix("resnet.stages."));
    let first = ["vit.patch_embed.", "resnet.conv1.", "resnet.bn1."].iter().any(|part| path.starts_with(part));
    let above = match behind.and_then(|rest| rest.split('.').next()?.parse::<usize>().ok()) {
        Some(block) => depth - 1 - block,
        None if first || path.ends_with("_token") || path.ends_with("_embed") => depth,
        None => 0,
    };
    let factor = if head { train.head_lr_factor } else { train.layer_decay.powi(above as i32) };
    Rates { lr: lr * factor, decay: if decayed { train.weight_decay } else { 0.0 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_gets_its_rate_and_decay() {
        let train = "epochs = 1\nbatch = 1\nlr = 1e-4\nhead_lr_factor = 10\nlayer_decay = 0.5\nweight_decay = 0.05";
        let train: Train = toml::from_str(train).unwrap();
        let of = |path: &str| rates(path, 1e-4, &train, 12);
        assert_eq!(of("vit.head.weight"), Rates { lr: 1e-3, decay: 0.05 });
        assert_eq!(of("dcal.glca.head.bias"), Rates { lr: 1e-3, decay: 0.0 });
        assert_eq!(of("vit.blocks.11.attn.qkv.weight"), Rates { lr: 1e-4, decay: 0.05 });
        assert_eq!(of("vit.blocks.10.norm1.gamma"), Rates { lr: 0.5e-4, decay: 0.0 });
        for (path, lr, decay) in [
            ("resnet.stages.3.0.conv2.weight", 1e-4, 0.05),
            ("resnet.stages.1.0.downsample.conv.weight", 0.25e-4, 0.05),
            ("resnet.stages.1.0.downsample.bn.weight", 0.25e-4, 0.0),
            ("resnet.stages.1.2.bn3.weight", 0.25e-4, 0.0),
            ("resnet.conv1.weight", 1e-4 / 16.0, 0.05),
            ("resnet.bn1.bias", 1e-4 / 16.0, 0.0),
            ("resnet.norm.weight", 1e-4, 0.0),
            ("resnet.head.weight", 1e-3, 0.05),
            ("vit.patch_embed.backbone.stages.2.blocks.0.conv2.weight", 1e-4 / 16.0, 0.05),
            ("vit.patch_embed.backbone.stages.2.blocks.0.norm2.weight", 1e-4 / 16.0, 0.0),
            ("vit.patch_embed.backbone.stem.norm.bias", 1e-4 / 16.0, 0.0),
        ] {
            assert_eq!(rates(path, 1e-4, &train, 4), Rates { lr, decay }, "{path}");
        }
        assert_eq!(of("vit.pos_embed"), Rates { lr: 1e-4 * 0.5f64.powi(12), decay: 0.0 });
        assert_eq!(of("dcal.loss_log_var"), Rates { lr: 1e-4, decay: 0.0 });
        assert_eq!(of("rga.gates.0.spatial.theta.conv"), Rates { lr: 1e-3, decay: 0.05 });
        assert_eq!(of("rga.gates.0.spatial.theta.bn.weight"), Rates { lr: 1e-3, decay: 0.0 });
        for part in ["modules.2.attend.attention", "modules.0.attend.output", "modules.1.attend.gate", "gates.weight"] {
            assert_eq!(of(&format!("rectify.{part}")), Rates { lr: 1e-3, decay: 0.05 });
        }
        for part in ["modules.2.norm.gamma", "gates.bn.weight", "gates.bn.bias"] {
            assert_eq!(of(&format!("rectify.{part}")), Rates { lr: 1e-3, decay: 0.0 });
        }
        assert_eq!(of("tasn.part_head.weight"), Rates { lr: 1e-3, decay: 0.05 });
        assert_eq!(of("tasn.norm.gamma"), Rates { lr: 1e-4, decay: 0.0 });
        assert_eq!(of("dcal.glca.block.mlp.fc1.weight"), Rates { lr: 1e-4, decay: 0.05 });
    }
}
