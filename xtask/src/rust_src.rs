//! rust-src: the standard library's sources, of exactly this rustc, which the BPF target's `core` is built from.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::{apt, progress::Step, toolchain::Toolchain};

/// Whether the sources are there and belong to this compiler.
pub fn is_ready(toolchain: &Toolchain) -> bool {
    let library = toolchain.library();
    if !library.join("Cargo.lock").is_file() {
        return false;
    }
    // rustup keeps its components in step with the compiler.
    let components = toolchain.sysroot.join("lib/rustlib/components");
    if fs::read_to_string(components).is_ok_and(|list| list.lines().any(|line| line == "rust-src")) {
        return true;
    }
    // What we put there stays when rustup updates the compiler, hence the stamp.
    let stamp = stamp(toolchain);
    if let Ok(text) = fs::read_to_string(&stamp) {
        return text == stamp_text(toolchain);
    }
    let fits = newest_since(&library.join("core/src")).is_none_or(|newest| fits(&newest, &toolchain.release));
    if fits {
        // A sysroot that we may not write to is looked at again the next time.
        let _ = fs::write(&stamp, stamp_text(toolchain));
    }
    fits
}

/// Puts the sources into the sysroot, from rustup where it can download, else from a Debian package.
pub fn install(toolchain: &Toolchain) -> Result<()> {
    let library = toolchain.library();
    let aside = library.with_file_name("library.xbr-old");
    let had_other = library.exists();
    if had_other {
        eprintln!("xtask: {} is of another rustc; replacing it", library.display());
        let _ = fs::remove_dir_all(&aside);
        fs::rename(&library, &aside).with_context(|| format!("cannot move {} aside", library.display()))?;
    }
    let done = fetch(toolchain);
    if had_other {
        // Somebody may have put it there, so it goes only when there is a better one.
        match done {
            Ok(()) => fs::remove_dir_all(&aside),
            Err(_) => fs::rename(&aside, &library),
        }
        .with_context(|| format!("cannot clean up {}", aside.display()))?;
    }
    done
}

fn fetch(toolchain: &Toolchain) -> Result<()> {
    let Err(no_rustup) = from_rustup(toolchain) else { return Ok(()) };
    let Err(no_apt) = from_debian(toolchain) else { return Ok(()) };
    Err(anyhow!(
        "cannot get the standard library's sources (rust-src) of rustc {}\n  rustup: {no_rustup:#}\n  \
         apt: {no_apt:#}\nhint: with a network, `rustup component add rust-src`; with a distribution's rustc, \
         install its rust-src package",
        toolchain.release
    ))
}

fn from_rustup(toolchain: &Toolchain) -> Result<()> {
    let name = rustup_name(&toolchain.sysroot).context("this rustc is not one of rustup's")?;
    let step = Step::start(format!("asking rustup for rust-src of {}", name.display()));
    let mut command = Command::new("rustup");
    command.args(["component", "add", "rust-src", "--toolchain"]).arg(name);
    // Where nothing can be downloaded, three retries only cost time: the next source is at hand.
    command.env("RUSTUP_MAX_RETRIES", "0");
    let done = step.run(&mut command).and_then(|()| {
        ensure!(
            toolchain.library().join("Cargo.lock").is_file(),
            "rustup ran, and the sources are not there"
        );
        Ok(())
    });
    match &done {
        Ok(()) => step.done(),
        Err(_) => step.gave_up("not this way, trying Debian's package"),
    }
    done
}

/// The name under which rustup knows this sysroot.
fn rustup_name(sysroot: &Path) -> Option<&OsStr> {
    (sysroot.parent()?.file_name()? == "toolchains").then_some(sysroot.file_name()?)
}

fn from_debian(toolchain: &Toolchain) -> Result<()> {
    let step = Step::start(format!("fetching Debian's rust-src {}", toolchain.release));
    let work = toolchain.cache()?.join("rust-src");
    let done = unpack_debian(toolchain, &step, &work);
    // 45 MB that are in the sysroot now.
    let _ = fs::remove_dir_all(&work);
    match &done {
        Ok(()) => step.done(),
        Err(_) => step.gave_up("not this way"),
    }
    done
}

fn unpack_debian(toolchain: &Toolchain, step: &Step, work: &Path) -> Result<()> {
    let package = apt::download(step, work, "rust-src", &toolchain.release)?;
    let tree = work.join("tree");
    step.run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&tree))?;
    let library = tree.join(format!("usr/src/rustc-{}/library", toolchain.release));
    ensure!(library.join("Cargo.lock").is_file(), "{} holds no library/Cargo.lock", package.display());

    let to = toolchain.library();
    let parent = to.parent().context("a sysroot without directories")?;
    let cannot = || format!("cannot write to the sysroot, {}", parent.display());
    fs::create_dir_all(parent).with_context(cannot)?;
    // Copied beside it and renamed: a build that runs now sees all of it or nothing.
    let beside = parent.join("library.xbr-new");
    let _ = fs::remove_dir_all(&beside);
    step.run(Command::new("cp").args(["-R", "-P", "--preserve=timestamps"]).arg(&library).arg(&beside))
        .with_context(cannot)?;
    fs::rename(&beside, &to).with_context(cannot)?;
    fs::write(stamp(toolchain), stamp_text(toolchain)).with_context(cannot)
}

/// The file that says which compiler the sources beside it are of.
fn stamp(toolchain: &Toolchain) -> PathBuf {
    toolchain.library().with_file_name(".xbr-rust-src")
}

fn stamp_text(toolchain: &Toolchain) -> String {
    format!("{} {}\n", toolchain.release, toolchain.commit)
}

/// Every release stabilises something in `core`, and the sources say when, which is the only version in them.
fn newest_since(dir: &Path) -> Option<(u32, u32)> {
    let mut newest = None;
    for entry in fs::read_dir(dir).ok()?.filter_map(Result::ok) {
        let path = entry.path();
        let here = if path.is_dir() {
            newest_since(&path)
        } else {
            fs::read_to_string(&path).ok().and_then(|text| newest_in(&text))
        };
        newest = newest.max(here);
    }
    newest
}

/// The newest `#[stable(feature = "a", since = "1.95.0")]` of a source file.
fn newest_in(text: &str) -> Option<(u32, u32)> {
    let sinces = text.match_indices("since = \"").filter_map(|(at, key)| {
        // Deprecations have a `since` too, and it may lie in the future.
        let attribute = text[..at].rsplit_once('(')?.0;
        attribute.ends_with("stable").then(|| minor(text[at + key.len()..].split('"').next()?))?
    });
    sinces.max()
}

/// Whether sources with this newest stabilisation are of this release; patch releases stabilise nothing.
fn fits(newest: &(u32, u32), release: &str) -> bool {
    minor(release).is_none_or(|release| release == *newest)
}

/// `1.95.0` → (1, 95)
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_version_of_sources() {
        let text = r#"#[stable(feature = "a", since = "1.9.0")] #[rustc_const_stable(feature = "b",
            since = "1.95.0")] #[deprecated(since = "1.99.0", note = "c")] since = "x""#;
        assert_eq!(newest_in(text), Some((1, 95)));
        assert_eq!(newest_in("fn main() {}"), None);
        assert!(fits(&(1, 95), "1.95.1"));
        assert!(!fits(&(1, 96), "1.95.0"));
    }

    #[test]
    fn knows_a_toolchain_of_rustup() {
        let name = rustup_name(Path::new("/home/a/.rustup/toolchains/stable-x86_64-unknown-linux-gnu"));
        assert_eq!(name, Some(OsStr::new("stable-x86_64-unknown-linux-gnu")));
        assert_eq!(rustup_name(Path::new("/usr")), None);
    }
}
