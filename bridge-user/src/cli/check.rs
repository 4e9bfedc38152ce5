//! `xbr check`: whether a configuration file is good. It looks at nothing but the file.

use std::path::PathBuf;

use clap::Args;

use super::{RunArgs, output};
use crate::{Refusal, Result, config};

/// Which file.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The file
    file: PathBuf,
}

/// Says so, or why not.
pub fn run(args: &CheckArgs) -> Result<()> {
    let file = config::read(&args.file)?;
    let name = args.file.display();
    RunArgs::default()
        .settings(None, file)
        .map_err(|refusal| Refusal { message: format!("{name}: {}", refusal.message), hint: refusal.hint })?;
    output::print(&format!("{name} is good\n"))
}
