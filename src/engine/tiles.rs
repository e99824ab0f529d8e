//! In which tile each matrix product is computed: what was measured on an adapter ([`super::Tuning`]), how that is kept
//! between two loads, and the choice that follows from it for a network.

use std::fmt;

use super::AdapterFacts;
use super::gpu::one_line;
use super::kernels::{self, MatmulUniforms};
use super::recording::{Command, Kernel, Recording};

/// Beside the tile that suits a kernel's products best together, another one is worth its pipeline for a product if it saves
/// this share of the time of all products.
const WORTH: f64 = 0.01;

/// A matrix product `[rows, inner] [inner, columns]`, or a convolution that is one.
#[derive(Debug, Clone)]
pub(super) struct Product {
    /// In every tile, first the default one.
    pub(super) tiles: &'static [&'static Kernel],
    pub(super) rows: u32,
    pub(super) inner: u32,
    pub(super) columns: u32,
}

impl Product {
    /// The product that a dispatch is, whatever its tile.
    pub(super) fn of(kernel: &Kernel, uniforms: &[u8]) -> Option<Self> {
        let tiles = kernels::tiles(kernel);
        if tiles.is_empty() {
            return None;
        }
        // A convolution's begin alike.
        let MatmulUniforms { rows, inner, columns } =
            bytemuck::try_pod_read_unaligned(uniforms.get(..size_of::<MatmulUniforms>())?).ok()?;
        Some(Self { tiles, rows, inner, columns })
    }

    /// As recordings name it.
    fn name(&self) -> &'static str {
        self.tiles.first().map_or("", |first| first.shader.name)
    }

    /// Multiply-adds.
    pub(super) fn work(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.inner) * u64::from(self.columns)
    }
}

impl PartialEq for Product {
    fn eq(&self, other: &Self) -> bool {
        let size = |product: &Self| [product.rows, product.inner, product.columns];
        self.name() == other.name() && size(self) == size(other)
    }
}

/// "matmul_gelu 197 x 192 x 768", also in what is kept.
impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, inner, columns, .. } = self;
        write!(f, "{} {rows} x {inner} x {columns}", self.name())
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

/// The last line of what is kept: without it, the rest is missing.
const END: &str = "end";

/// Nanoseconds of a product in each tile, by the name of the specialisation.
pub(super) type TileTimes = Vec<(String, u64)>;

/// Those of several products. Lists, because they are short and the page's module carries no code for maps of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Times(Vec<(String, TileTimes)>);

/// Times hold for an adapter, its driver, and the shaders that were timed.
fn place(AdapterFacts { name, vendor, backend, driver, .. }: &AdapterFacts) -> String {
    let (version, shaders) = (env!("CARGO_PKG_VERSION"), kernels::DIGEST);
    one_line(&format!("{name}, {vendor}, {backend}, {driver}, finegrain {version}, shaders {shaders}"))
}

impl Times {
    /// What [`Times::keep`] wrote on such an adapter; nothing where the text is damaged or another one's.
    pub(super) fn read(text: &str, adapter: &AdapterFacts) -> Self {
        Self::parse(text, adapter).unwrap_or_default()
    }

    fn parse(text: &str, adapter: &AdapterFacts) -> Option<Self> {
        let body = text.strip_prefix(&place(adapter))?.strip_prefix('\n')?.strip_suffix(END)?;
        let time = |text: &str| {
            let (tile, ns) = text.split_once(' ')?;
            Some((tile.to_owned(), ns.parse().ok()?))
        };
        let product = |line: &str| {
            let (product, times) = line.split_once(": ")?;
            Some((product.to_owned(), times.split(", ").map(time).collect::<Option<_>>()?))
        };
        body.lines().map(product).collect::<Option<_>>().map(Self)
    }

    /// As a text for the next load, a line for each product; none where nothing was measured.
    pub(super) fn keep(&self, adapter: &AdapterFacts) -> Option<String> {
        let mut text = place(adapter);
        for (product, times) in &self.0 {
            text = text + "\n" + product;
            for (index, (tile, ns)) in times.iter().enumerate() {
                text += if index == 0 { ": " } else { ", " };
                text += &format!("{tile} {ns}");
            }
        }
        (!self.0.is_empty()).then(|| text + "\n" + END)
    }

    /// Of one product, in every tile that this device runs.
    pub(super) fn of(&self, product: &Product) -> Option<&TileTimes> {
        let name = product.to_string();
        self.0.iter().find(|(other, _)| *other == name).map(|(_, times)| times)
    }

    /// In one tile.
    fn in_tile(&self, product: &Product, tile: &Kernel) -> Option<u64> {
        self.of(product)?.iter().find(|(name, _)| name == tile.shader.name).map(|(_, ns)| *ns)
    }

    pub(super) fn add(&mut self, product: &Product, times: TileTimes) {
        self.0.push((product.to_string(), times));
    }
}

/// The specialisations that take the place of those that recordings name.
#[derive(Default)]
pub(super) struct Choice {
    tiles: Vec<(Product, &'static Kernel)>,
    subgroups: bool,
}

impl Choice {
    /// From what was measured; a product that was not keeps the default tile. `subgroups`: whether reductions use them.
    pub(super) fn new(recording: &Recording, times: &Times, subgroups: bool) -> Self {
        let products = products(recording);
        let of = |product: &Product, tile: &Kernel| match times.of(product) {
            // A tile that is not in the list is one that the device does not run.
            Some(_) => times.in_tile(product, tile).map_or(f64::INFINITY, |ns| ns as f64),
            None => 0.0,
        };
        let fastest = |(product, count): &(Product, usize)| {
            let times = times.of(product).into_iter().flatten().map(|(_, ns)| *ns);
            *count as f64 * times.min().map_or(0.0, |ns| ns as f64)
        };
        let worth = WORTH * products.iter().map(fastest).sum::<f64>();
        let mut tiles = Vec::new();
        for (product, count) in &products {
            // The first of equals: the default, where nothing was measured.
            let least = |time: &dyn Fn(&'static Kernel) -> f64| {
                product.tiles.iter().copied().min_by(|a, b| time(a).total_cmp(&time(b)))
            };
            let together = |tile: &'static Kernel| {
                let own = products.iter().filter(|(other, _)| other.name() == product.name());
                own.map(|(product, count)| *count as f64 * of(product, tile)).sum()
            };
            let (Some(common), Some(own)) = (least(&together), least(&|tile| of(product, tile))) else { continue };
            let saved = *count as f64 * (of(product, common) - of(product, own));
            let measured = times.of(product).is_some();
            let tile = if !measured || saved > worth { own } else { common };
            tiles.push((product.clone(), tile));
        }
        Self { tiles, subgroups }
    }

    /// Exchanges the kernels of a recording.
    pub(super) fn apply(&self, recording: &mut Recording) {
        recording.exchange(|kernel, uniforms| {
            let tile = Product::of(kernel, uniforms).and_then(|product| self.tile(&product));
            tile.or_else(|| if self.subgroups { kernels::with_subgroups(kernel) } else { None }).unwrap_or(kernel)
        });
    }

    /// The tile of a product, if it is one of the recording that this was made for.
    pub(super) fn tile(&self, product: &Product) -> Option<&'static Kernel> {
        self.tiles.iter().find(|(other, _)| other == product).map(|(_, tile)| *tile)
    }
}

/// A matrix product of a network, and the tile in which it is computed.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
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
    /// On matrix units.
    pub matrix_units: bool,
    /// What each tile takes, where that was measured.
    pub measured: Vec<TileTime>,
}

/// What a tile takes for a product.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TileTime {
    /// Rows and columns.
    pub tile: [u32; 2],
    /// On matrix units.
    pub matrix_units: bool,
    /// One dispatch.
    pub ms: f64,
}

/// The products of a recording before [`Choice::apply`].
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn report(recording: &Recording, choice: &Choice, times: &Times) -> Vec<TileChoice> {
    let on_units = |kernel: &Kernel| kernel.shader.matrix_units > 0;
    let one = |(product, dispatches): (Product, usize)| {
        let Product { tiles, rows, inner, columns } = product;
        let chosen = choice.tile(&product).or(tiles.first().copied())?;
        let time = |tile: &&'static Kernel| {
            let ns = times.in_tile(&product, tile)?;
            Some(TileTime { tile: tile.shader.tile, matrix_units: on_units(tile), ms: ns as f64 * 1e-6 })
        };
        let measured = tiles.iter().filter_map(time).collect();
        Some(TileChoice {
            kernel: product.name(),
            rows,
            inner,
            columns,
            dispatches,
            tile: chosen.shader.tile,
            matrix_units: on_units(chosen),
            measured,
        })
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

    fn product(kernel: &'static Kernel, rows: u32) -> Product {
        Product { tiles: kernels::tiles(kernel), rows, inner: 64, columns: 96 }
    }

    /// Each product so many times.
    fn recording(products: &[(&Product, usize)]) -> Recording {
        let mut recording = Recording::default();
        for (product, count) in products {
            let Product { tiles, rows, inner, columns } = **product;
            for _ in 0..*count {
                recording.dispatch("", tiles[0], MatmulUniforms { rows, inner, columns }, &[BufferId(0)]);
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
            let names = product.tiles.iter().map(|tile| tile.shader.name.to_owned());
            found.add(product, names.zip(*ns).collect());
        }
        found
    }

    fn chosen(recording: &Recording, times: &Times, product: &Product) -> &'static str {
        Choice::new(recording, times, false).tile(product).map_or("", |tile| tile.shader.name)
    }

    #[test]
    fn the_fastest_tile_is_chosen_and_what_was_not_measured_keeps_the_default() {
        let (qkv, kv, fc1) =
            (product(&kernels::MATMUL, 197), product(&kernels::MATMUL, 50), product(&kernels::MATMUL_GELU, 197));
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
    fn reductions_use_subgroups_where_they_should() {
        for (subgroups, expected) in [(false, ["layer_norm", "matmul"]), (true, ["layer_norm_subgroup", "matmul"])] {
            let mut found = Recording::default();
            let uniforms = kernels::LayerNormUniforms { rows: 1, dim: 1, eps: 0.0 };
            found.dispatch("", &kernels::LAYER_NORM, uniforms, &[]);
            let uniforms = MatmulUniforms { rows: 1, inner: 1, columns: 1 };
            found.dispatch("", &kernels::MATMUL, uniforms, &[]);
            Choice::new(&found, &Times::default(), subgroups).apply(&mut found);
            assert_eq!(names(&found), expected);
        }
    }

    #[test]
    fn a_pipeline_must_be_worth_it() {
        let (often, rare) = (product(&kernels::MATMUL, 197), product(&kernels::MATMUL, 20));
        let tell = |small: u64| {
            let recording = recording(&[(&often, 12), (&rare, 1)]);
            chosen(&recording, &times(&[(&often, [100, 200, 200]), (&rare, [50, small, 50])]), &rare)
        };
        assert_eq!(tell(45), "matmul", "5 of 1245 saved");
        assert_eq!(tell(30), "matmul_small", "20 of 1230 saved");
    }

    #[test]
    fn a_tile_that_the_device_does_not_run_is_not_chosen() {
        let fc1 = product(&kernels::MATMUL_GELU, 197);
        let mut times = Times::default();
        times.add(&fc1, vec![("matmul_gelu_small".to_owned(), 5)]);
        assert_eq!(chosen(&recording(&[(&fc1, 1)]), &times, &fc1), "matmul_gelu_small");
    }

    #[test]
    fn what_is_kept_is_read_again_on_the_same_adapter_only() {
        let times = times(&[(&product(&kernels::MATMUL, 197), [2000, 125, 3])]);
        let text = times.keep(&facts("a")).unwrap_or_default();
        assert_eq!(Times::read(&text, &facts("a")), times);
        let other = AdapterFacts { driver: "driver 2".into(), ..facts("a") };
        for foreign in [facts("b"), other] {
            assert_eq!(Times::read(&text, &foreign), Times::default());
        }
        let changed =
            [text.replace(" 125,", " -125,"), text.replace(": ", " "), text.replace(" 3", ""), text.clone() + "\n"];
        let cut = (0..text.len()).filter_map(|length| text.get(..length)).map(str::to_owned);
        for damaged in cut.chain(changed) {
            assert_ne!(damaged, text);
            assert_eq!(Times::read(&damaged, &facts("a")), Times::default(), "{damaged}");
        }
        assert_eq!(Times::default().keep(&facts("a")), None);
    }
}
