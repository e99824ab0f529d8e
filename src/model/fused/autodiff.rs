//! The kernels' backward passes, registered with burn's autodiff.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Flex, TensorMetadata};
use std::sync::Arc;

use super::Fused;
use super::flex::{
    cross_attention, cross_backward, indices, layer_norm_with_statistics, packed_backward, pair_attention,
    self_attention, tensor, values,
};
use crate::cpu::kernels::layer_norm::Statistics;
use crate::cpu::kernels::{gelu, layer_norm};

#[derive(Debug)]
struct Gelu;

impl Backward<Flex, 1> for Gelu {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let x = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, gradients, |dy| {
            tensor(gelu::backward(&values(&x), &values(&dy)), x.shape())
        });
    }
}

#[derive(Debug)]
struct LayerNorm;

impl Backward<Flex, 3> for LayerNorm {
    type State = (FlexTensor, FlexTensor, Arc<Vec<Statistics>>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<Flex>(&ops.node);
        let (x, gamma, statistics) = ops.state;
        let found = layer_norm::backward(&values(&x), &values(&gamma), &statistics, &values(&dy));
        let [node_x, node_gamma, node_beta] = ops.parents;
        let dim = gamma.shape();
        let each = [(node_x, found.x, x.shape()), (node_gamma, found.gamma, dim.clone()), (node_beta, found.beta, dim)];
        for (node, values, shape) in each {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, tensor(values, shape));
            }
        }
    }
}

/// Self-attention, or pair-wise attention where there are partners.
#[derive(Debug)]
struct PackedAttention;

#[derive(Debug, Clone)]
struct Packed {
    qkv: FlexTensor,
    partners: Option<Arc<Vec<usize>>>,
    heads: usize,
    lse: Arc<Vec<f32>>,
}

impl Backward<Flex, 1> for PackedAttention {
    type State = Packed;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let Packed { qkv, partners, heads, lse } = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, gradients, |dy| {
            packed_backward(&qkv, partners.as_deref().map(Vec::as_slice), heads, &lse, &dy)
        });
    }
}

#[derive(Debug)]
struct CrossAttention;

impl Backward<Flex, 2> for CrossAttention {
    type State = (FlexTensor, FlexTensor, usize, Arc<Vec<f32>>);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<Flex>(&ops.node);
        let (queries, kv, heads, lse) = ops.state;
        let (d_queries, d_kv) = cross_backward(&queries, &kv, heads, &lse, &dy);
        for (node, gradient) in ops.parents.into_iter().zip([d_queries, d_kv]) {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, gradient);
            }
        }
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match Gelu.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let x = x.into_primitive();
                prep.finish(x.clone(), Flex::gelu(x))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::gelu(x.into_primitive())),
        }
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (y, statistics) = layer_norm_with_statistics(&x, &gamma, &beta, epsilon);
        match LayerNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, gamma, Arc::new(statistics)), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn self_attention(qkv: FloatTensor<Self>, heads: usize) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let node = qkv.node();
        let qkv = qkv.into_primitive();
        let (mixed, map, lse) = self_attention(&qkv, heads);
        let mixed = match PackedAttention.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Packed { qkv, partners: None, heads, lse: Arc::new(lse) }, mixed),
            OpsKind::UnTracked(prep) => prep.finish(mixed),
        };
        (mixed, <FloatTensor<Self>>::new(map))
    }

    fn pair_attention(qkv: FloatTensor<Self>, partners: IntTensor<Self>, heads: usize) -> FloatTensor<Self> {
        let node = qkv.node();
        let (qkv, partners) = (qkv.into_primitive(), Arc::new(indices(partners)));
        let (mixed, lse) = pair_attention(&qkv, &partners, heads);
        match PackedAttention.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(Packed { qkv, partners: Some(partners), heads, lse: Arc::new(lse) }, mixed)
            }
            OpsKind::UnTracked(prep) => prep.finish(mixed),
        }
    }

    fn cross_attention(
        queries: FloatTensor<Self>,
        kv: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [queries.node(), kv.node()];
        let (queries, kv) = (queries.into_primitive(), kv.into_primitive());
        let (mixed, map, lse) = cross_attention(&queries, &kv, heads);
        let mixed = match CrossAttention.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((queries, kv, heads, Arc::new(lse)), mixed),
            OpsKind::UnTracked(prep) => prep.finish(mixed),
        };
        (mixed, <FloatTensor<Self>>::new(map))
    }
}
