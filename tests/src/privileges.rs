//! May the tests that need a kernel run here?

use std::path::Path;

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// True when this process may make namespaces and load BPF programs. Begin a test with
/// `if !require_privileges() { return }`.
///
/// With `XBR_SKIP_PRIVILEGED` set it says loudly that the test is skipped. So it does when something is missing, except in
/// CI (`CI=true`): there it panics, because a test that silently did not run is worse than one that fails.
#[track_caller]
pub fn require_privileges() -> bool {
    if std::env::var_os("XBR_SKIP_PRIVILEGED").is_some() {
        return skip("XBR_SKIP_PRIVILEGED is set");
    }
    let Some(missing) = missing() else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test cannot run: {missing}");
    skip(missing)
}

/// True when there is such a program. As [`require_privileges`] where there is none.
#[track_caller]
pub fn require_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test cannot run: there is no {name}");
    skip(&format!("there is no {name}"))
}

fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("it needs root");
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("the kernel has no BTF");
    }
    if !statfs("/sys/fs/bpf").is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC) {
        return Some("/sys/fs/bpf is no bpffs");
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun");
    }
    None
}

pub(crate) fn skip(why: &str) -> bool {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    // Past the test harness, which would swallow the standard error of a test that passes.
    let line = format!("\n******** SKIPPED, NOT PASSED: {test}: {why} ********\n");
    let _ = nix::unistd::write(std::io::stderr(), line.as_bytes());
    false
}
