//! The initramfs of a guest: busybox, the field's tools with their libraries, and the modules that tests need.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::kernels::Fetched;
use crate::progress::Step;

/// The guest's first process.
const INIT: &str = include_str!("init.sh");

/// What carries out the test's commands.
const AGENT: &str = include_str!("agent.sh");

/// What busybox's udhcpc runs to put a lease to use.
const LEASE: &str = include_str!("lease.sh");

/// Debian's busybox prefers its own applets to these, so they are in /sbin, and scripts write `/sbin/ip`.
const TOOLS: [&str; 8] = ["ip", "bridge", "tc", "ethtool", "iperf3", "tcpdump", "bpftool", "nft"];

/// Those of the tools that a guest may lack: the tests that need them say so.
const OPTIONAL: [&str; 2] = ["bpftool", "nft"];

/// Directories of modules that are taken whole.
const MODULE_DIRS: [&str; 9] = [
    "drivers/net/bonding",
    "drivers/net/geneve",
    "drivers/net/vxlan",
    "drivers/block/virtio",
    "net/8021q",
    "net/bridge",
    "net/netfilter",
    "net/sched",
    "net/core/pktgen",
];

/// Modules that are taken by name, wherever they lie.
const MODULES: [&str; 25] = [
    "virtio_pci",
    "virtio_net",
    "virtio_blk",
    "virtio-rng",
    "net_failover",
    "tun",
    "tap",
    "veth",
    "dummy",
    "ifb",
    "macvlan",
    "vxlan",
    "geneve",
    "ip_gre",
    "gre",
    "ip6_gre",
    "ipip",
    "ip_tunnel",
    "ip6_tunnel",
    "sit",
    "vrf",
    "vhost_net",
    "af_packet_diag",
    "bpf_preload",
    "nlmon",
];

/// What the image is made of apart from the kernel, as a text that changes when that does.
pub fn recipe() -> String {
    let mut text = [INIT, AGENT, LEASE].concat();
    for list in [&TOOLS[..], &MODULE_DIRS, &MODULES] {
        text.push_str(&list.join(" "));
    }
    for tool in TOOLS {
        let meta = find(tool).and_then(|path| fs::metadata(path).ok());
        text.push_str(&format!("{tool} {:?}\n", meta.map(|meta| (meta.len(), meta.modified().ok()))));
    }
    text
}

/// Lays the guest's root directory out in `root` and packs it into the file `to`.
pub fn pack(step: &Step, kernel: &Fetched, root: &Path, to: &Path) -> Result<()> {
    for dir in [
        "bin",
        "sbin",
        "proc",
        "sys",
        "dev",
        "tmp",
        "run",
        "etc",
        "root",
        "usr/bin",
        "usr/share",
        "lib/modules",
    ] {
        fs::create_dir_all(root.join(dir))?;
    }
    script(&root.join("init"), INIT)?;
    script(&root.join("sbin/agent"), AGENT)?;
    script(&root.join("sbin/lease"), LEASE)?;
    let busybox = find("busybox").context("busybox is missing; install busybox-static")?;
    fs::copy(&busybox, root.join("bin/busybox")).context("cannot copy busybox")?;
    tools(root)?;
    modules(step, kernel, root)?;
    archive(root, to)
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Copies the tools and every library that the dynamic loader would look for.
fn tools(root: &Path) -> Result<()> {
    let mut libraries = BTreeSet::new();
    for tool in TOOLS {
        let Some(path) = find(tool) else {
            ensure!(OPTIONAL.contains(&tool), "{tool} is missing; install it");
            continue;
        };
        fs::copy(&path, root.join("sbin").join(tool)).with_context(|| format!("cannot copy {tool}"))?;
        libraries.extend(libraries_of(&path)?);
    }
    for library in libraries {
        let to = root.join(library.strip_prefix("/")?);
        fs::create_dir_all(to.parent().context("a library in no directory")?)?;
        fs::copy(&library, &to).with_context(|| format!("cannot copy {}", library.display()))?;
    }
    Ok(())
}

fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// Copies the wanted modules and what they depend on, uncompressed, since every guest's boot would pay for it.
fn modules(step: &Step, kernel: &Fetched, root: &Path) -> Result<()> {
    let base = kernel.modules.parent().and_then(Path::parent).and_then(Path::parent);
    let base = base.context("modules in no root directory")?;
    // depmod wants /lib/modules under the root it is given.
    if !base.join("lib/modules").exists() {
        symlink("usr/lib", base.join("lib")).context("cannot link lib")?;
    }
    step.run(Command::new(depmod()).arg("-b").arg(base).arg(&kernel.release))?;
    let list =
        fs::read_to_string(kernel.modules.join("modules.dep")).context("depmod wrote no modules.dep")?;
    let to = root.join("lib/modules").join(&kernel.release);
    fs::create_dir_all(&to)?;
    for module in needed(&list) {
        let from = kernel.modules.join(&module);
        let copy = to.join(&module);
        fs::create_dir_all(copy.parent().context("a module in no directory")?)?;
        fs::copy(&from, &copy).with_context(|| format!("cannot copy {module}"))?;
        if module.ends_with(".xz") {
            step.run(Command::new("xz").arg("-d").arg(&copy))?;
        }
    }
    for file in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        let _ = fs::copy(kernel.modules.join(file), to.join(file));
    }
    step.run(Command::new(depmod()).arg("-b").arg(root).arg(&kernel.release))
}

/// The files of modules.dep (`a.ko: b.ko c.ko` a line) that are wanted, with all that they depend on.
fn needed(list: &str) -> BTreeSet<String> {
    let wanted = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or(file).split(".ko").next().unwrap_or_default();
        MODULES.iter().any(|module| module.replace('-', "_") == name.replace('-', "_"))
            || MODULE_DIRS.iter().any(|dir| file.strip_prefix("kernel/").unwrap_or(file).starts_with(dir))
    };
    let lines = list.lines().filter_map(|line| line.split_once(':'));
    let chosen = lines.filter(|(file, _)| wanted(file));
    chosen
        .flat_map(|(file, others)| std::iter::once(file).chain(others.split_whitespace()))
        .map(str::to_owned)
        .collect()
}

/// Packs with busybox's cpio, which is there anyway.
fn archive(root: &Path, to: &Path) -> Result<()> {
    let list = Command::new("find").arg(".").current_dir(root).output().context("cannot run find")?;
    let file = fs::File::create(to).context("cannot create the archive")?;
    let mut cpio = Command::new("busybox")
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run busybox cpio")?;
    std::io::Write::write_all(&mut cpio.stdin.take().context("no pipe")?, &list.stdout)?;
    let status = cpio.wait()?;
    ensure!(status.success(), "busybox cpio: {status}");
    Ok(())
}

/// In sbin, which a plain user's PATH leaves out.
fn depmod() -> PathBuf {
    find("depmod").unwrap_or_else(|| "depmod".into())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.map(|dir| dir.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn takes_modules_with_what_they_depend_on() {
        let list = "kernel/drivers/net/virtio_net.ko.xz: kernel/net/core/failover.ko.xz\n\
            kernel/net/core/failover.ko.xz:\nkernel/drivers/gpu/drm.ko:\nkernel/net/sched/sch_fq.ko:\n";
        let needed: Vec<String> = needed(list).into_iter().collect();
        assert_eq!(
            needed,
            [
                "kernel/drivers/net/virtio_net.ko.xz",
                "kernel/net/core/failover.ko.xz",
                "kernel/net/sched/sch_fq.ko"
            ]
        );
    }
}
