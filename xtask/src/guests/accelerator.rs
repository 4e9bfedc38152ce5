//! May guests run on the hardware?

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// On hardware the kernel is through in two seconds.
const PATIENCE: Duration = Duration::from_secs(6);

/// `kvm` if a guest has booted on it just now. The device can be opened on machines where the guest then hangs for ever.
pub fn probe(image: &Path) -> Option<&'static str> {
    static BOOTED: OnceLock<bool> = OnceLock::new();
    BOOTED.get_or_init(|| boots(image)).then_some("kvm")
}

fn boots(image: &Path) -> bool {
    if fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return false;
    }
    // A word on the command line that no init understands, and a panic that ends the machine: booted is ended by itself.
    let qemu = Command::new("qemu-system-x86_64")
        .args([
            "-M",
            "q35",
            "-accel",
            "kvm",
            "-cpu",
            "host",
            "-m",
            "256",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
        ])
        .arg("-kernel")
        .arg(image.join("vmlinuz"))
        .args(["-append", "panic=-1 rdinit=/none"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let booted = qemu.is_ok_and(ends_well);
    if !booted {
        eprintln!("xtask: /dev/kvm is there and boots nothing within {PATIENCE:?}; guests are emulated");
    }
    booted
}

fn ends_well(mut qemu: Child) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match qemu.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(_) => break,
        }
    }
    // What hangs in the kernel may take its time to die, and nobody waits for it.
    let _ = qemu.kill();
    false
}
