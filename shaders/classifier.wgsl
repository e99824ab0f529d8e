// The logits of one branch from its normed class token: logits = W feature + bias. One thread takes four classes. F16,
// INT8: how W is stored.
#import weight

struct ClassifierUniforms {
    dim: u32,       // D
    classes: u32,   // C
}

@group(0) @binding(0) var<uniform> u: ClassifierUniforms;
@group(0) @binding(1) var<storage, read> feature: array<f32>;           // [D]
@group(0) @binding(2) var<storage, read> weight: array<Four>;           // [D, C / 4], rows padded with zeros
@group(0) @binding(3) var<storage, read> bias: array<f32>;              // [C]
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;      // [C]
#ifdef INT8
@group(0) @binding(5) var<storage, read> scale: array<f32>;             // [C]
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let width4 = (u.classes + 3u) / 4u;
    if id.x >= width4 {
        return;
    }
    var sum = vec4(0.0);
    for (var k = 0u; k < u.dim; k++) {
        sum += feature[k] * widen(weight[k * width4 + id.x]);
    }
    for (var j = 0u; j < 4u; j++) {
        let index = 4u * id.x + j;
        if index < u.classes {
#ifdef INT8
            logits[index] = sum[j] * scale[index] + bias[index];
#else
            logits[index] = sum[j] + bias[index];
#endif
        }
    }
}
