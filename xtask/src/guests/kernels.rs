//! Which kernels, and where Debian has them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::run;
use crate::{apt, progress::Step};

/// A kernel of the matrix.
#[derive(Debug)]
pub struct Kernel {
    /// The name that tests know it by.
    pub name: &'static str,
    /// The suite whose cloud kernel it is.
    suite: &'static str,
}

/// The oldest that xbr supports, the long-term one that most run, and the newest that Debian builds.
pub const KERNELS: [Kernel; 3] = [
    Kernel { name: "6.1", suite: "bookworm" },
    Kernel { name: "6.12", suite: "trixie" },
    Kernel { name: "newest", suite: "trixie-backports" },
];

/// A kernel, unpacked.
pub struct Fetched {
    /// `6.1.0-56-cloud-amd64`
    pub release: String,
    /// The kernel itself.
    pub vmlinuz: PathBuf,
    /// `…/lib/modules/<release>`
    pub modules: PathBuf,
}

impl Kernel {
    /// Downloads the packages and unpacks them under `work`; nothing is installed.
    pub fn fetch(&self, step: &Step, work: &Path) -> Result<Fetched> {
        let apt = work.join("apt");
        let tree = work.join("tree");
        let suite = apt::Suite::open(step, &apt, self.suite)?;
        // Since 7.0 the kernel itself and its modules are packages of their own.
        let mut wanted = suite.depends("linux-image-cloud-amd64")?;
        wanted.retain(|name| is_versioned(name));
        ensure!(!wanted.is_empty(), "{} has no kernel for clouds", self.suite);
        let more = suite.depends(&wanted[0])?;
        wanted.extend(more.into_iter().filter(|name| is_versioned(name)));
        wanted.dedup();
        for package in &wanted {
            let file = suite.download(step, package)?;
            run(step, "dpkg-deb", &[Path::new("-x"), &file, &tree])?;
        }
        // Debian's merge of /usr moves the modules.
        let modules = ["usr/lib/modules", "lib/modules"].iter().find_map(|dir| only_entry(&tree.join(dir)));
        let modules = modules.with_context(|| format!("no modules in {}", wanted.join(", ")))?;
        let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let places = [tree.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
        let vmlinuz = places.into_iter().find(|file| file.is_file());
        let vmlinuz = vmlinuz.with_context(|| format!("no vmlinuz in {}", wanted.join(", ")))?;
        Ok(Fetched { release, vmlinuz, modules })
    }
}

/// `linux-image-6.1.0-56-cloud-amd64`, and not the meta packages.
fn is_versioned(package: &str) -> bool {
    let version = ["linux-image-", "linux-binary-", "linux-modules-"]
        .iter()
        .find_map(|kind| package.strip_prefix(kind));
    version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

fn only_entry(dir: &Path) -> Option<PathBuf> {
    fs::read_dir(dir).ok()?.find_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use super::is_versioned;

    #[test]
    fn tells_kernels_from_meta_packages() {
        assert!(is_versioned("linux-image-6.1.0-56-cloud-amd64"));
        assert!(is_versioned("linux-modules-7.3.4+deb13-cloud-amd64"));
        assert!(!is_versioned("linux-modules-cloud-amd64"));
        assert!(!is_versioned("linux-base-cloud-amd64"));
    }
}
