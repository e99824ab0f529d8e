//! `cargo xtask demo`: the page on this machine, from a fresh clone.

use anyhow::Result;
use clap::Args;
use finegrain_native::serve::Server;

use crate::build_web::{self, Module};
use crate::{setup, shell};

/// Options of `cargo xtask demo`.
#[derive(Args)]
pub(crate) struct Options {
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// The port on localhost; 0 takes any free one [default: 8080, or a free one where that is taken]
    #[arg(long)]
    port: Option<u16>,
}

/// Builds the page, prints its address, opens a browser and serves until interrupted.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::in_ci()?;
    build_web::build(&Module::ALL)?;
    let www = shell::root().join("www");
    let server = match options.port {
        Some(port) => Server::bind(www, port)?,
        None => Server::bind(&www, 8080).or_else(|_| Server::bind(&www, 0))?,
    };
    println!("\nfinegrain runs on {} (end with Ctrl-C)", server.url());
    if !options.no_open && opener::open_browser(server.url()).is_err() {
        println!("No browser could be opened: open the address yourself.");
    }
    server.run()?;
    Ok(())
}
