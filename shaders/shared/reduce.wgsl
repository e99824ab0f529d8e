// Reductions over a workgroup of 64 threads; every thread gets the result and every thread must call. With SUBGROUP the
// threads that run together add up among themselves first, however many they are; then nothing but their sums goes through
// workgroup memory. An entry point takes a Lane as its parameter.
struct Lane {
    @builtin(local_invocation_index) thread: u32,
#ifdef SUBGROUP
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
#endif
}

var<workgroup> partial: array<f32, 64>; // one for each thread, or for each subgroup: of them there are no more than threads

#ifdef SUBGROUP
fn total(lane: Lane, value: f32) -> f32 {
    partial[lane.subgroup] = subgroupAdd(value); // its threads write the same
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < lane.subgroups; i++) {
        sum += partial[i];
    }
    workgroupBarrier();
    return sum;
}

fn highest(lane: Lane, value: f32) -> f32 {
    partial[lane.subgroup] = subgroupMax(value);
    workgroupBarrier();
    var high = partial[0];
    for (var i = 1u; i < lane.subgroups; i++) {
        high = max(high, partial[i]);
    }
    workgroupBarrier();
    return high;
}
#else
fn total(lane: Lane, value: f32) -> f32 {
    let thread = lane.thread;
    partial[thread] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if thread < half {
            partial[thread] += partial[thread + half];
        }
        workgroupBarrier();
    }
    let sum = partial[0];
    workgroupBarrier();
    return sum;
}

fn highest(lane: Lane, value: f32) -> f32 {
    let thread = lane.thread;
    partial[thread] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if thread < half {
            partial[thread] = max(partial[thread], partial[thread + half]);
        }
        workgroupBarrier();
    }
    let high = partial[0];
    workgroupBarrier();
    return high;
}
#endif
