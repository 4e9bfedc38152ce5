//! The machine.

use super::Finding;
use crate::{
    datapath::Way,
    plan::{Probe, validate::OLDEST_KERNEL},
};

/// What was found of the machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's release, such as `6.12.9-amd64`.
    pub release: String,
    /// What every bridge depends on.
    pub probe: Probe,
    /// Where the BPF file system is mounted.
    pub bpffs: Option<String>,
    /// There is `/dev/net/tun`.
    pub tun: bool,
    /// The bridges of xbr in this network namespace.
    pub bridges: Vec<String>,
}

/// What is to be said of the machine.
pub fn machine(machine: &Machine) -> Vec<Finding> {
    let Machine { release, probe, .. } = machine;
    let mut findings = Vec::new();
    findings.push(match probe.kernel >= OLDEST_KERNEL {
        true => Finding::good("kernel", format!("Linux {release}; xbr needs 6.1 or later")),
        false => Finding::problem("kernel", format!("Linux {release} is too old: xbr needs 6.1 or later")),
    });
    findings.push(match Way::of(probe.kernel) {
        Way::Tcx => Finding::good("TC", "programs are attached by tcx links"),
        Way::Clsact => {
            let text = "programs are attached by clsact filters, since tcx links came with Linux 6.6";
            Finding::good("TC", text)
        }
    });
    findings.push(match probe.btf {
        true => Finding::good("BTF", "the kernel describes its types (/sys/kernel/btf/vmlinux)"),
        false => Finding::problem("BTF", "absent: boot a kernel that was built with CONFIG_DEBUG_INFO_BTF=y"),
    });
    findings.push(match &machine.bpffs {
        Some(path) => Finding::good("bpffs", format!("mounted at {path}")),
        None => Finding::problem("bpffs", "not mounted: mount -t bpf bpf /sys/fs/bpf"),
    });
    findings.push(match probe.capable {
        true => Finding::good("capabilities", "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are in effect"),
        false => {
            let text = "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are not all in effect: try again with sudo";
            Finding::problem("capabilities", text)
        }
    });
    findings.push(match machine.tun {
        true => Finding::good("TAPs", "/dev/net/tun is there"),
        false => Finding::note("TAPs", "/dev/net/tun is missing, so no TAP can be made: modprobe tun"),
    });
    findings.push(match machine.bridges.as_slice() {
        [] => Finding::good("bridges", "none of xbr in this network namespace"),
        names => Finding::note("bridges", format!("{} in this network namespace", names.join(", "))),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn an_old_machine_hears_what_it_lacks() {
        let probe = Probe { kernel: (5, 15), btf: false, capable: false, bpffs: false };
        let old = Machine { release: "5.15.0".into(), probe, bpffs: None, tun: false, bridges: Vec::new() };
        let problems = machine(&old).into_iter().filter(|finding| finding.level == Level::Problem);
        assert_eq!(problems.count(), 4);
        for (kernel, how) in [((6, 6), "tcx links"), ((6, 1), "clsact filters")] {
            let probe = Probe { kernel, btf: true, capable: true, bpffs: true };
            let bpffs = Some("/sys/fs/bpf".into());
            let good = machine(&Machine { probe, bpffs, tun: true, ..old.clone() });
            assert!(good.iter().all(|finding| finding.level == Level::Good), "{good:?}");
            assert!(good.iter().any(|finding| finding.text.contains(how)), "{good:?}");
        }
    }
}
