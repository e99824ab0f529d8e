//! `finegrain serve`: `{"url"}`, printed when the address is there.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::Outcome;
use super::output::Output;
use crate::serve::Server;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Folder of the page
    #[arg(long, value_name = "DIR", default_value = "www")]
    root: PathBuf,
}

#[derive(Serialize)]
struct Served {
    url: String,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let server = Server::bind(&args.root, args.port)?;
    output.print(&Served { url: server.url() }, |served| format!("{} (Ctrl-C stops it)", served.url))?;
    server.run()?;
    Ok(Outcome::Good)
}
