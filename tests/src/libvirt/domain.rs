//! Domains: guests of libvirt.

use std::os::unix::net::UnixStream;
use std::process::Output;
use std::time::Duration;

use super::Libvirt;
use crate::vm::{KERNEL_WORDS, Kernel, Vm};
use crate::wait_until;

/// A domain in the making: `Domain::new("vm1").on("xbr0").ethernet(mac, "").launch(&libvirt)`.
#[derive(Clone, Debug)]
pub struct Domain {
    name: String,
    uuid: String,
    kernel: Kernel,
    metadata: String,
    interfaces: String,
}

impl Domain {
    /// A domain of this name with the kernel that most run.
    pub fn new(name: &str) -> Self {
        let (metadata, interfaces) = (String::new(), String::new());
        // Of its own in all the tests of the machine, since xbr remembers domains by it.
        let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("a random number");
        Self { name: name.to_owned(), uuid, kernel: Kernel::V6_12, metadata, interfaces }
    }

    /// What the domain's metadata says.
    pub fn metadata(mut self, xml: &str) -> Self {
        self.metadata = xml.to_owned();
        self
    }

    /// Names a bridge of xbr in the metadata.
    pub fn on(self, bridge: &str) -> Self {
        self.metadata(&format!("<xbr:bridge xmlns:xbr='urn:xbr:libvirt:1' name='{bridge}'/>"))
    }

    /// Adds an interface of type ethernet, whose TAP libvirt makes unless `more` says otherwise.
    pub fn ethernet(self, mac: impl ToString, more: &str) -> Self {
        self.interface("ethernet", mac, more)
    }

    /// Adds an interface: its type, and what else its element holds.
    pub fn interface(mut self, kind: &str, mac: impl ToString, more: &str) -> Self {
        let mac = mac.to_string();
        self.interfaces += &format!(
            "<interface type='{kind}'><mac address='{mac}'/><model type='virtio'/>{more}</interface>\n"
        );
        self
    }

    /// The XML.
    pub fn xml(&self) -> String {
        let Self { name, uuid, kernel, metadata, interfaces } = self;
        let image = kernel.dir();
        let image = image.display();
        // Without acpi libvirt 9.0 passes an option that QEMU 10 no longer has.
        format!(
            "<domain type='qemu'>
            <name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>256</memory><vcpu>1</vcpu>
            <metadata>{metadata}</metadata>
            <os>
              <type arch='x86_64' machine='q35'>hvm</type>
              <kernel>{image}/vmlinuz</kernel><initrd>{image}/initramfs</initrd>
              <cmdline>{KERNEL_WORDS}</cmdline>
            </os>
            <features><acpi/><apic/></features>
            <cpu mode='custom'><model>Nehalem</model></cpu>
            <on_reboot>restart</on_reboot>
            <devices>
              <emulator>/usr/bin/qemu-system-x86_64</emulator>
              {interfaces}
              <serial type='file'><source path='{GUESTS}/{name}.log'/><target port='0'/></serial>
              <serial type='unix'><source mode='bind' path='{GUESTS}/{name}'/><target port='1'/></serial>
              <memballoon model='none'/>
            </devices>
            </domain>"
        )
    }

    /// Defines the domain, starts it, and leaves the waiting ([`Vm::wait_ready`]) to the caller, who may start others
    /// meanwhile.
    #[track_caller]
    pub fn launch(&self, libvirt: &Libvirt) -> Vm {
        let output = self.try_start(libvirt);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} does not start: {errors}", self.name);
        let file = |name: &str| libvirt.path(&format!("{GUESTS}/{name}"));
        let socket = file(&self.name);
        let mut line = None;
        // At once, since the agent greets only once.
        wait_until(Duration::from_secs(10), || {
            line = UnixStream::connect(&socket).ok();
            line.is_some()
        });
        let line = line.unwrap_or_else(|| panic!("nobody listens at {}", socket.display()));
        Vm::elsewhere(&self.name, line, file(&format!("{}.log", self.name)))
    }

    /// Defines the domain and starts it; for a start that may be refused.
    #[track_caller]
    pub fn try_start(&self, libvirt: &Libvirt) -> Output {
        libvirt.from_xml("define", &self.xml());
        libvirt.virsh(&format!("start {}", self.name))
    }
}

/// Where the guests' serial lines are, as libvirt sees it.
const GUESTS: &str = "/run/libvirt/guests";
