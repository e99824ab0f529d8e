//! In which tile each matrix product is computed: what was measured on an adapter ([`super::Tuning`]), how that is kept
//! between two loads, and the choice that follows from it for a network.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::AdapterFacts;
use super::kernels::{self, MatmulUniforms};
use super::recording::{Command, Kernel, Recording};

/// Beside the tile that suits a kernel's products best together, another one is worth its pipeline for a product if it saves
/// this share of the time of all products.
const WORTH: f64 = 0.01;

/// A matrix product `[rows, inner] [inner, columns]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Product {
    /// As recordings name it: with the default tile.
    pub(super) kernel: &'static str,
    pub(super) rows: u32,
    pub(super) inner: u32,
    pub(super) columns: u32,
}

impl Product {
    /// The product that a dispatch is, whatever its tile.
    pub(super) fn of(kernel: &Kernel, uniforms: &[u8]) -> Option<Self> {
        let first = kernels::tiles(kernel).first()?;
        let MatmulUniforms { rows, inner, columns } = bytemuck::try_pod_read_unaligned(uniforms).ok()?;
        Some(Self { kernel: first.shader.name, rows, inner, columns })
    }

    /// Multiply-adds.
    pub(super) fn work(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.inner) * u64::from(self.columns)
    }
}

/// "matmul_gelu 197 x 192 x 768", also in what is kept.
impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, rows, inner, columns } = self;
        write!(f, "{kernel} {rows} x {inner} x {columns}")
    }
}

/// Each product of a recording once, with the number of its dispatches, in order of first use.
pub(super) fn products(recording: &Recording) -> Vec<(Product, usize)> {
    let mut found: Vec<(Product, usize)> = Vec::new();
    for command in recording.commands() {
        let Command::Dispatch { kernel, uniforms, .. } = command else { continue };
        let Some(product) = Product::of(kernel, uniforms) else { continue };
        match found.iter_mut().find(|(other, _)| *other == product) {
            Some((_, count)) => *count += 1,
            None => found.push((product, 1)),
        }
    }
    found
}

/// Nanoseconds of each product in each tile, by names: whole ones, so that a text that is read and written again is the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Times(BTreeMap<String, BTreeMap<String, u64>>);

/// What is kept of them.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Where they hold.
    adapter: String,
    nanoseconds: Times,
}

/// Times hold for an adapter, its driver, and the shaders that were timed.
fn place(AdapterFacts { name, vendor, backend, driver, .. }: &AdapterFacts) -> String {
    let (version, shaders) = (env!("CARGO_PKG_VERSION"), kernels::DIGEST);
    format!("{name}, {vendor}, {backend}, {driver}, finegrain {version}, shaders {shaders}")
}

impl Times {
    /// What [`Times::keep`] wrote on such an adapter; nothing where the text is damaged or another one's.
    pub(super) fn read(text: &str, adapter: &AdapterFacts) -> Self {
        match serde_json::from_str(text) {
            Ok(Kept { adapter: found, nanoseconds }) if found == place(adapter) => nanoseconds,
            _ => Self::default(),
        }
    }

    /// As a text for the next load; none where nothing was measured.
    pub(super) fn keep(&self, adapter: &AdapterFacts) -> Option<String> {
        let kept = Kept { adapter: place(adapter), nanoseconds: self.clone() };
        if self.0.is_empty() { None } else { serde_json::to_string(&kept).ok() }
    }

    /// Of one product, by the name of the specialisation; of every tile that this device runs.
    pub(super) fn of(&self, product: &Product) -> Option<&BTreeMap<String, u64>> {
        self.0.get(&product.to_string())
    }

    pub(super) fn add(&mut self, product: &Product, times: BTreeMap<String, u64>) {
        self.0.insert(product.to_string(), times);
    }
}

/// The specialisations that take the place of those that recordings name.
#[derive(Default)]
pub(super) struct Choice {
    tiles: BTreeMap<Product, &'static Kernel>,
    subgroups: bool,
}

impl Choice {
    /// From what was measured; a product that was not keeps the default tile. `subgroups`: whether reductions use them.
    pub(super) fn new(recording: &Recording, times: &Times, subgroups: bool) -> Self {
        let products = products(recording);
        let of = |product: &Product, tile: &Kernel| {
            times.of(product).map_or(0.0, |times| times.get(tile.shader.name).map_or(f64::INFINITY, |ns| *ns as f64))
        };
        let fastest = |(product, count): &(Product, usize)| {
            let times = times.of(product).into_iter().flat_map(BTreeMap::values);
            *count as f64 * times.min().map_or(0.0, |ns| *ns as f64)
        };
        let worth = WORTH * products.iter().map(fastest).sum::<f64>();
        let mut tiles = BTreeMap::new();
        for (product, count) in &products {
            let known = kernels::named(product.kernel).map(kernels::tiles).unwrap_or_default();
            // The first of equals: the default, where nothing was measured.
            let least = |time: &dyn Fn(&'static Kernel) -> f64| {
                known.iter().copied().min_by(|a, b| time(a).total_cmp(&time(b)))
            };
            let together = |tile: &'static Kernel| {
                let own = products.iter().filter(|(other, _)| other.kernel == product.kernel);
                own.map(|(product, count)| *count as f64 * of(product, tile)).sum()
            };
            let (Some(common), Some(own)) = (least(&together), least(&|tile| of(product, tile))) else { continue };
            let saved = *count as f64 * (of(product, common) - of(product, own));
            let measured = times.of(product).is_some();
            let tile = if !measured || saved > worth { own } else { common };
            tiles.insert(product.clone(), tile);
        }
        Self { tiles, subgroups }
    }

    /// Exchanges the kernels of a recording.
    pub(super) fn apply(&self, recording: &mut Recording) {
        recording.exchange(|kernel, uniforms| {
            let tile = Product::of(kernel, uniforms).and_then(|product| self.tiles.get(&product).copied());
            tile.or_else(|| if self.subgroups { kernels::with_subgroups(kernel) } else { None }).unwrap_or(kernel)
        });
    }

    /// The tile of a product, if it is one of the recording that this was made for.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn tile(&self, product: &Product) -> Option<&'static Kernel> {
        self.tiles.get(product).copied()
    }
}

/// A matrix product of a network, and the tile in which it is computed.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TileChoice {
    /// As recordings name it.
    pub kernel: &'static str,
    /// M
    pub rows: u32,
    /// K
    pub inner: u32,
    /// N
    pub columns: u32,
    /// How often it is computed in a photo.
    pub dispatches: usize,
    /// Rows and columns of the tile.
    pub tile: [u32; 2],
    /// What each tile takes, where that was measured.
    pub measured: Vec<TileTime>,
}

/// What a tile takes for a product.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TileTime {
    /// Rows and columns.
    pub tile: [u32; 2],
    /// One dispatch.
    pub ms: f64,
}

/// The products of a recording before [`Choice::apply`].
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn report(recording: &Recording, choice: &Choice, times: &Times) -> Vec<TileChoice> {
    let one = |(product, dispatches): (Product, usize)| {
        let Product { kernel, rows, inner, columns } = product;
        let tiles = kernels::named(kernel).map(kernels::tiles).unwrap_or_default();
        let chosen = choice.tile(&product).or(tiles.first().copied())?;
        let time = |tile: &&'static Kernel| {
            let ns = times.of(&product)?.get(tile.shader.name)?;
            Some(TileTime { tile: tile.shader.tile, ms: *ns as f64 * 1e-6 })
        };
        let measured = tiles.iter().filter_map(time).collect();
        Some(TileChoice { kernel, rows, inner, columns, dispatches, tile: chosen.shader.tile, measured })
    };
    products(recording).into_iter().filter_map(one).collect()
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::engine::recording::BufferId;

    fn facts(name: &str) -> AdapterFacts {
        let [vendor, backend, driver] = ["0x1234", "vulkan", "driver 1"].map(str::to_owned);
        AdapterFacts { name: name.to_owned(), vendor, backend, driver, software: false }
    }

    fn product(kernel: &'static str, rows: u32) -> Product {
        Product { kernel, rows, inner: 64, columns: 96 }
    }

    /// Each product so many times.
    fn recording(products: &[(&Product, usize)]) -> Recording {
        let mut recording = Recording::default();
        for (product, count) in products {
            let Product { kernel, rows, inner, columns } = **product;
            for _ in 0..*count {
                let kernel = kernels::named(kernel).unwrap_or(&kernels::SELECT);
                recording.dispatch("", kernel, MatmulUniforms { rows, inner, columns }, &[BufferId(0)]);
            }
        }
        recording
    }

    fn names(recording: &Recording) -> Vec<&'static str> {
        recording.kernels().iter().map(|kernel| kernel.shader.name).collect()
    }

    /// In the default tile, the small and the large one.
    fn times(all: &[(&Product, [u64; 3])]) -> Times {
        let mut found = Times::default();
        for (product, ns) in all {
            let tiles = kernels::named(product.kernel).map(kernels::tiles).unwrap_or_default();
            let names = tiles.iter().map(|tile| tile.shader.name.to_owned());
            found.add(product, names.zip(*ns).collect());
        }
        found
    }

    fn chosen(recording: &Recording, times: &Times, product: &Product) -> &'static str {
        Choice::new(recording, times, false).tile(product).map_or("", |tile| tile.shader.name)
    }

    #[test]
    fn the_fastest_tile_is_chosen_and_what_was_not_measured_keeps_the_default() {
        let (qkv, kv, fc1) = (product("matmul", 197), product("matmul", 50), product("matmul_gelu", 197));
        let mut recording = recording(&[(&qkv, 12), (&kv, 1), (&fc1, 12)]);
        let times = times(&[(&qkv, [20, 10, 30]), (&fc1, [20, 25, 15])]);
        assert_eq!(chosen(&recording, &times, &qkv), "matmul_small");
        assert_eq!(chosen(&recording, &times, &kv), "matmul");
        assert_eq!(chosen(&recording, &times, &fc1), "matmul_gelu_large");
        Choice::new(&recording, &times, false).apply(&mut recording);
        assert_eq!(names(&recording), ["matmul_small", "matmul", "matmul_gelu_large"]);
        // Once more, from what they are now.
        Choice::new(&recording, &Times::default(), false).apply(&mut recording);
        assert_eq!(names(&recording), ["matmul", "matmul_gelu"]);
    }

    #[test]
    fn a_pipeline_must_be_worth_it() {
        let (often, rare) = (product("matmul", 197), product("matmul", 20));
        let tell = |small: u64| {
            let recording = recording(&[(&often, 12), (&rare, 1)]);
            chosen(&recording, &times(&[(&often, [100, 200, 200]), (&rare, [50, small, 50])]), &rare)
        };
        assert_eq!(tell(45), "matmul", "5 of 1245 saved");
        assert_eq!(tell(30), "matmul_small", "20 of 1230 saved");
    }

    #[test]
    fn a_tile_that_the_device_does_not_run_is_not_chosen() {
        let fc1 = product("matmul_gelu", 197);
        let mut times = Times::default();
        times.add(&fc1, [("matmul_gelu_small".to_owned(), 5)].into());
        assert_eq!(chosen(&recording(&[(&fc1, 1)]), &times, &fc1), "matmul_gelu_small");
    }

    #[test]
    fn what_is_kept_is_read_again_on_the_same_adapter_only() {
        let times = times(&[(&product("matmul", 197), [2000, 125, 3])]);
        let text = times.keep(&facts("a")).unwrap_or_default();
        assert_eq!(Times::read(&text, &facts("a")), times);
        let other = AdapterFacts { driver: "driver 2".into(), ..facts("a") };
        for foreign in [facts("b"), other] {
            assert_eq!(Times::read(&text, &foreign), Times::default());
        }
        for damaged in
            ["", "{}", "[1]", &text[..text.len() / 2], &text.replace("125", "-125"), &text.replace("125", "1.5")]
        {
            assert_ne!(damaged, text);
            assert_eq!(Times::read(damaged, &facts("a")), Times::default(), "{damaged}");
        }
        assert_eq!(Times::default().keep(&facts("a")), None);
    }
}
