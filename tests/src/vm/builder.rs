//! What a guest shall be.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::console::{Console, connect};
use super::{Kernel, Nic, Qemu, Runner, Vm, image};
use crate::{Namespace, Process};

/// The guest kernel's command line. On a busy machine an emulated timer misses the ticks by which `check_timer` proves it, and the
/// kernel panics; hence the last word.
pub const KERNEL_WORDS: &str = "console=ttyS0 quiet panic=-1 net.ifnames=0 no_timer_check";

/// See [`Vm::builder`].
pub struct VmBuilder {
    name: String,
    kernel: Kernel,
    nics: Vec<Nic>,
    memory: u32,
    cpus: u32,
    reboots: bool,
    /// Path in the guest → path here.
    files: BTreeMap<PathBuf, PathBuf>,
    /// Those of the files that were made for this and are to be removed.
    made: Made,
    arguments: Vec<String>,
    incoming: Option<u16>,
}

impl VmBuilder {
    pub(super) fn new(name: &str) -> VmBuilder {
        VmBuilder {
            name: name.into(),
            kernel: Kernel::Newest,
            nics: Vec::new(),
            memory: 256,
            cpus: 1,
            reboots: false,
            files: BTreeMap::new(),
            made: Made::default(),
            arguments: Vec::new(),
            incoming: None,
        }
    }

    /// Its kernel; the newest unless told.
    pub fn kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Adds a network card: `eth0`, `eth1`, … in the guest.
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nics.push(nic);
        self
    }

    /// Its memory, in MiB; 256 unless told. Half of it holds the files of the guest.
    pub fn memory(mut self, mib: u32) -> Self {
        self.memory = mib;
        self
    }

    /// Its CPUs; one unless told.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// A reboot begins anew instead of ending QEMU; see [`Vm::wait_ready`].
    pub fn reboots(mut self) -> Self {
        self.reboots = true;
        self
    }

    /// Brings a file along.
    pub fn file(mut self, here: impl AsRef<Path>, in_guest: impl AsRef<Path>) -> Self {
        self.files.insert(in_guest.as_ref().into(), here.as_ref().into());
        self
    }

    /// Brings a program along, with the libraries that it needs and without what only a debugger reads, which is most of it.
    #[track_caller]
    pub fn program(mut self, here: impl AsRef<Path>, in_guest: impl AsRef<Path>) -> Self {
        let output = Command::new("ldd").arg(here.as_ref()).output().expect("ldd");
        for word in String::from_utf8_lossy(&output.stdout).split_whitespace() {
            if word.starts_with('/') {
                self.files.insert(word.into(), word.into());
            }
        }
        let slim = std::env::temp_dir().join(crate::unique_name());
        let status = Command::new("strip").arg("-g").arg("-o").arg(&slim).arg(here.as_ref()).status();
        assert!(status.is_ok_and(|status| status.success()), "strip {}", here.as_ref().display());
        self.made.0.push(slim.clone());
        self.file(slim, in_guest)
    }

    /// More arguments for QEMU.
    pub fn qemu(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Waits for another QEMU's guest, on this port of the namespace's loopback: use with [`Self::launch`], and see [`Vm::migrate`].
    /// Both must be alike in all but their back ends.
    pub fn incoming(mut self, port: u16) -> Self {
        self.incoming = Some(port);
        self
    }

    /// Starts QEMU in this namespace, and waits until the guest answers.
    #[track_caller]
    pub fn start(self, ns: &Namespace) -> Vm {
        let vm = self.launch(ns);
        vm.wait_ready();
        vm
    }

    /// Starts QEMU in this namespace and leaves the waiting to the caller, who may start others meanwhile.
    #[track_caller]
    pub fn launch(self, ns: &Namespace) -> Vm {
        self.launch_by(ns, |qemu, arguments| ns.command(qemu, arguments))
    }

    /// The same with a command that the caller makes of QEMU's name and its arguments.
    #[track_caller]
    pub fn launch_by(self, ns: &Namespace, command: impl FnOnce(&str, &[String]) -> Command) -> Vm {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let console =
            format!("xbr-{}-{}-{}", std::process::id(), self.name, NUMBER.fetch_add(1, Ordering::Relaxed));
        let files = (!self.files.is_empty()).then(|| self.archive());
        let arguments = self.command_line(&console, files.as_ref());
        let process = Process::spawn(command("qemu-system-x86_64", &arguments));
        let stream = connect(ns, &console).unwrap_or_else(|e| panic!("{}: {e}\n{process}", self.name));
        let qemu = Qemu {
            process,
            ns: ns.clone(),
            monitor: monitor_name(&console),
            incoming: self.incoming.map(incoming_uri),
            _files: files,
        };
        Vm { name: self.name, console: Console::new(stream), runner: Runner::Qemu(qemu) }
    }

    fn command_line(&self, console: &str, files: Option<&File>) -> Vec<String> {
        let image = self.kernel.dir();
        let accelerator = image::accelerator();
        let cpu = if accelerator == "kvm" { "host" } else { "Nehalem" };
        let mut append = KERNEL_WORDS.to_owned();
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(ToString::to_string));
        add(&["-M", "q35", "-accel", &accelerator, "-cpu", cpu, "-m", &self.memory.to_string()]);
        add(&["-smp", &self.cpus.to_string(), "-nodefaults", "-no-user-config", "-display", "none"]);
        add(&["-chardev", "stdio,id=log,signal=off", "-serial", "chardev:log"]);
        let line = format!("socket,id=line,path={console},abstract=on,server=on,wait=off");
        add(&["-chardev", &line, "-serial", "chardev:line"]);
        let monitor = format!("socket,id=qmp,path={},abstract=on,server=on,wait=off", monitor_name(console));
        add(&["-chardev", &monitor, "-mon", "chardev=qmp,mode=control"]);
        if let Some(port) = self.incoming {
            add(&["-incoming", &incoming_uri(port)]);
        }
        if !self.reboots {
            add(&["-no-reboot"]);
        }
        if let Some(files) = files {
            let path = format!("/proc/{}/fd/{}", std::process::id(), files.as_raw_fd());
            add(&["-drive", &format!("file={path},format=raw,if=virtio,readonly=on")]);
            append.push_str(" xbr.files");
        }
        add(&["-kernel", &image.join("vmlinuz").to_string_lossy()]);
        add(&["-initrd", &image.join("initramfs").to_string_lossy(), "-append", &append]);
        for (number, nic) in self.nics.iter().enumerate() {
            arguments.extend(nic.arguments(number));
        }
        arguments.extend(self.arguments.iter().cloned());
        arguments
    }

    /// The files as a tar archive that has no name.
    #[track_caller]
    fn archive(&self) -> File {
        let path = std::env::temp_dir().join(crate::unique_name());
        let file = File::create_new(&path).expect("a file in the temporary directory");
        let mut tar = Command::new("tar");
        tar.args(["-c", "--dereference", "--absolute-names", "-f"]).arg(&path);
        for (in_guest, here) in &self.files {
            // Each file is renamed by a pattern of its own: tar takes them from wherever they are.
            tar.arg(format!("--transform=s,^{}$,{},", here.display(), in_guest.display()));
            tar.arg(here);
        }
        let status = tar.status().expect("tar");
        std::fs::remove_file(&path).expect("the archive");
        assert!(status.success(), "tar: {status}");
        file
    }
}

/// Files that go with this.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn monitor_name(console: &str) -> String {
    format!("{console}-qmp")
}

fn incoming_uri(port: u16) -> String {
    format!("tcp:127.0.0.1:{port}")
}
