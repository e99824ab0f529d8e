//! `finegrain ablate`: `{"rows": [{"mechanism", "runs", "answer", "sa", "glca"}], "finished", "total"}`.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::output::Output;
use super::{Outcome, interrupt};
use crate::ablate::{Ablation, Variant, ablate};
use crate::say::say;
use crate::train::{DeviceChoice, TrainOptions};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The recipe: a TOML file, or the name of one that comes with the program
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
    /// Folder of the data set, in its official layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the runs and the table; called again, it goes on where it stopped
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seeds, one run of each variant for each
    #[arg(long, value_name = "N,N,..", value_delimiter = ',', default_values_t = [1, 2, 3])]
    seeds: Vec<u64>,
    /// What to compare, such as --variant 'rga={ name = "rga", ratio = 8, spatial = true, channel = true, after = [4, 8] }';
    /// may be repeated; without it, the recipe without and with each branch of DCAL
    #[arg(long = "variant", value_name = "NAME=MECHANISM")]
    variants: Vec<Variant>,
    /// Where to compute; auto takes a GPU that this build supports, else the CPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Pretrained weights; overrides train.init
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Override a key of the recipe, such as --set train.epochs=5; may be repeated
    #[arg(long, value_name = "TABLE.KEY=VALUE")]
    set: Vec<String>,
}

pub(super) fn run(args: Args, output: &Output) -> Result<Outcome> {
    let Args { config, data, out, seeds, variants, device, init, set } = args;
    let options = TrainOptions {
        config,
        set,
        data,
        out,
        resume: false,
        device,
        devices: Vec::new(),
        init,
        stop: Default::default(),
    };
    let different: std::collections::BTreeSet<_> = seeds.iter().collect();
    ensure!(different.len() == seeds.len(), "--seeds names a seed twice: a run that is repeated says nothing new");
    interrupt::raise(&options.stop)?;
    let Some(ablation) = ablate(&options, &variants, &seeds, &say)? else {
        return Ok(Outcome::Interrupted);
    };
    output.print(&ablation, Ablation::markdown)?;
    Ok(Outcome::Good)
}
