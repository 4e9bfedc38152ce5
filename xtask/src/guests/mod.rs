//! `cargo xtask guests`: kernels and the initramfs with which the tests boot real guests.
//!
//! `<cache>/guests/<name>` is a link to `<cache>/guests/<version>-<recipe>/`, which holds `vmlinuz`, `initramfs` and `release`.
//! Where it is there nothing is asked of the network; `--update` looks for newer packages.

mod accelerator;
mod image;
mod kernels;

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{kernel, progress::Step, setup, toolchain::cache_root};

use kernels::{KERNELS, Kernel};

/// What to bring up.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these kernels; all of them without a name.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(KERNELS.map(|kernel| kernel.name)))]
    kernels: Vec<String>,
    /// Look for newer kernels, and make the images anew.
    #[arg(long)]
    update: bool,
}

/// Brings the images up and says where they are.
pub fn verb(args: &Args) -> Result<()> {
    for kernel in KERNELS
        .iter()
        .filter(|kernel| args.kernels.is_empty() || args.kernels.iter().any(|name| name == kernel.name))
    {
        let dir = ensure(kernel, args.update)?;
        println!("{:7} {}", kernel.name, dir.display());
    }
    Ok(())
}

/// Where the images are.
pub fn dir() -> Result<PathBuf> {
    Ok(cache_root()?.join("guests"))
}

/// Brings up what the tests that boot guests need, and returns the variables by which they find it. What cannot be had is a
/// failure in CI; elsewhere it is said, and those tests skip themselves.
pub fn for_tests(full: bool, ci: bool) -> Result<Vec<(&'static str, OsString)>> {
    let mut variables = vec![("XBR_GUESTS", dir()?.into_os_string())];
    if full {
        variables.push(("XBR_FULL", "1".into()));
    }
    if !kernel::on_path("qemu-system-x86_64") {
        anyhow::ensure!(!ci, "qemu-system-x86_64 is missing, and in CI that is a failure");
        eprintln!(
            "SKIPPING ALL TESTS THAT BOOT GUESTS: qemu-system-x86_64 is missing; install qemu-system-x86 10 or later"
        );
        return Ok(variables);
    }
    // Without --full the tests boot the newest one.
    for kernel in KERNELS.iter().filter(|kernel| full || kernel.name == "newest") {
        match ensure(kernel, false) {
            Ok(image) => variables.extend(accelerator::probe(&image).map(|name| ("XBR_ACCEL", name.into()))),
            Err(error) if ci => return Err(error),
            Err(error) => eprintln!("SKIPPING THE TESTS THAT BOOT {}: {error:#}", kernel.name),
        }
    }
    Ok(variables)
}

/// The image with this kernel; made if it is not there.
pub fn ensure(kernel: &Kernel, update: bool) -> Result<PathBuf> {
    let guests = dir()?;
    let link = guests.join(kernel.name);
    let recipe = image::recipe();
    let current = |dir: &Path| fs::read_to_string(dir.join("recipe")).is_ok_and(|text| text == recipe);
    if !update && current(&link) {
        return Ok(link);
    }
    let _lock = setup::lock()?;
    if !update && current(&link) {
        return Ok(link);
    }
    let step = Step::start(format!("making a guest with kernel {}", kernel.name));
    let work = guests.join("work");
    let done = make(&step, kernel, &work, &guests, &recipe);
    let _ = fs::remove_dir_all(&work);
    let made = done.with_context(|| format!("cannot make a guest with kernel {}", kernel.name))?;
    step.done();
    let old = fs::read_link(&link).ok();
    let beside = guests.join(".link");
    let _ = fs::remove_file(&beside);
    symlink(&made, &beside).and_then(|()| fs::rename(&beside, &link)).context("cannot link the image")?;
    if let Some(old) = old.filter(|old| *old != made) {
        let _ = fs::remove_dir_all(guests.join(old));
    }
    Ok(link)
}

/// Fetches, unpacks and packs; the directory appears under its name when it is whole. Returns that name.
fn make(step: &Step, kernel: &Kernel, work: &Path, guests: &Path, recipe: &str) -> Result<PathBuf> {
    let fetched = kernel.fetch(step, work)?;
    let image = work.join("image");
    fs::create_dir_all(&image)?;
    fs::copy(&fetched.vmlinuz, image.join("vmlinuz")).context("cannot copy the kernel")?;
    image::pack(step, &fetched, &work.join("root"), &image.join("initramfs"))?;
    fs::write(image.join("release"), format!("{}\n", fetched.release))?;
    fs::write(image.join("recipe"), recipe)?;
    let name = PathBuf::from(format!("{}-{}", kernel.name, fetched.release));
    let to = guests.join(&name);
    let _ = fs::remove_dir_all(&to);
    fs::rename(&image, &to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(name)
}

/// A command whose failure is an error with its last words.
fn run(step: &Step, program: &str, args: &[&Path]) -> Result<()> {
    step.run(Command::new(program).args(args))
}
