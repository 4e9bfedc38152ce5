//! bpf-linker, built against the LLVM that rustc itself ships.
//!
//! The linker must read the bitcode of exactly this rustc, so a distribution's LLVM would do only by chance,
//! and this one is already on the disk.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    progress::Step,
    toolchain::{BPF_LINKER_VERSION, Toolchain},
    workspace::cargo,
};

/// Whether there is a linker for this compiler, and the LLVM that it loads.
pub fn is_ready(toolchain: &Toolchain) -> bool {
    if std::env::var_os("XBR_BPF_LINKER").is_some() {
        // The user's own; `Toolchain::linker` says so when it is not there.
        return true;
    }
    toolchain.cached_linker().is_ok_and(|linker| linker.is_file())
        // False also when the sysroot has moved and the links lead nowhere.
        && llvm_prefix(toolchain).is_ok_and(|prefix| prefix.join("lib/libLLVM.so").exists())
}

/// Builds it; a minute or two.
pub fn install(toolchain: &Toolchain) -> Result<()> {
    let prefix = link_llvm(toolchain)?;
    if toolchain.cached_linker()?.is_file() {
        return Ok(());
    }
    let step = Step::start(format!(
        "building bpf-linker {BPF_LINKER_VERSION} against rustc's LLVM {} (once, about a minute)",
        toolchain.llvm_major
    ));
    let cache = toolchain.cache()?;
    let target_dir = cache.join("bpf-linker-target");
    let mut command = Command::new(cargo());
    command
        .args(["install", "bpf-linker", "--version", BPF_LINKER_VERSION, "--locked", "--no-default-features"])
        .args(["--features", &format!("llvm-{}", toolchain.llvm_major)])
        .arg("--root")
        .arg(toolchain.linker_root()?)
        .arg("--target-dir")
        .arg(&target_dir)
        .env("LLVM_PREFIX", &prefix)
        // LLVM does the work and is compiled already: the object is the same and the link as quick as with
        // the crate's own settings, for two thirds of the compile time and a tenth of the size.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        // Outside of the workspace, whose .cargo/config.toml is not meant for it; nor are flags of the user.
        .current_dir(&cache);
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    step.run(&mut command).context(
        "cannot build bpf-linker; it needs crates from the registry and a C++ compiler's libstdc++ \
         (Debian: apt-get install g++)",
    )?;
    let linker = toolchain.cached_linker()?;
    step.run(Command::new(&linker).arg("--version")).context("bpf-linker was built but does not start")?;
    // Some 100 MB that nobody needs again.
    let _ = fs::remove_dir_all(&target_dir);
    step.done();
    Ok(())
}

/// The directory that bpf-linker's build takes for an LLVM installation.
fn llvm_prefix(toolchain: &Toolchain) -> Result<PathBuf> {
    Ok(toolchain.cache()?.join("llvm"))
}

/// Makes `llvm/lib` with rustc's LLVM under the two names that are asked for: the plain one when linking, its own
/// when loading. It stays, since the linker's run path leads there.
fn link_llvm(toolchain: &Toolchain) -> Result<PathBuf> {
    let prefix = llvm_prefix(toolchain)?;
    let lib = prefix.join("lib");
    let llvm = find_llvm(&toolchain.sysroot.join("lib"))?;
    let name = llvm.file_name().context("a library without a name")?;
    fs::create_dir_all(&lib).with_context(|| format!("cannot make {}", lib.display()))?;
    for link in [lib.join("libLLVM.so"), lib.join(name)] {
        if fs::read_link(&link).is_ok_and(|to| to == llvm) {
            continue;
        }
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).with_context(|| format!("cannot replace {}", link.display()))?;
        }
        symlink(&llvm, &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(prefix)
}

/// The LLVM library of a sysroot, under whichever name it has: `libLLVM.so.22.1-rust-1.95.0-stable` today,
/// `libLLVM-17-rust-1.75.0-stable.so` before.
fn find_llvm(lib: &Path) -> Result<PathBuf> {
    let found = fs::read_dir(lib)
        .with_context(|| format!("cannot read {}", lib.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libLLVM")))
        // Beside the library lies a linker script of a few bytes under the older name.
        .max_by_key(|path| path.metadata().map_or(0, |meta| meta.len()));
    let llvm = found.filter(|path| path.metadata().is_ok_and(|meta| meta.len() > 1 << 20));
    ensure!(
        llvm.is_some(),
        "rustc's own libLLVM is not in {}; use a toolchain of rustup, or name a bpf-linker for LLVM of \
         this rustc in $XBR_BPF_LINKER",
        lib.display()
    );
    llvm.context("no libLLVM")
}
