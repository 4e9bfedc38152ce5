//! `cargo xtask setup`: what the build needs and a bare machine lacks.

use std::fs::{self, File};

use anyhow::{Context as _, Result};

use crate::{
    bpf_linker, rust_src,
    toolchain::{Toolchain, cache_root},
    workspace::rustc,
};

/// Brings everything up and says where it is.
pub fn verb() -> Result<()> {
    let toolchain = ensure()?;
    println!("rustc       {} ({})", toolchain.release, toolchain.commit);
    println!("rust-src    {}", toolchain.library().display());
    println!("bpf-linker  {}", toolchain.linker()?.display());
    Ok(())
}

/// Brings up what is missing; silent and quick when nothing is.
pub fn ensure() -> Result<Toolchain> {
    let toolchain = Toolchain::probe(&rustc())?;
    if rust_src::is_ready(&toolchain) && bpf_linker::is_ready(&toolchain) {
        return Ok(toolchain);
    }
    let _lock = lock()?;
    // Asked again: whoever held the lock may have done the work.
    if !rust_src::is_ready(&toolchain) {
        rust_src::install(&toolchain)?;
    }
    if !bpf_linker::is_ready(&toolchain) {
        bpf_linker::install(&toolchain)?;
    }
    Ok(toolchain)
}

/// Keeps two tasks from bringing up the same thing; the kernel lets go of it however we end.
pub fn lock() -> Result<File> {
    let dir = cache_root()?;
    let cannot =
        || format!("cannot write to the cache in {}; set XBR_CACHE to another directory", dir.display());
    fs::create_dir_all(&dir).with_context(cannot)?;
    let file = File::create(dir.join("setup.lock")).with_context(cannot)?;
    if file.try_lock().is_err() {
        eprintln!("xtask: another setup is at work; waiting for it");
        file.lock().context("cannot lock the cache")?;
    }
    Ok(file)
}
