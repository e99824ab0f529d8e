//! What set two classes apart: by its definition, and by what it must add up to.

use finegrain::architecture::Architecture;
use finegrain::compare::reals;
use finegrain::cpu::Cpu;
use finegrain::model::Forward;
use pollster::block_on;

use crate::case::{Case, architectures, block_input, host};

/// Contributions of both signs cancel, so the rounding of f32 weighs more than in a map of attention.
pub(crate) fn near(what: &str, found: &[f32], expected: &[f32]) {
    let difference = reals(found, expected).rel_norm;
    assert!(difference <= 3e-4, "{what}: {difference:.2e}");
}

/// [`finegrain::look::Difference`] as its documentation says it, token by token in f64, from burn's tokens: what the
/// attention of `blocks` (weights' name, tokens it reads, class token's query input) gave along `g`.
fn brute_force(case: &Case, forward: &Forward, [a, b]: [usize; 2], glca: bool) -> Vec<f32> {
    let Architecture { dim, heads, depth, .. } = case.architecture;
    let (tokens, width) = (case.architecture.tokens(), case.architecture.head_dim());
    let [norm, head] = if glca { ["glca_norm", "glca_head"] } else { ["norm", "head"] };
    let last =
        if glca { forward.glca.as_ref().unwrap().tokens.clone() } else { forward.tokens.as_ref().unwrap().last() };
    let class: Vec<f64> = host(last)[..dim].iter().map(|&v| f64::from(v)).collect();
    let (_, deviation) = case.moments(&class);
    let (gamma, weight) = (case.weight(&format!("{norm}.weight")), case.weight(&format!("{head}.weight")));
    let c: Vec<f64> = (0..dim).map(|d| gamma[d] * (weight[a * dim + d] - weight[b * dim + d])).collect();
    let centre = c.iter().sum::<f64>() / dim as f64;
    let g: Vec<f64> = c.iter().map(|c| (c - centre) / deviation).collect();

    let mut names: Vec<String> = (0..depth).map(|layer| format!("blocks.{layer}")).collect();
    if glca {
        names.push("glca".into());
    }
    let mut sum = vec![0.0; tokens];
    for (layer, name) in names.iter().enumerate() {
        let x = block_input(forward, layer);
        let qkv = case.linear(&format!("{name}.attn.qkv"), &case.norm(&format!("{name}.norm1"), &x), dim);
        let projection = case.weight(&format!("{name}.attn.proj.weight"));
        for head in 0..heads {
            let part = |token: usize, part: usize| &qkv[token * 3 * dim + part * dim + head * width..][..width];
            let dot = |key: usize| part(0, 0).iter().zip(part(key, 1)).map(|(q, k)| q * k).sum::<f64>();
            let powers: Vec<f64> = (0..tokens).map(|key| (dot(key) / (width as f64).sqrt()).exp()).collect();
            let total: f64 = powers.iter().sum();
            for token in 0..tokens {
                // The head's value through its part of the projection, along g.
                let through = |out: usize| {
                    let row = &projection[out * dim + head * width..][..width];
                    row.iter().zip(part(token, 2)).map(|(w, v)| w * v).sum::<f64>()
                };
                let along: f64 = (0..dim).map(|out| g[out] * through(out)).sum();
                sum[token] += powers[token] / total * along;
            }
        }
    }
    sum.iter().map(|&v| v as f32).collect()
}

#[test]
fn the_difference_of_two_classes_is_its_definition() {
    for architecture in architectures() {
        let case = Case::new(architecture);
        let (forward, engine) = (case.forward(), case.engine());
        let processor = Cpu::load(&case.architecture, &case.weights).unwrap();
        let seen = processor.see(&case.image).unwrap();
        block_on(engine.classify(&case.image)).unwrap();
        let glca = case.architecture.glca().is_some();
        for classes in [[0, 1], [case.architecture.classes - 1, 0]] {
            let found = [block_on(engine.difference(classes)).unwrap(), seen.difference(&processor, classes).unwrap()];
            let sa = brute_force(&case, &forward, classes, false);
            for (back_end, found) in ["engine", "CPU"].into_iter().zip(&found) {
                let what = format!("{back_end}, {} tokens, {classes:?}", case.architecture.tokens());
                near(&what, &found.sa, &sa);
                if glca {
                    near(&format!("{what}, GLCA"), &found.glca, &brute_force(&case, &forward, classes, true));
                } else {
                    assert!(found.glca.is_empty());
                }
            }
        }
    }
}

/// What attention gave, what MLPs and biases gave and the embedding add up to the difference of the logits: nothing is lost.
#[test]
fn the_difference_adds_up_to_the_logits() {
    let case = Case::new(architectures().remove(2));
    let (forward, dim) = (case.forward(), case.architecture.dim);
    let processor = Cpu::load(&case.architecture, &case.weights).unwrap();
    let seen = processor.see(&case.image).unwrap();
    let [a, b] = [4, 1];
    let map = seen.difference(&processor, [a, b]).unwrap().sa;

    let class =
        |x: &burn::tensor::Tensor<3>| -> Vec<f64> { host(x.clone())[..dim].iter().map(|&v| f64::from(v)).collect() };
    let tokens = forward.tokens.as_ref().unwrap();
    let end = class(&tokens.last());
    let (_, deviation) = case.moments(&end);
    let (gamma, beta) = (case.weight("norm.weight"), case.weight("norm.bias"));
    let (weight, bias) = (case.weight("head.weight"), case.weight("head.bias"));
    let rows = |d: usize| weight[a * dim + d] - weight[b * dim + d];
    let centre = (0..dim).map(|d| gamma[d] * rows(d)).sum::<f64>() / dim as f64;
    let along =
        |x: &[f64]| x.iter().enumerate().map(|(d, x)| x * (gamma[d] * rows(d) - centre) / deviation).sum::<f64>();

    // Everything but attention's sum over tokens: the embedding, each block's projection bias and MLP, the head's bias.
    let mut rest = along(&class(&tokens.embed)) + bias[a] - bias[b];
    rest += (0..dim).map(|d| beta[d] * rows(d)).sum::<f64>();
    for (layer, block) in case.network.backbone.vit().unwrap().blocks.iter().enumerate() {
        let before = if layer == 0 { &tokens.embed } else { &tokens.blocks[layer - 1] };
        let (attended, _) = block.attn.over_itself(block.norm1.forward(before.clone()));
        let [before, attended, after] = [class(before), class(&attended), class(&tokens.blocks[layer])];
        let mlp: Vec<f64> = (0..dim).map(|d| after[d] - before[d] - attended[d]).collect();
        rest += along(&mlp) + along(&case.weight(&format!("blocks.{layer}.attn.proj.bias")));
    }
    let logits = &seen.answer().logits_sa;
    let (found, truth) = (map.iter().map(|&v| f64::from(v)).sum::<f64>() + rest, f64::from(logits[a] - logits[b]));
    assert!((found - truth).abs() < 1e-4 * truth.abs().max(1.0), "{found} {truth}");
    assert!(map.iter().map(|v| v.abs()).sum::<f32>() > 0.1, "attention says something in this network");
}
