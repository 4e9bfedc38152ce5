//! Kernels and images, as `cargo xtask guests` leaves them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A kernel of the matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// 6.1, which has no tcx.
    V6_1,
    /// 6.12.
    V6_12,
    /// The newest that Debian builds.
    Newest,
}

impl Kernel {
    /// All of them, the oldest first.
    pub const ALL: [Kernel; 3] = [Kernel::V6_1, Kernel::V6_12, Kernel::Newest];

    /// Those that this run is to boot: all with `cargo xtask test --full`, else the newest.
    pub fn to_test() -> Vec<Kernel> {
        if full() { Kernel::ALL.to_vec() } else { vec![Kernel::Newest] }
    }

    /// Its name on the command line of `cargo xtask guests`.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::V6_1 => "6.1",
            Kernel::V6_12 => "6.12",
            Kernel::Newest => "newest",
        }
    }

    /// The folder with `vmlinuz` and `initramfs`.
    pub fn dir(self) -> PathBuf {
        images().join(self.name())
    }
}

fn images() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // The places of xtask's cache_root, for whoever runs a test without xtask.
        let cache = || var("XBR_CACHE").or_else(|| Some(var("XDG_CACHE_HOME")?.join("xbr")));
        let cache = || cache().or_else(|| Some(var("HOME")?.join(".cache/xbr")));
        var("XBR_GUESTS").or_else(|| Some(cache()?.join("guests"))).unwrap_or_default()
    })
}

/// True when a guest with this kernel can be booted and this process may make namespaces; begin a test with
/// `if !require_guests(Kernel::Newest) { return }`. Otherwise as [`require_privileges`](crate::require_privileges): a loud skip, and a failure in CI.
#[track_caller]
pub fn require_guests(kernel: Kernel) -> bool {
    if !crate::require_privileges() {
        return false;
    }
    let Some(missing) = missing(kernel) else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test cannot run: {missing}");
    crate::privileges::skip(&missing)
}

/// Whether every row of every table shall run (`cargo xtask test --full`), and not one of each.
pub fn full() -> bool {
    std::env::var_os("XBR_FULL").is_some_and(|value| !value.is_empty())
}

/// True in a full run; else says loudly that the test is skipped, which is no green tick.
pub fn require_full() -> bool {
    full() || crate::privileges::skip("only `cargo xtask test --full` runs it")
}

fn missing(kernel: Kernel) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|dir| dir.join("qemu-system-x86_64").is_file()) {
        return Some("qemu-system-x86_64 is not there".into());
    }
    let image = kernel.dir().join("initramfs");
    (!image.is_file()).then(|| format!("no guest with kernel {0}: cargo xtask guests {0}", kernel.name()))
}

/// `kvm` where `cargo xtask test` has seen it boot something, else `tcg`: the device file alone proves nothing.
pub(super) fn accelerator() -> String {
    std::env::var("XBR_ACCEL").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "tcg".into())
}
