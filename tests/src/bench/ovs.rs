//! Open vSwitch from the distribution, with the kernel's datapath: its own database and folders, in the lab's namespace only.
//!
//! Its user-space datapath would be no fair peer (it polls, on a core of its own, or copies each frame through a packet socket), so
//! without the kernel's module it is left out.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use crate::{Namespace, Node, Process, unique_name, wait_until};

/// How long its daemons may take to answer.
const START: Duration = Duration::from_secs(20);

/// A running one. Its bridge ends with it.
pub struct Ovs {
    ns: Namespace,
    folder: PathBuf,
    // Ended in this order, before the folder goes.
    switch: Option<Process>,
    database: Option<Process>,
}

impl Ovs {
    /// Why it cannot be measured here.
    pub fn missing() -> Option<String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
        let programs = ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"];
        if let Some(program) = programs.into_iter().find(|name| !there(name)) {
            return Some(format!("{program} is not installed"));
        }
        // Where the kernel has no modules this fails, and the symbols decide.
        let _ = Command::new("modprobe").args(["-q", "openvswitch"]).status();
        let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        (!symbols.contains(" ovs_dp_process_packet")).then(|| {
            "the kernel has no openvswitch datapath, and the one in user space is no fair peer".into()
        })
    }

    /// Makes a bridge of these devices and `eth0`.
    #[track_caller]
    pub fn start(host: &Node, ports: &[&str]) -> Ovs {
        let folder = std::env::temp_dir().join(unique_name());
        fs::create_dir(&folder).expect("a folder for Open vSwitch");
        let mut ovs = Ovs { ns: host.ns.clone(), folder, switch: None, database: None };
        let at = |name: &str| ovs.folder.join(name).display().to_string();
        let (file, socket) = (at("conf.db"), format!("unix:{}", at("db.sock")));
        ovs.finish("ovsdb-tool", &["create", &file]);
        ovs.database = Some(ovs.daemon("ovsdb-server", &[&file, &format!("--remote=p{socket}")]));
        let answers = || ovs.command("ovs-vsctl", &[&format!("--db={socket}"), "--no-wait", "init"]).status();
        let ready = wait_until(START, || answers().is_ok_and(|status| status.success()));
        assert!(ready, "ovsdb-server does not answer");
        ovs.switch = Some(ovs.daemon("ovs-vswitchd", &[&socket]));
        let db = format!("--db={socket}");
        ovs.finish("ovs-vsctl", &[&db, "--timeout=20", "add-br", "br0"]);
        // ovs-vsctl succeeds also where the daemon has no datapath.
        ovs.ns.run(|| crate::device::index("br0")).expect("a bridge of Open vSwitch");
        for port in ports.iter().copied().chain(["eth0"]) {
            ovs.finish("ovs-vsctl", &[&db, "--timeout=20", "add-port", "br0", port]);
        }
        ovs
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = self.ns.command(program, words);
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(name, &self.folder);
        }
        command
    }

    fn daemon(&self, program: &str, words: &[&str]) -> Process {
        Process::spawn(self.command(program, words))
    }

    #[track_caller]
    fn finish(&self, program: &str, words: &[&str]) {
        let output =
            self.command(program, words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        // The datapath outlives the daemon that made it.
        let socket = format!("--db=unix:{}", self.folder.join("db.sock").display());
        let _ = self.command("ovs-vsctl", &[&socket, "--timeout=20", "del-br", "br0"]).output();
        (self.switch, self.database) = (None, None);
        let _ = fs::remove_dir_all(&self.folder);
    }
}
