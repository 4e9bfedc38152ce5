//! Names of bridges, which all tests of a machine share through bpffs.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A bridge's name that no other test has: `t<pid>x<n>`.
pub fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("t{}x{}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}

/// Where a bridge of this name keeps its pins.
pub fn bpffs_dir(name: &str) -> PathBuf {
    PathBuf::from("/sys/fs/bpf/xbr").join(name)
}

/// The control socket of a bridge of this name.
pub fn socket_path(name: &str) -> PathBuf {
    PathBuf::from(format!("/run/xbr/{name}.sock"))
}

/// Removes what a bridge left behind, when dropped. Declare it **before** the process that is the bridge, so that it goes last.
pub struct Cleanup {
    name: String,
}

impl Cleanup {
    /// Will clean up after the bridge of this name.
    pub fn after(name: &str) -> Cleanup {
        Cleanup { name: name.to_owned() }
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

fn remove(name: &str) {
    let _ = fs::remove_dir_all(bpffs_dir(name));
    let socket = socket_path(name);
    let _ = fs::remove_file(socket.with_extension("lock"));
    let _ = fs::remove_file(socket);
}

/// Removes what tests left behind whose process is dead, and returns those bridges' names.
pub fn remove_stale_bridges() -> Vec<String> {
    let pins = fs::read_dir("/sys/fs/bpf/xbr").into_iter().flatten();
    let sockets = fs::read_dir("/run/xbr").into_iter().flatten();
    let mut stale: Vec<String> = pins
        .chain(sockets)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| name.trim_end_matches(".sock").trim_end_matches(".lock").to_owned())
        .filter(|name| {
            test_process(name).is_some_and(|pid| !fs::exists(format!("/proc/{pid}")).unwrap_or(true))
        })
        .collect();
    stale.sort();
    stale.dedup();
    stale.iter().for_each(|name| remove(name));
    stale
}

/// The process in a name that [`unique_name`] made.
fn test_process(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix('t')?.split_once('x')?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_tests_are_ever_stale() {
        assert_eq!(test_process("t123x4"), Some(123));
        assert!(["xbr0", "t1", "tx", "t1x", "tax1", "t1x2y"].iter().all(|name| test_process(name).is_none()));
        assert_eq!(test_process(&unique_name()), Some(std::process::id()));
        assert_ne!(unique_name(), unique_name());
    }
}
