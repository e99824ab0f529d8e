// A linear layer: Y = X W + bias. GELU: Y = gelu(X W + bias). RESIDUAL: Y += X W + bias. F16, INT8: how W is stored; sums
// are in f32.
#import tile
#import weight
#ifdef GELU
#import erf
#endif

struct MatmulUniforms {
    rows: u32,      // M
    inner: u32,     // K
    columns: u32,   // N
}

@group(0) @binding(0) var<uniform> u: MatmulUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [M, K]
@group(0) @binding(2) var<storage, read> weight: array<Four>;       // [K, N / 4], rows padded with zeros
@group(0) @binding(3) var<storage, read> bias: array<f32>;          // [N]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;       // [M, N]
#ifdef INT8
@group(0) @binding(5) var<storage, read> scale: array<f32>;         // [N]
#endif

fn load_x(row: u32, k: u32) -> f32 {
    if row >= u.rows || k >= u.inner {
        return 0.0;
    }
    return x[row * u.inner + k];
}

fn load_w(k: u32, column4: u32) -> vec4<f32> {
    let width4 = (u.columns + 3u) / 4u;
    if k >= u.inner || column4 >= width4 {
        return vec4(0.0);
    }
    return widen(weight[k * width4 + column4]);
}

fn store(row: u32, column4: u32, product: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        let column = 4u * column4 + j;
        if row < u.rows && column < u.columns {
            let at = row * u.columns + column;
#ifdef INT8
            var value = product[j] * scale[column] + bias[column];
#else
            var value = product[j] + bias[column];
#endif
#ifdef GELU
            value = gelu(value);
#endif
#ifdef RESIDUAL
            value += y[at];
#endif
            y[at] = value;
        }
    }
}

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    tile_product(group.xy, local.xy, u.inner);
}
