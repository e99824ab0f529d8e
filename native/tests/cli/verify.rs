//! `finegrain verify`.

use std::fs;
use std::path::PathBuf;

use finegrain::tensors::{Precision, Tensor, TensorMap};
use serde_json::Value;

use crate::program::{finegrain, fixture, has_adapter, json, refusal, without_adapter};

fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    if !path.exists() {
        println!("skipped: {} is not beside the checkout", path.display());
    }
    path.exists().then_some(path)
}

/// A copy of `dcal_small` with an edit.
fn edited(dir: &tempfile::TempDir, edit: impl FnOnce(&mut TensorMap)) -> PathBuf {
    copy_of(dir, "dcal_small", edit)
}

/// A copy of a trace with an edit.
fn copy_of(dir: &tempfile::TempDir, name: &str, edit: impl FnOnce(&mut TensorMap)) -> PathBuf {
    let mut trace = TensorMap::read(&fs::read(fixture(&format!("{name}.safetensors"))).unwrap()).unwrap();
    edit(&mut trace);
    let path = dir.path().join("trace.safetensors");
    fs::write(&path, trace.write(Precision::F32).unwrap()).unwrap();
    path
}

#[test]
fn burn_passes_with_gradients() {
    for name in ["dcal_small.safetensors", "dcal_odd.safetensors", "dcal_hybrid.safetensors"] {
        let found = json(finegrain(["verify", "--backend", "burn"]).arg(fixture(name)));
        assert_eq!(found["pass"], true, "{found}");
        for output in ["out.logits.sa", "out.loss.total", "grad.blocks.0.attn.qkv.weight", "grad.loss_log_var"] {
            assert!(found["burn"][output]["rel_norm"].as_f64().unwrap() < 1e-4, "{output}: {found}");
            assert!(found["burn"][output]["max_abs"].is_number(), "{output}");
        }
        assert_eq!(found["backend"], found["burn"], "one back end is the worst of one");
    }
}

#[test]
fn residual_networks_pass() {
    for name in ["resnet_basic.safetensors", "resnet_bottleneck.safetensors", "resnet_wide.safetensors"] {
        for backend in ["burn", "cpu"] {
            let found = json(finegrain(["verify", "--backend", backend]).arg(fixture(name)));
            assert_eq!(found["pass"], true, "{found}");
            for output in ["out.stage.2", "out.rollout", "out.logits.sa"] {
                assert!(found[backend][output]["rel_norm"].as_f64().unwrap() < 1e-5, "{output}: {found}");
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let broken = copy_of(&dir, "resnet_basic", |trace| {
        let config = trace.metadata.get_mut("config").unwrap();
        *config = config.replace("\"strides\": [1, 2, 2]", "\"strides\": [1, 0, 2]");
    });
    let sentence = refusal(finegrain(["verify", "--backend", "burn"]).arg(broken));
    assert!(sentence.contains("strides of the residual network are [1, 0, 2]"), "{sentence}");
}

#[test]
fn the_shaders_pass() {
    if !has_adapter() {
        return;
    }
    for name in ["dcal_small.safetensors", "dcal_odd.safetensors", "dcal_hybrid.safetensors"] {
        let found = json(finegrain(["verify"]).arg(fixture(name)));
        assert_eq!(found["pass"], true, "{found}");
        for backend in ["burn", "cpu", "webgpu"] {
            assert!(found[backend]["out.logits.glca"]["rel_norm"].as_f64().unwrap() < 1e-5, "{backend}: {found}");
            assert!(found[backend]["out.selected"]["max_abs"] == 0.0);
        }
    }
}

#[test]
fn the_real_network_passes_with_weights_from_elsewhere() {
    let (Some(trace), Some(weights)) = (
        shared("reference/vit_tiny_real.safetensors"),
        shared("weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"),
    ) else {
        return;
    };
    let text = refusal(finegrain(["verify", "--json", "--backend", "burn"]).arg(&trace));
    assert!(text.contains("it holds no parameters") && text.contains("--weights"), "{text}");
    let backend = if has_adapter() { "all" } else { "burn" };
    let found = json(finegrain(["verify", "--backend", backend]).arg(&trace).arg("--weights").arg(&weights));
    assert!(found["backend"]["out.logits.sa"]["max_abs"].as_f64().unwrap() < 1e-3, "{found}");
    assert_eq!(found["backend"]["out.selected"]["max_abs"], 0.0);
}

#[test]
fn a_wrong_result_fails_with_exit_status_1() {
    let dir = tempfile::tempdir().unwrap();
    let path = edited(&dir, |trace| {
        let mut values = trace.reals("out.logits.glca").unwrap().to_vec();
        values[3] += 1e-3;
        trace.insert("out.logits.glca", Tensor::f32([4, 5], values));
        let shape = trace.get("grad.norm.bias").unwrap().shape.clone();
        trace.insert("grad.norm.bias", Tensor::f32(shape, vec![1.0; 32]));
        trace.insert("out.surprise", Tensor::f32([1], vec![1.0]));
    });
    let output = finegrain(["verify", "--json", "--backend", "burn"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["pass"], false);
    assert_eq!(found["failed"], serde_json::json!(["burn: grad.norm.bias", "burn: out.logits.glca"]));
    assert_eq!(found["missing"], serde_json::json!(["burn: out.surprise"]));
}

/// What each mechanism computes that the engine does, and what belongs to training.
const PARTS: [(&str, &str, &str, Option<&str>); 3] = [
    ("tasn_small", "TASN", "out.structure_coords", Some("out.distill")),
    ("rga_small", "RGA", "out.spatial_channel", None),
    ("rectify_small", "Attend and Rectify", "out.sigmoid", Some("out.regulariser")),
];

#[test]
fn mechanisms_by_themselves_pass() {
    let shaders = has_adapter();
    for (name, _, output, training) in PARTS {
        let path = fixture(&format!("{name}.safetensors"));
        let found = json(finegrain(["verify", "--backend", if shaders { "all" } else { "burn" }]).arg(path));
        assert_eq!(found["pass"], true, "{found}");
        assert!(found["burn"][output]["rel_norm"].as_f64().unwrap() < 1e-5, "{found}");
        if let Some(training) = training {
            assert!(found["burn"][training]["rel_norm"].as_f64().unwrap() < 1e-5, "{found}");
            assert!(found["webgpu"][training].is_null(), "{found}");
        }
        if shaders {
            assert!(found["webgpu"][output]["rel_norm"].as_f64().unwrap() < 1e-5, "{found}");
        }
        assert!(found["cpu"].is_null());
    }
}

#[test]
fn a_back_end_without_the_mechanism_says_so() {
    for (name, mechanism, ..) in PARTS {
        let path = fixture(&format!("{name}.safetensors"));
        let text = refusal(finegrain(["verify", "--json", "--backend", "cpu"]).arg(path));
        assert!(text.contains(&format!("the back end cpu has no {mechanism}")), "{text}");
    }
}

#[test]
fn a_wrong_mechanism_fails() {
    let dir = tempfile::tempdir().unwrap();
    let path = copy_of(&dir, "tasn_small", |trace| {
        let coordinates = trace.get("out.detail_coords").unwrap().shape.clone();
        let mut values = trace.reals("out.detail_coords").unwrap().to_vec();
        // Far less than 1e-5 of the norm, and more than 1e-5.
        values[7] += 2e-5;
        trace.insert("out.detail_coords", Tensor::f32(coordinates, values));
    });
    let output = finegrain(["verify", "--json", "--backend", "burn"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["failed"], serde_json::json!(["burn: out.detail_coords"]));
    assert!(found["burn"]["out.detail_coords"]["rel_norm"].as_f64().unwrap() < 1e-5);
}

#[test]
fn mechanisms_that_cannot_be_used_are_named() {
    fn set(trace: &mut TensorMap, from: &str, to: &str) {
        let config = trace.metadata["config"].replace(from, to);
        trace.metadata.insert("config".into(), config);
    }
    let dir = tempfile::tempdir().unwrap();
    let said = |name: &str, edit: fn(&mut TensorMap)| {
        refusal(finegrain(["verify", "--json", "--backend", "burn"]).arg(copy_of(&dir, name, edit)))
    };
    assert!(said("tasn_small", |t| t.metadata.clear()).contains("no metadata \"config\""));
    assert!(said("tasn_small", |t| set(t, "\"out_size\": 40", "\"out_size\": 9000000")).contains("out.structure"));
    assert!(said("tasn_small", |t| set(t, "\"detail_channel\": 3", "\"detail_channel\": 32")).contains("32 channels"));
    assert!(said("tasn_small", |t| set(t, "\"scale\": 7.0", "\"scale\": -7.0")).contains("above 0"));
    assert!(said("tasn_small", |t| drop(t.remove("input.student"))).contains("\"input.student\" is missing"));
    assert!(said("rga_small", |t| set(t, "\"ratio\": 8", "\"ratio\": 0")).contains("ratio 0"));
    assert!(said("rga_small", |t| set(t, "\"ratio\": 8", "\"ratio\": 4")).contains("param.spatial.relation.conv"));
    assert!(said("rga_small", |t| set(t, "1e-05", "1e-03")).contains("only 1e-5 is supported"));
    assert!(said("rga_small", |t| drop(t.remove("param.channel.w1.bn.var"))).contains("channel.w1.bn.running_var"));
    let huge = "\"heads\": 4000000000000000000";
    let text =
        refusal(finegrain(["verify", "--json"]).arg(copy_of(&dir, "rectify_small", |t| set(t, "\"heads\": 4", huge))));
    assert!(text.contains("heads"), "{text}");
    assert!(said("rectify_small", |t| set(t, "\"heads\": 4", "\"heads\": 5")).contains("param.output"));
    let path = fixture("rga_small.safetensors");
    let text = refusal(finegrain(["verify", "--json", "--weights"]).arg(&path).arg(&path));
    assert!(text.contains("leave --weights out"), "{text}");
}

#[test]
fn traces_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let said = |edit: fn(&mut TensorMap)| {
        refusal(finegrain(["verify", "--json", "--backend", "burn"]).arg(edited(&dir, edit)))
    };
    assert!(said(|t| t.metadata.clear()).contains("no metadata \"config\""));
    assert!(said(|t| drop(t.metadata.insert("config".into(), "{}".into()))).contains("is not understood"));
    let text = said(|t| {
        let huge = r#"{"depth": 60000, "dim": 60000, "heads": 2, "image_size": 32, "patch_size": 8, "ratio": 0.25}"#;
        t.metadata.insert("config".into(), huge.into());
    });
    assert!(text.contains("more parameters than there are"), "{text}");
    assert!(said(|t| drop(t.remove("param.head.bias"))).contains("\"head.bias\" is missing"));
    assert!(said(|t| drop(t.remove("input.images"))).contains("\"input.images\" is missing"));
    assert!(
        said(|t| t.insert("input.labels", Tensor::i32([4], vec![0, 1, 2, 5]))).contains("\"input.labels\" holds 5")
    );
    assert!(said(|t| t.insert("input.perm", Tensor::i32([2], vec![0, 1]))).contains("\"input.perm\" has 2 values"));

    let garbage = dir.path().join("garbage.safetensors");
    fs::write(&garbage, "no tensors at all").unwrap();
    let text = refusal(finegrain(["verify", "--json"]).arg(&garbage));
    assert!(text.contains("not a readable safetensors file"), "{text}");
    let text = refusal(finegrain(["verify", "--json", "/nonexistent.safetensors"]).env("LANG", "C"));
    assert!(text.contains("cannot be read"), "{text}");
}

#[test]
fn no_adapter_gets_a_sentence() {
    if cfg!(not(target_os = "linux")) {
        println!("skipped: only Vulkan's drivers can be hidden");
        return;
    }
    let mut command = finegrain(["verify", "--json", "--backend", "webgpu"]);
    let text = refusal(without_adapter(command.arg(fixture("dcal_small.safetensors"))));
    assert!(text.contains("no graphics adapter was found"), "{text}");
}
