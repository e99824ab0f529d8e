//! A network's weights, laid out for products from the left: `[in, out]` where timm has `[out, in]`.

use crate::architecture::Architecture;
use crate::tensors::{TensorError, TensorMap};

/// A linear layer.
pub(super) struct Linear {
    /// `[in, out]`.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

/// A layer norm.
pub(super) struct Norm {
    /// `[D]`.
    pub gamma: Vec<f32>,
    /// `[D]`.
    pub beta: Vec<f32>,
}

/// A transformer block.
pub(super) struct Block {
    pub norm1: Norm,
    pub qkv: Linear,
    pub proj: Linear,
    pub norm2: Norm,
    pub fc1: Linear,
    pub fc2: Linear,
}

/// The GLCA branch.
pub(super) struct Glca {
    pub block: Block,
    pub norm: Norm,
    pub head: Linear,
}

/// Everything.
pub(super) struct Weights {
    /// Class token plus its position, `[D]`.
    pub class: Vec<f32>,
    /// Position of each patch plus the patch embedding's bias, `[N, D]`.
    pub positions: Vec<f32>,
    /// Patch embedding, `[3 p p, D]`.
    pub patches: Vec<f32>,
    pub blocks: Vec<Block>,
    pub norm: Norm,
    pub head: Linear,
    pub glca: Option<Glca>,
}

impl Weights {
    /// Takes the weights out of `map` (timm's names and layouts).
    ///
    /// # Errors
    /// [`TensorError`] names the weight that is missing, of another shape or no number.
    pub(super) fn read(architecture: &Architecture, map: &TensorMap) -> Result<Self, TensorError> {
        let (dim, classes, hidden) = (architecture.dim, architecture.classes, architecture.hidden());
        let (patch, tokens) = (architecture.patch_size, architecture.tokens());
        let reader = Reader { map, dim, hidden };
        let class = map.weight("cls_token", &[1, 1, dim])?;
        let position = map.weight("pos_embed", &[1, tokens, dim])?;
        let bias = map.weight("patch_embed.proj.bias", &[dim])?;
        let sum = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f32>>();
        let (first, rest) = position.split_at(dim);
        let patches = map.weight("patch_embed.proj.weight", &[dim, 3, patch, patch])?;
        let glca = architecture.glca().map(|_| -> Result<Glca, TensorError> {
            Ok(Glca {
                block: reader.block("glca")?,
                norm: reader.norm("glca_norm")?,
                head: reader.linear("glca_head", dim, classes)?,
            })
        });
        Ok(Self {
            class: sum(class, first),
            positions: rest.chunks_exact(dim).flat_map(|row| sum(row, bias)).collect(),
            patches: turned(patches, dim),
            blocks: (0..architecture.depth).map(|i| reader.block(&format!("blocks.{i}"))).collect::<Result<_, _>>()?,
            norm: reader.norm("norm")?,
            head: reader.linear("head", dim, classes)?,
            glca: glca.transpose()?,
        })
    }
}

struct Reader<'a> {
    map: &'a TensorMap,
    dim: usize,
    hidden: usize,
}

impl Reader<'_> {
    fn norm(&self, name: &str) -> Result<Norm, TensorError> {
        let part = |part: &str| Ok::<_, TensorError>(self.map.weight(&format!("{name}.{part}"), &[self.dim])?.to_vec());
        Ok(Norm { gamma: part("weight")?, beta: part("bias")? })
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, TensorError> {
        let weight = turned(self.map.weight(&format!("{name}.weight"), &[outputs, inputs])?, outputs);
        Ok(Linear { weight, bias: self.map.weight(&format!("{name}.bias"), &[outputs])?.to_vec() })
    }

    fn block(&self, name: &str) -> Result<Block, TensorError> {
        let (dim, hidden) = (self.dim, self.hidden);
        Ok(Block {
            norm1: self.norm(&format!("{name}.norm1"))?,
            qkv: self.linear(&format!("{name}.attn.qkv"), dim, 3 * dim)?,
            proj: self.linear(&format!("{name}.attn.proj"), dim, dim)?,
            norm2: self.norm(&format!("{name}.norm2"))?,
            fc1: self.linear(&format!("{name}.mlp.fc1"), dim, hidden)?,
            fc2: self.linear(&format!("{name}.mlp.fc2"), hidden, dim)?,
        })
    }
}

/// `[rows, columns]` to `[columns, rows]`.
fn turned(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows.max(1);
    (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
}
