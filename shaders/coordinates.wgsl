// Where the rows and columns of the resampled photo lie (TASN, section 3.2): the positions at which the cumulative sums
// reach even steps, interpolated linearly, in -1..1 between the centres of the first and the last pixel. One thread a
// coordinate.

struct CoordinatesUniforms {
    height: u32,    // H
    width: u32,     // W
    rows: u32,      // h, of the resampled photo
    columns: u32,   // w
}

@group(0) @binding(0) var<uniform> u: CoordinatesUniforms;
@group(0) @binding(1) var<storage, read> density: array<f32>;       // [H + W], rows first
@group(0) @binding(2) var<storage, read> excess: array<f32>;        // [H + W], c[i] - i, c the cumulative sum of the density
@group(0) @binding(3) var<storage, read_write> y: array<f32>;       // [h + w], vertical first

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.rows + u.columns {
        return;
    }
    let vertical = id.x < u.rows;
    let start = select(u.height, 0u, vertical);
    let size = select(u.width, u.height, vertical);
    let count = select(u.columns, u.rows, vertical);
    let index = select(id.x - u.rows, id.x, vertical);
    if excess[start + size - 1u] + f32(size - 1u) < 0.01 {
        // Nothing lies beyond the first row or column, by which the rest could be placed: evenly.
        y[id.x] = 2.0 * f32(index) / f32(count) - 1.0;
        return;
    }
    // The goal is c[size - 1] index / count = whole + rest: numbers as large as the photo stay whole numbers.
    let whole = i32((size - 1u) * index / count);
    let rest = (f32((size - 1u) * index % count) + excess[start + size - 1u] * f32(index)) / f32(count);
    // The last place before the goal, or the first of all.
    var place = 0u;
    var beyond = size - 1u;
    while beyond - place > 1u {
        let middle = (place + beyond) / 2u;
        if f32(i32(middle) - whole) + excess[start + middle] < rest {
            place = middle;
        } else {
            beyond = middle;
        }
    }
    let further = f32(whole - i32(place)) + (rest - excess[start + place]);
    let share = clamp(further / max(density[start + place + 1u], 1e-30), 0.0, 1.0);
    let last = f32(size - 1u);
    // Steps that all keep an order: no coordinate is below the one before it by rounding.
    y[id.x] = (2.0 * (f32(place) + share) - last) / last;
}
