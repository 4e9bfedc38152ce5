//! `xbr`.

fn main() -> std::process::ExitCode {
    bridge_user::cli::main()
}
