//! What the privileged tests need of this kernel and of whoever runs them.

use std::{env, fs, os::unix::fs::MetadataExt as _, path::Path, process::Command};

/// Where bpffs belongs.
const BPFFS: &str = "/sys/fs/bpf";

/// Capabilities (by bit) without which no namespace, device or program can be made.
const CAPABILITIES: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];

/// Whether this process is root's.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Whether there is such a program.
pub fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Mounts bpffs where root can and nobody has yet; whether it worked shows in `missing`.
pub fn mount_bpffs() {
    if !is_root() || is_bpffs(&mounts()) {
        return;
    }
    eprintln!("xtask: mounting bpffs on {BPFFS}");
    // Its own words on standard error are all there is to say.
    let _ = Command::new("mount").args(["-t", "bpf", "bpf", BPFFS]).status();
}

/// What is missing for the privileged tests, each a sentence with a hint.
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    let mut lack = |there: bool, what: &str| {
        if !there {
            missing.push(what.to_owned());
        }
    };
    lack(is_root(), "not root: run it with sudo -E");
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (bit, name) in CAPABILITIES {
        lack(has_capability(&status, bit), &format!("no {name}: a container must be given it"));
    }
    lack(
        Path::new("/sys/kernel/btf/vmlinux").exists(),
        "no BTF in /sys/kernel/btf/vmlinux: the kernel wants CONFIG_DEBUG_INFO_BTF",
    );
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    lack(knows_bpf(&filesystems), "no BPF in this kernel: it wants CONFIG_BPF_SYSCALL");
    lack(is_bpffs(&mounts()), "no bpffs: mount -t bpf bpf /sys/fs/bpf");
    lack(Path::new("/dev/net/tun").exists(), "no /dev/net/tun: modprobe tun");
    missing
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mounts").unwrap_or_default()
}

/// Whether bpffs is in its place, by /proc/self/mounts.
fn is_bpffs(mounts: &str) -> bool {
    // The last mount on a place hides the earlier ones.
    let last = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(BPFFS));
    last.is_some_and(|line| line.split(' ').nth(2) == Some("bpf"))
}

/// Whether the effective set in /proc/self/status has this bit.
fn has_capability(status: &str, bit: u32) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set >> bit & 1 == 1)
}

/// Whether /proc/filesystems knows bpffs, which comes with the bpf system call.
fn knows_bpf(filesystems: &str) -> bool {
    filesystems.lines().any(|line| line.split_whitespace().last() == Some("bpf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_bpffs_among_mounts() {
        let with = "sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw,relatime 0 0\n";
        assert!(is_bpffs(with));
        assert!(!is_bpffs("sysfs /sys sysfs rw 0 0\nbpf /run/bpf bpf rw 0 0\n"));
        assert!(!is_bpffs(&format!("{with}tmpfs /sys/fs/bpf tmpfs rw 0 0\n")), "hidden by a later mount");
    }

    #[test]
    fn reads_capabilities() {
        let docker = "Name:\tx\nCapEff:\t00000000a80425fb\n";
        assert!(!has_capability(docker, 12));
        assert!(has_capability("CapEff:\t000001ffffffffff\n", 12));
        assert!(!has_capability("", 12));
    }

    #[test]
    fn finds_bpf_among_filesystems() {
        assert!(knows_bpf("nodev\tsysfs\nnodev\tbpf\n\text4\n"));
        assert!(!knows_bpf("nodev\tsysfs\n\text4\n"));
    }
}
