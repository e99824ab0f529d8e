//! A transformer's weights, and what a residual network has of the same kinds, laid out for products from the left: `[in, out]` where timm has `[out, in]`.

use std::borrow::Cow;

use super::hybrid::Hybrid;
use super::kernels::convolution::by_tap;
use super::kernels::matmul::{Matrix, Store, Weight};
use super::rectify::{Module, Rectify};
use super::rga::{Gates, Part};
use crate::architecture::{Architecture, RelationWidths, Rga};
use crate::tensors::{TensorError, TensorMap};

/// A linear layer.
pub(super) struct Linear {
    /// `[in, out]`.
    pub weight: Weight,
    /// `[out]`.
    pub bias: Vec<f32>,
}

impl Linear {
    /// `y = x W + b`, `[rows, in]` to `[rows, out]`.
    pub(super) fn apply(&self, x: &[f32], y: &mut [f32]) {
        self.weight.apply(x, &self.bias, Store::Set, y);
    }

    /// `y += x W + b`: the residual connection is the product's own addition.
    pub(super) fn add(&self, x: &[f32], y: &mut [f32]) {
        self.weight.apply(x, &self.bias, Store::Add, y);
    }

    /// The same, into values of its own: `[rows, out]`.
    pub(super) fn of(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut y = vec![0.0; rows * self.bias.len()];
        self.apply(x, &mut y);
        y
    }
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
    /// Queries, `D -> D`: the first third of timm's `qkv`.
    pub q: Linear,
    /// Keys and values, `D -> 2 D`: the rest. Apart, because some tokens look at all.
    pub kv: Linear,
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

/// Everything of a transformer.
pub(super) struct Weights {
    /// Class token plus its position, `[D]`.
    pub class: Vec<f32>,
    /// Position of each patch, `[N, D]`.
    pub positions: Vec<f32>,
    /// What a hybrid has before the patches.
    pub hybrid: Option<Hybrid>,
    /// Patch embedding, `3 p p -> D`, of a hybrid from the channels of its last map.
    pub patches: Linear,
    pub blocks: Vec<Block>,
    pub norm: Norm,
    pub head: Linear,
    pub glca: Option<Glca>,
    /// RGA's gates, place by place; none without RGA.
    pub rga: Vec<Gates>,
    /// Attend and Rectify, where that is the mechanism.
    pub rectify: Option<Rectify>,
    /// Norm of the map by which TASN resamples.
    pub tasn: Option<Norm>,
}

impl Weights {
    /// Takes the weights out of `map` (timm's names and layouts); where it is ours, those of blocks and of a hybrid's
    /// convolutions are removed.
    ///
    /// # Errors
    /// [`TensorError`] names the weight that is missing, of another shape or no number.
    pub(super) fn read(architecture: &Architecture, map: &mut Cow<'_, TensorMap>) -> Result<Self, TensorError> {
        let mut blocks = Vec::with_capacity(architecture.depth);
        for i in 0..architecture.depth {
            let name = format!("blocks.{i}");
            blocks.push(Reader::new(architecture, map).block(&name)?);
            if let Cow::Owned(map) = map {
                map.forget(&format!("{name}."));
            }
        }
        let hybrid = architecture.hybrid.as_ref().map(|hybrid| Hybrid::read(hybrid, map)).transpose()?;
        if let Cow::Owned(map) = map {
            map.forget("patch_embed.backbone.");
        }
        let map = &**map;
        let (dim, classes) = (architecture.dim, architecture.classes);
        let (patch, tokens) = (architecture.patch_size, architecture.tokens());
        let reader = Reader::new(architecture, map);
        let class = map.weight("cls_token", &[1, 1, dim])?;
        let position = map.weight("pos_embed", &[1, tokens, dim])?;
        let bias = map.weight("patch_embed.proj.bias", &[dim])?.to_vec();
        let (first, rest) = position.split_at(dim);
        let shape = match &architecture.hybrid {
            Some(hybrid) => [dim, hybrid.channels(hybrid.blocks.len()), 1, 1],
            None => [dim, 3, patch, patch],
        };
        let patches = map.weight("patch_embed.proj.weight", &shape)?;
        let glca = architecture.glca().map(|_| -> Result<Glca, TensorError> {
            Ok(Glca {
                block: reader.block("glca")?,
                norm: reader.norm("glca_norm")?,
                head: reader.linear("glca_head", dim, classes)?,
            })
        });
        Ok(Self {
            class: class.iter().zip(first).map(|(class, position)| class + position).collect(),
            positions: rest.to_vec(),
            hybrid,
            patches: Linear { weight: turned(patches, dim), bias },
            blocks,
            norm: reader.norm("norm")?,
            head: reader.linear("head", dim, classes)?,
            glca: glca.transpose()?,
            rga: reader.rga()?,
            rectify: reader.rectify()?,
            tasn: architecture.tasn().map(|_| reader.norm("tasn.norm")).transpose()?,
        })
    }
}

/// Takes weights out of a map.
pub(super) struct Reader<'a> {
    architecture: &'a Architecture,
    map: &'a TensorMap,
    dim: usize,
    hidden: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(architecture: &'a Architecture, map: &'a TensorMap) -> Self {
        Self { architecture, map, dim: architecture.dim, hidden: architecture.hidden() }
    }

    /// RGA's gates, place by place; none without RGA.
    pub(super) fn rga(&self) -> Result<Vec<Gates>, TensorError> {
        let Some(rga) = self.architecture.rga() else { return Ok(Vec::new()) };
        let places = rga.after.iter().enumerate().map(|(place, &after)| {
            let map = self.architecture.map_behind(after);
            self.gates(&format!("rga.{place}"), &rga.gates(), [map.positions(), map.channels])
        });
        places.collect()
    }

    fn norm(&self, name: &str) -> Result<Norm, TensorError> {
        let part = |part: &str| Ok::<_, TensorError>(self.map.weight(&format!("{name}.{part}"), &[self.dim])?.to_vec());
        Ok(Norm { gamma: part("weight")?, beta: part("bias")? })
    }

    pub(super) fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, TensorError> {
        let weight = turned(self.map.weight(&format!("{name}.weight"), &[outputs, inputs])?, outputs);
        Ok(Linear { weight, bias: self.map.weight(&format!("{name}.bias"), &[outputs])?.to_vec() })
    }

    /// Folded gates of maps of `positions` and `channels`.
    fn gates(&self, name: &str, rga: &Rga, [positions, channels]: [usize; 2]) -> Result<Gates, TensorError> {
        let part = |(part, widths): (&str, RelationWidths)| {
            let mut layers = Vec::new();
            for (layer, inputs, outputs) in widths.layers() {
                layers.push(self.linear(&format!("{name}.{part}.{layer}"), inputs, outputs)?);
            }
            let missing = || TensorError::Missing(format!("{name}.{part}"));
            let [theta, phi, unary, relation, w1, w2] = layers.try_into().map_err(|_| missing())?;
            Ok(Part { channels: part == "channel", theta, phi, unary, relation, w1, w2 })
        };
        rga.parts(positions, channels).map(part).collect::<Result<_, _>>().map(Gates)
    }

    /// Attend and Rectify, its gates folded; nothing without it.
    pub(super) fn rectify(&self) -> Result<Option<Rectify>, TensorError> {
        let architecture = self.architecture;
        let Some(rectify) = architecture.rectify() else { return Ok(None) };
        let (heads, classes) = (rectify.heads, architecture.classes);
        let module = |(place, &after): (usize, &usize)| {
            let channels = architecture.map_behind(after).channels;
            let mut layers = Vec::new();
            for (layer, shape) in rectify.layers(channels, classes) {
                layers.push(by_tap(self.map.weight(&format!("rectify.{place}.{layer}"), &shape)?, channels, 9));
            }
            let missing = || TensorError::Missing(format!("rectify.{place}"));
            let [attention, gate, output] = layers.try_into().map_err(|_| missing())?;
            let opinion = |own: &[f32]| Linear { weight: turned(own, classes), bias: vec![0.0; classes] };
            let norm = architecture.resnet.is_none().then(|| self.norm(&format!("rectify.{place}.norm")));
            Ok(Module {
                norm: norm.transpose()?,
                attention: Linear { weight: turned(&attention, 9 * heads), bias: vec![0.0; 9 * heads] },
                gate,
                output: output.chunks_exact(classes * 9 * channels).map(opinion).collect(),
            })
        };
        Ok(Some(Rectify {
            modules: rectify.after.iter().enumerate().map(module).collect::<Result<_, TensorError>>()?,
            gates: self.linear("rectify.mix", self.dim, rectify.votes())?,
            mixing: rectify.mixing,
        }))
    }

    /// Queries apart, keys and values together.
    fn qkv(&self, name: &str) -> Result<[Linear; 2], TensorError> {
        let dim = self.dim;
        let weight = self.map.weight(&format!("{name}.weight"), &[3 * dim, dim])?.split_at(dim * dim);
        let bias = self.map.weight(&format!("{name}.bias"), &[3 * dim])?.split_at(dim);
        let part = |weight, bias: &[f32]| Linear { weight: turned(weight, bias.len()), bias: bias.to_vec() };
        Ok([part(weight.0, bias.0), part(weight.1, bias.1)])
    }

    fn block(&self, name: &str) -> Result<Block, TensorError> {
        let (dim, hidden) = (self.dim, self.hidden);
        let [q, kv] = self.qkv(&format!("{name}.attn.qkv"))?;
        Ok(Block {
            norm1: self.norm(&format!("{name}.norm1"))?,
            q,
            kv,
            proj: self.linear(&format!("{name}.attn.proj"), dim, dim)?,
            norm2: self.norm(&format!("{name}.norm2"))?,
            fc1: self.linear(&format!("{name}.mlp.fc1"), dim, hidden)?,
            fc2: self.linear(&format!("{name}.mlp.fc2"), hidden, dim)?,
        })
    }
}

/// timm's `[out, in]` as `[in, out]`.
fn turned(values: &[f32], outputs: usize) -> Weight {
    let inputs = values.len() / outputs.max(1);
    Weight::new(Matrix::new(values, outputs, inputs, inputs).transposed())
}
