//! `xbr-bridge-helper`: what QEMU and libvirt call in place of `qemu-bridge-helper`.

fn main() -> std::process::ExitCode {
    bridge_user::helper::main()
}
