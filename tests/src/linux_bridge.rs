//! The switch that needs no proof.

use std::time::Duration;

use crate::{Node, Segment, is_running, wait_until};

/// The kernel's own bridge as the switch of a segment: it shows that the lab works, and is what xbr is measured against.
///
/// As in every classic set-up, the host's address moves from `eth0` to `br0`. It moves back when this is dropped.
pub struct LinuxBridge {
    host: Node,
}

impl LinuxBridge {
    /// Makes `br0` of the uplink and all ports; for [`Segment::start`].
    #[track_caller]
    pub fn start(segment: &Segment) -> LinuxBridge {
        let ports: Vec<&str> = segment.ports().collect();
        Self::over(segment.host(), segment.mtu(), &ports)
    }

    /// Makes `br0` of the node's `eth0` and these devices beside it.
    #[track_caller]
    pub fn over(host: &Node, mtu: u32, ports: &[&str]) -> LinuxBridge {
        let host = host.clone();
        // Without snooping, multicast is flooded from the first frame on, and without STP's delay ports forward at once.
        let mut lines = vec![format!(
            "link add br0 address {} mtu {} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            host.mac, mtu
        )];
        lines.push("addr flush dev eth0".into());
        for port in ports.iter().chain(&["eth0"]) {
            host.ns.sysctl(&format!("net/ipv6/conf/{port}/disable_ipv6"), "1");
            lines.push(format!("link set {port} master br0"));
            lines.push(format!("link set {port} up"));
        }
        lines.push("link set br0 up".into());
        lines.extend(host.address_lines("br0"));
        host.ns.ip_batch(&lines);
        let ready = wait_until(Duration::from_secs(3), || is_running(&host.ns, "br0"));
        assert!(ready, "br0 has no carrier:\n{}", host.ns.output("ip -d link"));
        LinuxBridge { host }
    }
}

impl Drop for LinuxBridge {
    fn drop(&mut self) {
        let ns = &self.host.ns;
        let run = |words: &str| ns.command("ip", words.split_whitespace()).output();
        // A panic in here would hide the one that may be on its way; the namespace goes in any case.
        let _ = run("link del br0");
        let lines = self.host.address_lines("eth0");
        if !lines.is_empty() {
            let _ = ns.run(|| std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0"));
        }
        for line in lines {
            let _ = run(&line);
        }
    }
}
