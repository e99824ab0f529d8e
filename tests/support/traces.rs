//! Trace files of DCAL.

use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::tensors::TensorMap;

/// The network that a trace is of, as its metadata `config` tells.
pub(crate) fn architecture(trace: &TensorMap) -> Architecture {
    let config: serde_json::Value = serde_json::from_str(&trace.metadata["config"]).unwrap();
    let number = |key: &str| config[key].as_u64().map(|n| usize::try_from(n).unwrap());
    let side = number("image_size").unwrap();
    Architecture {
        resnet: None,
        hybrid: serde_json::from_value(config["hybrid"].clone()).unwrap(),
        image_size: [side, side],
        patch_size: number("patch_size").unwrap(),
        dim: number("dim").unwrap(),
        depth: number("depth").unwrap(),
        heads: number("heads").unwrap(),
        mlp_ratio: number("mlp_ratio").unwrap_or(4),
        layer_norm_eps: 1e-6,
        classes: trace.get("out.logits.sa").unwrap().shape[1],
        mechanism: Mechanism::Dcal(Dcal {
            ratio: config["ratio"].as_f64().unwrap(),
            glca: true,
            pwca: true,
            gates: None,
        }),
    }
}
