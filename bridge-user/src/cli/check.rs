//! `xbr check`: whether a configuration file is good. It looks at nothing but the file.

use std::path::PathBuf;

use clap::Args;

use super::{RunArgs, output};
use crate::{Result, config};

/// Which file.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The file
    file: PathBuf,
}

/// Says so, or why not.
pub fn run(args: &CheckArgs) -> Result<()> {
    let file = config::read(&args.file)?;
    RunArgs::default().settings(None, file)?;
    output::print(&format!("{} is good\n", args.file.display()))
}
