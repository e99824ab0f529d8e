//! The tensors that a network consists of: timm's names, PyTorch's layouts.

use super::{Architecture, Convolution, ResNet};

/// Name and shape of one weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightSpec {
    /// timm's name, such as `blocks.0.attn.qkv.weight`.
    pub name: String,
    /// Its shape; linear weights are `[out, in]`.
    pub shape: Vec<usize>,
}

impl Architecture {
    /// Every weight that inference needs, in the order of the forward pass. `loss_log_var` and TASN's classifiers of attention
    /// net and part net are training's alone ([`Architecture::training_only`]).
    ///
    /// The caller has checked the architecture ([`Architecture::check`], [`Architecture::parameters`]).
    pub fn weights(&self) -> Vec<WeightSpec> {
        let d = self.dim;
        let mut list = List(Vec::new());
        match &self.resnet {
            Some(resnet) => list.resnet(resnet),
            None => {
                list.add("cls_token", [1, 1, d]);
                list.add("pos_embed", [1, self.tokens(), d]);
                list.patch_embedding(self);
                for i in 0..self.depth {
                    list.block(&format!("blocks.{i}"), d, self.hidden());
                }
                list.norm("norm", d);
            }
        }
        list.affine("head", [self.classes, d]);
        if self.glca().is_some() {
            list.block("glca", d, self.hidden());
            list.norm("glca_norm", d);
            list.affine("glca_head", [self.classes, d]);
        }
        if let Some(rga) = self.rga() {
            for (place, &after) in rga.after.iter().enumerate() {
                let map = self.map_behind(after);
                for (part, widths) in rga.gates().parts(map.positions(), map.channels) {
                    for (layer, inputs, outputs) in widths.layers() {
                        list.embedding(&format!("rga.{place}.{part}.{layer}"), inputs, outputs);
                    }
                }
            }
        }
        if let Some(rectify) = self.rectify() {
            for (place, &after) in rectify.after.iter().enumerate() {
                // A residual network's maps come from norms already.
                if self.resnet.is_none() {
                    list.norm(&format!("rectify.{place}.norm"), d);
                }
                for (layer, shape) in rectify.layers(self.map_behind(after).channels, self.classes) {
                    list.add(&format!("rectify.{place}.{layer}"), shape);
                }
            }
            list.add("rectify.gates.weight", [rectify.votes(), d]);
            list.batch_norm("rectify.gates.bn", rectify.votes());
        }
        if self.tasn().is_some() && self.resnet.is_none() {
            list.norm("tasn.norm", d);
        }
        list.0
    }

    /// Whether the weight `name` is training's alone: a bundle has none.
    pub fn training_only(name: &str) -> bool {
        name == "loss_log_var" || name.starts_with("tasn.attention_head.") || name.starts_with("tasn.part_head.")
    }

    /// How many numbers [`Architecture::weights`] holds, or `None` where that exceeds 64 bits: to be asked before
    /// anything is allocated for an architecture from a foreign file.
    pub fn parameters(&self) -> Option<u64> {
        let product = |factors: &[usize]| {
            factors.iter().try_fold(1u64, |product, &factor| product.checked_mul(u64::try_from(factor).ok()?))
        };
        let sum = |terms: &[Option<u64>]| terms.iter().try_fold(0u64, |sum, term| sum.checked_add((*term)?));
        if self.resnet.is_some() {
            // Its numbers are small ones (`ResNet::check`), so that the list itself is.
            let sizes: Vec<_> = self.weights().iter().map(|weight| product(&weight.shape)).collect();
            return sum(&sizes);
        }
        let (d, [rows, columns]) = (self.dim, self.grid());
        let hidden = product(&[d, self.mlp_ratio])?;
        // qkv, proj, fc1, fc2 with their biases, and two norms.
        let block = sum(&[product(&[4, d, d]), product(&[9, d]), product(&[2, d])?.checked_mul(hidden), Some(hidden)])?;
        let end = sum(&[product(&[2, d]), product(&[self.classes, d]), product(&[self.classes])])?;
        let branches = 1 + u64::from(self.glca().is_some());
        let blocks = u64::try_from(self.depth).ok()? + branches - 1;
        let gates = self.rga().map_or(Some(0), |rga| {
            let parts = rga.gates().parts(self.patches(), d);
            // A weight and four numbers of the norm for each output.
            let layers = parts.flat_map(|(_, widths)| widths.layers());
            let sizes: Vec<_> =
                layers.map(|(_, inputs, outputs)| product(&[inputs.checked_add(4)?, outputs])).collect();
            sum(&sizes)?.checked_mul(u64::try_from(rga.after.len()).ok()?)
        });
        let modules = self.rectify().map_or(Some(0), |rectify| {
            let layers = rectify.layers(d, self.classes).map(|(_, shape)| product(&shape));
            // Beside them a norm; for each vote a row of the gates' weight and four numbers of their norm.
            let module = sum(&[sum(&layers), product(&[2, d])])?;
            let places = u64::try_from(rectify.after.len()).ok()?;
            sum(&[module.checked_mul(places), product(&[rectify.votes(), d.checked_add(4)?])])
        });
        // Few tensors: a hybrid's numbers are small ones (`Hybrid::check`).
        let mut patches = List(Vec::new());
        patches.patch_embedding(self);
        let sizes: Vec<_> = patches.0.iter().map(|weight| product(&weight.shape)).collect();
        sum(&[
            // Class token and its position, the patches' positions, patch embedding.
            product(&[2, d]),
            product(&[rows, columns, d]),
            sum(&sizes),
            block.checked_mul(blocks),
            end.checked_mul(branches),
            gates,
            modules,
            self.tasn().map_or(Some(0), |_| product(&[2, d])),
        ])
    }
}

struct List(Vec<WeightSpec>);

impl List {
    fn add(&mut self, name: &str, shape: impl Into<Vec<usize>>) {
        self.0.push(WeightSpec { name: name.to_owned(), shape: shape.into() });
    }

    /// A weight whose first axis is its output, and its bias.
    fn affine<const N: usize>(&mut self, name: &str, shape: [usize; N]) {
        self.add(&format!("{name}.weight"), shape);
        self.add(&format!("{name}.bias"), [shape[0]]);
    }

    fn norm(&mut self, name: &str, d: usize) {
        self.affine(name, [d]);
    }

    /// A layer without bias and its batch norm, as the model has them.
    fn embedding(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.add(&format!("{name}.conv"), [outputs, inputs]);
        self.batch_norm(&format!("{name}.bn"), outputs);
    }

    fn batch_norm(&mut self, name: &str, outputs: usize) {
        for part in ["weight", "bias", "running_mean", "running_var"] {
            self.add(&format!("{name}.{part}"), [outputs]);
        }
    }

    /// Everything before the classifier.
    fn resnet(&mut self, resnet: &ResNet) {
        self.convolution(&resnet.first());
        for block in (0..resnet.blocks.len()).flat_map(|stage| resnet.stage(stage)) {
            if let (Some(norm), Some(first)) = (&block.before, block.convolutions.first()) {
                self.batch_norm(norm, first.inputs);
            }
            for convolution in block.convolutions.iter().chain(&block.shortcut) {
                self.convolution(convolution);
            }
        }
        if let Some(norm) = resnet.last_norm() {
            self.batch_norm(norm, resnet.channels(resnet.blocks.len()));
        }
    }

    /// From pixels to tokens: patches of pixels, or a hybrid's convolutions and patches of one position.
    fn patch_embedding(&mut self, architecture: &Architecture) {
        let (d, p) = (architecture.dim, architecture.patch_size);
        let Some(hybrid) = &architecture.hybrid else {
            self.affine("patch_embed.proj", [d, 3, p, p]);
            return;
        };
        for Convolution { name, norm, inputs, outputs, side, .. } in hybrid.convolutions() {
            self.add(&format!("{name}.weight"), [outputs, inputs, side, side]);
            if let Some(norm) = norm {
                self.norm(&norm, outputs);
            }
        }
        self.affine("patch_embed.proj", [d, hybrid.channels(hybrid.blocks.len()), 1, 1]);
    }

    fn convolution(&mut self, layer: &Convolution) {
        let Convolution { name, norm, inputs, outputs, side, .. } = layer;
        self.add(&format!("{name}.weight"), [*outputs, *inputs, *side, *side]);
        if let Some(norm) = norm {
            self.batch_norm(norm, *outputs);
        }
    }

    fn block(&mut self, name: &str, d: usize, hidden: usize) {
        self.norm(&format!("{name}.norm1"), d);
        self.affine(&format!("{name}.attn.qkv"), [3 * d, d]);
        self.affine(&format!("{name}.attn.proj"), [d, d]);
        self.norm(&format!("{name}.norm2"), d);
        self.affine(&format!("{name}.mlp.fc1"), [hidden, d]);
        self.affine(&format!("{name}.mlp.fc2"), [d, hidden]);
    }
}
