//! xbr (temporary)
fn main() {
    use bridge_user::{control::protocol::*, settings::*};
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(std::env::var("XBR_LOG").unwrap_or("info".into()))
        .init();
    let mut args = std::env::args().skip(1);
    let mut s = Settings {
        bridge: "xbr0".parse().unwrap(),
        uplink: "eth0".parse().unwrap(),
        uplink_hook: HookChoice::Auto,
        ports: vec![],
        ageing_time: 300,
        fdb_max: 65536,
        metrics: None,
        keep: false,
        log: None,
        #[cfg(feature = "lab")]
        lab: Default::default(),
    };
    while let Some(a) = args.next() {
        match a.as_str() {
            "--bridge" => s.bridge = args.next().unwrap().parse().unwrap(),
            "--port" => s.ports.push(PortSettings {
                ifname: args.next().unwrap().parse().unwrap(),
                hook: HookChoice::Auto,
                tap: None,
            }),
            "--tap" => s.ports.push(PortSettings {
                ifname: args.next().unwrap().parse().unwrap(),
                hook: HookChoice::Auto,
                tap: Some(TapOptions::default()),
            }),
            "--xdp" => {
                s.uplink_hook = HookChoice::Xdp;
                for p in &mut s.ports {
                    p.hook = HookChoice::Xdp
                }
            }
            "--keep" => s.keep = true,
            _ => panic!("{a}"),
        }
    }
    if let Err(e) = bridge_user::controller::run(s) {
        eprintln!("xbr: {e}");
        std::process::exit(e.exit_code().into())
    }
}
