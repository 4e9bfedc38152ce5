//! Where the parts of the BPF toolchain are and how the BPF object is built with them.
//!
//! bridge-user's build script compiles this file too, by its path: what `cargo xtask setup` puts somewhere
//! and what a plain `cargo build` looks for can then not drift apart.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

/// The target of the programs. The byte order is that of every host we build on.
pub const BPF_TARGET: &str = "bpfel-unknown-none";

/// The bpf-linker that `cargo xtask setup` builds.
pub const BPF_LINKER_VERSION: &str = "0.13.0";

/// The facts about a compiler that decide which rust-src and which bpf-linker fit it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// `1.95.0`
    pub release: String,
    /// First nine digits of the commit, as `rustc -V` shows them; `unknown` in some distribution builds.
    pub commit: String,
    /// `22`: bpf-linker must be built for the LLVM whose bitcode rustc writes.
    pub llvm_major: String,
    /// `rustc --print sysroot`
    pub sysroot: PathBuf,
}

impl Toolchain {
    /// Asks `rustc` (a path or a name) what it is.
    pub fn probe(rustc: &OsStr) -> Result<Self> {
        let sysroot = PathBuf::from(ask(rustc, &["--print", "sysroot"])?.trim_end());
        // Past rustup's proxy, which takes its time; the sysroot belongs to one compiler only.
        let behind = sysroot.join("bin/rustc");
        let version = ask(if behind.is_file() { behind.as_os_str() } else { rustc }, &["-vV"])?;
        Self::parse(sysroot, &version)
    }

    /// Reads what `rustc -vV` says.
    pub fn parse(sysroot: PathBuf, version: &str) -> Result<Self> {
        let field = |name: &str| {
            version
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .with_context(|| format!("rustc does not say its `{name}`"))
        };
        let llvm = field("LLVM version")?;
        Ok(Self {
            release: field("release")?.to_owned(),
            commit: field("commit-hash")?.chars().take(9).collect(),
            llvm_major: llvm.split('.').next().unwrap_or(llvm).to_owned(),
            sysroot,
        })
    }

    /// Where the sources of `core` must be for `-Z build-std`.
    pub fn library(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }

    /// What is kept for this very compiler: another rustc gets another directory, so an update rebuilds
    /// the linker and going back finds the old one.
    pub fn cache(&self) -> Result<PathBuf> {
        Ok(cache_root()?.join(format!("rustc-{}-{}", self.release, self.commit)))
    }

    /// The `cargo install` root of the bpf-linker that `cargo xtask setup` builds.
    pub fn linker_root(&self) -> Result<PathBuf> {
        Ok(self.cache()?.join(format!("bpf-linker-{BPF_LINKER_VERSION}")))
    }

    /// Where `cargo xtask setup` puts bpf-linker.
    pub fn cached_linker(&self) -> Result<PathBuf> {
        Ok(self.linker_root()?.join("bin/bpf-linker"))
    }

    /// The linker to use: `$XBR_BPF_LINKER`, ours, or one on PATH.
    pub fn linker(&self) -> Result<PathBuf> {
        if let Some(path) = env::var_os("XBR_BPF_LINKER").filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            ensure!(path.is_file(), "$XBR_BPF_LINKER is {}, and there is no such file", path.display());
            return Ok(path);
        }
        let cached = self.cached_linker()?;
        // Last, because nothing says which LLVM a foreign one was built for.
        let on_path = || {
            let path = env::var_os("PATH")?;
            env::split_paths(&path).map(|dir| dir.join("bpf-linker")).find(|path| path.is_file())
        };
        match Some(cached).filter(|path| path.is_file()).or_else(on_path) {
            Some(path) => Ok(path),
            None => bail!("bpf-linker for rustc {} is missing; run `cargo xtask setup`", self.release),
        }
    }

    /// A cargo command (`build`, `clippy`) on bridge-ebpf, for the BPF target and by this toolchain.
    ///
    /// It is meant to work inside a build script, so what the outer cargo or clippy left in the environment
    /// for its own compiler is taken out. `target_dir` must not be one that an outer cargo has locked.
    pub fn ebpf_cargo(&self, cargo: &OsStr, verb: &str, target_dir: &Path) -> Result<Command> {
        let flags = [
            format!("-Clinker={}", self.linker()?.display()),
            "-Cdebuginfo=2".to_owned(),
            "-Clink-arg=--btf".to_owned(),
        ];
        let mut command = Command::new(cargo);
        command
            .args([verb, "--package", "bridge-ebpf", "--target", BPF_TARGET, "-Zbuild-std=core"])
            .arg("--target-dir")
            .arg(target_dir)
            // build-std is unstable, and everybody else may keep a stable compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        for name in [
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_INCREMENTAL",
            "CLIPPY_ARGS",
        ] {
            command.env_remove(name);
        }
        Ok(command)
    }
}

/// The standard output of `rustc` with these arguments.
fn ask(rustc: &OsStr, args: &[&str]) -> Result<String> {
    let output =
        Command::new(rustc).args(args).output().with_context(|| format!("cannot run {}", rustc.display()))?;
    ensure!(
        output.status.success(),
        "{} {} failed: {}",
        rustc.display(),
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where xbr keeps what took long to make: `$XBR_CACHE`, `$XDG_CACHE_HOME/xbr` or `~/.cache/xbr`.
pub fn cache_root() -> Result<PathBuf> {
    let dir = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    dir("XBR_CACHE")
        .or_else(|| Some(dir("XDG_CACHE_HOME")?.join("xbr")))
        .or_else(|| Some(dir("HOME")?.join(".cache/xbr")))
        .context("there is no place for a cache; set XBR_CACHE to a directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n\
        commit-hash: 59807616e1fa2540724bfbac14d7976d7e4a3860\ncommit-date: 2026-04-14\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";

    #[test]
    fn reads_the_version_of_rustc() {
        let toolchain = Toolchain::parse(PathBuf::from("/s"), VERSION).expect("a whole answer");
        assert_eq!(toolchain.release, "1.95.0");
        assert_eq!(toolchain.commit, "59807616e");
        assert_eq!(toolchain.llvm_major, "22");
        assert_eq!(toolchain.library(), Path::new("/s/lib/rustlib/src/rust/library"));
    }

    #[test]
    fn names_what_a_rustc_leaves_out() {
        let text = VERSION.replace("LLVM version: 22.1.2\n", "");
        let error = Toolchain::parse(PathBuf::from("/s"), &text).expect_err("no LLVM, no linker");
        assert_eq!(error.to_string(), "rustc does not say its `LLVM version`");
    }
}
