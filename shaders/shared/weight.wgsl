// Four neighbouring outputs of a linear layer's weight, as they lie in memory: f32, with F16 packed halves, with INT8 bytes
// whose scale (one for each output) the importing kernel multiplies into its sums.
#ifdef F16
alias Four = vec2<u32>;
fn widen(four: Four) -> vec4<f32> {
    return vec4(unpack2x16float(four.x), unpack2x16float(four.y));
}
#else
#ifdef INT8
alias Four = u32;
fn widen(four: Four) -> vec4<f32> {
    return vec4<f32>(unpack4xI8(four));
}
#else
alias Four = vec4<f32>;
fn widen(four: Four) -> vec4<f32> {
    return four;
}
#endif
#endif
