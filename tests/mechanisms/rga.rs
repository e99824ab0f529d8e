//! RGA: both gates, training's statistics, gradients.

use burn::module::Param;
use burn::tensor::{Device, FloatDType, Tensor};
use finegrain::architecture::Rga as Settings;
use finegrain::model::rga::{Rga, trace};
use finegrain::model::{Statistics, observe};
use finegrain::tensors::TensorMap;

use crate::support::{Random, assert_close, check_gradients, config, fixture, near, seeded, values, weighted};

const BOTH: Settings = Settings { ratio: 2, spatial: true, channel: true };

/// The trace's parameters under the names of the model: it calls the running statistics `mean` and `var`.
pub(crate) fn weights(trace: &TensorMap) -> TensorMap {
    let mut weights = TensorMap::default();
    for (name, tensor) in trace.under("param.").iter() {
        let name = name.replace(".bn.mean", ".bn.running_mean").replace(".bn.var", ".bn.running_var");
        weights.insert(name, tensor.clone());
    }
    weights
}

#[test]
fn rga_small_is_reproduced() {
    let truth = fixture("rga_small.safetensors");
    let ratio = config(&truth)["ratio"].as_u64().unwrap() as usize;
    let settings = Settings { ratio, spatial: true, channel: true };
    assert_close(&trace(&settings, &truth, &weights(&truth), &Device::flex()).unwrap(), &truth);

    // RGA-S alone is the first half of it.
    let spatial = trace(&Settings { channel: false, ..settings.clone() }, &truth, &weights(&truth), &Device::flex());
    let spatial = spatial.unwrap();
    assert_eq!(spatial.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["out.spatial", "out.spatial_gate"]);
    assert_eq!(spatial.len(), 2);

    let mut missing = weights(&truth);
    missing.remove("channel.w1.bn.running_var");
    let error = trace(&settings, &truth, &missing, &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("channel.w1.bn.running_var"), "{error}");
}

fn map(device: &Device, shape: [usize; 4], seed: u64) -> Tensor<4> {
    Random(seed).tensor(shape, 1.0, device)
}

/// RGA-C is RGA-S on the map with channels and positions exchanged.
#[test]
fn channels_are_nodes_as_positions_are() {
    let device = Device::flex();
    let x = map(&device, [2, 6, 1, 10], 1).cast(FloatDType::F32);
    let spatial = Rga::new(&Settings { channel: false, ..BOTH }, 6, [1, 10], &device);
    let channel = Rga { spatial: None, channel: spatial.spatial.clone() };
    let expected = spatial.forward(x.clone(), &mut Statistics::Running);
    let found = channel.forward(x.permute([0, 3, 2, 1]), &mut Statistics::Running);
    let (gate, _) = expected.spatial.unwrap();
    assert!(near(&values(&found.channel.unwrap()), &values(&gate), 1e-6));
    assert!(near(&values(&found.map.permute([0, 3, 2, 1])), &values(&expected.map), 1e-6));
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let device = Device::flex().autodiff();
    let rga = seeded(Rga::new(&BOTH, 6, [2, 4], &device), 1);
    let input = Param::from_tensor(map(&device, [3, 6, 2, 4], 2).require_grad());
    let inference = check_gradients((rga.clone(), input.clone()), |(rga, x)| {
        weighted(rga.forward(x.val(), &mut Statistics::Running).map, 5)
    });
    // Twelve layers of three parameters each, and the map.
    assert_eq!(inference, (37, 37));
    let training = check_gradients((rga, input), |(rga, x)| {
        weighted(rga.forward(x.val(), &mut Statistics::Batch(&mut Vec::new())).map, 5)
    });
    assert_eq!(training, (37, 37));
}

#[test]
fn training_is_observed_by_each_norm() {
    let device = Device::flex();
    let mut rga = Rga::new(&BOTH, 6, [2, 4], &device);
    let x = map(&device, [5, 6, 2, 4], 3).cast(FloatDType::F32);
    let mut last = Vec::new();
    // The same batch again and again: the running statistics become its own.
    for _ in 0..120 {
        let mut batches = Vec::new();
        rga.forward(x.clone(), &mut Statistics::Batch(&mut batches));
        rga = observe(rga, &batches);
        last = batches.into_iter().map(|seen| seen.batch).collect();
    }
    let parts = [rga.spatial.unwrap(), rga.channel.unwrap()];
    let norms: Vec<_> =
        parts.iter().flat_map(|p| [&p.theta, &p.phi, &p.unary, &p.relation, &p.w1, &p.w2]).map(|e| &e.bn).collect();
    assert_eq!((norms.len(), last.len()), (12, 12));
    for (norm, batch) in norms.iter().zip(&last) {
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        assert!(near(&values(&norm.running_mean.val()), &wide(&batch.mean), 1e-4), "{batch:?}");
        assert!(near(&values(&norm.running_var.val()), &wide(&batch.variance), 1e-4), "{batch:?}");
    }
}
