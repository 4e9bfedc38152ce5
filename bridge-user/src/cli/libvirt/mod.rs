//! `xbr libvirt`: a hook of libvirt that attaches the TAPs of guests.

mod hook;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::output;
use crate::{
    Error, Result,
    libvirt::script::{self, HOOKS, Outcome},
};

/// What to do with the hook.
#[derive(Debug, Subcommand)]
pub enum LibvirtVerb {
    /// Put the hook where libvirt finds it: guests whose metadata names a bridge are attached when they start
    Install(PathArgs),
    /// Take the hook away; guests that run stay attached
    Remove(PathArgs),
    /// What libvirt calls, with a domain's XML on standard input
    #[command(hide = true)]
    Hook(hook::HookArgs),
}

/// Where.
#[derive(Debug, Args)]
pub struct PathArgs {
    /// libvirt's folder of hooks
    #[arg(long, value_name = "DIR", default_value = HOOKS)]
    path: PathBuf,
}

/// Does it.
pub fn run(verb: LibvirtVerb) -> Result<()> {
    match verb {
        LibvirtVerb::Install(args) => install(&args.path),
        LibvirtVerb::Remove(args) => remove(&args.path),
        LibvirtVerb::Hook(args) => hook::run(&args),
    }
}

fn install(hooks: &Path) -> Result<()> {
    let xbr = std::env::current_exe().map_err(Error::io("find xbr itself"))?;
    let path = script::path(hooks);
    let path = path.display();
    output::print(&match script::install(hooks, &xbr)? {
        Outcome::AsBefore => format!("{path} is there already\n"),
        Outcome::Done => format!(
            "{path} runs {}\n\
             libvirt looks for hooks when its daemon starts: restart it now (systemctl restart libvirtd, or \
             virtqemud); guests run on\n",
            xbr.display()
        ),
    })
}

fn remove(hooks: &Path) -> Result<()> {
    let path = script::path(hooks);
    output::print(&match script::remove(hooks)? {
        Outcome::AsBefore => format!("{} is not there\n", path.display()),
        Outcome::Done => format!("{} is gone\n", path.display()),
    })
}
