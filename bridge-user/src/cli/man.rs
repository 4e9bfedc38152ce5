//! `xbr man`: manual pages, by clap's own generator.

use std::{fs, io, path::PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;

use super::output;
use crate::{Error, Result};

/// Where to.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each verb into this folder, instead of printing the first
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints or writes them.
pub fn run(args: &ManArgs, command: Command) -> Result<()> {
    let Some(folder) = &args.folder else {
        let page = page(command).map_err(Error::io("make the manual page"))?;
        return output::print(&String::from_utf8_lossy(&page));
    };
    let write = || {
        fs::create_dir_all(folder)?;
        for (name, page) in pages(command)? {
            fs::write(folder.join(name), page)?;
        }
        Ok(())
    };
    write().map_err(Error::io(format!("write manual pages into {}", folder.display())))
}

/// Every verb's page with its file name, `xbr-fdb-show.1` and the like.
fn pages(mut command: Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    // `build` gives each verb its full name and the flags that hold for all.
    command.build();
    let mut todo = vec![command];
    let mut pages = Vec::new();
    while let Some(command) = todo.pop() {
        let verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help");
        todo.extend(verbs.cloned());
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        pages.push((format!("{name}.1"), page(command)?));
    }
    Ok(pages)
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_verb_has_a_page() {
        let pages = pages(super::super::Cli::command()).unwrap();
        for name in ["xbr.1", "xbr-run.1", "xbr-fdb.1", "xbr-fdb-show.1"] {
            assert!(pages.iter().any(|(page, text)| page == name && !text.is_empty()), "{name}");
        }
    }
}
