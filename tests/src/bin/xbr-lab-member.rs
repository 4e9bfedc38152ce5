//! A member of a multicast group, for guests, whose busybox can join none.
//!
//! `xbr-lab-member DEV GROUP PORT [from SOURCE | without SOURCE]` joins, says `joined`, and prints each datagram on a line, until it is killed, by
//! which it leaves. With `send COUNT` it sends so many datagrams instead.

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    net::if_::if_nametoindex,
    sys::socket::{setsockopt, sockopt},
};
use xbr_lab::{Listener, Sources};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xbr-lab-member: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let [dev, group, port, rest @ ..] = words else { bail!("write DEV GROUP PORT") };
    let (group, port) = (group.parse::<IpAddr>()?, port.parse()?);
    let sources = match rest {
        [] => Sources::All,
        ["from", source] => Sources::Only(source.parse()?),
        ["without", source] => Sources::But(source.parse()?),
        ["send", count] => return send(dev, SocketAddr::new(group, port), count.parse()?),
        _ => bail!("from SOURCE, without SOURCE and send COUNT are known"),
    };
    let listener = Listener::join_here(dev, group, port, sources)?;
    println!("joined");
    loop {
        for datagram in listener.heard(Duration::from_millis(100))? {
            println!("{}", String::from_utf8_lossy(&datagram));
        }
    }
}

/// A little apart, so that an emulated receiver's ring holds them.
fn send(dev: &str, to: SocketAddr, count: u32) -> Result<()> {
    let (any, to): (IpAddr, _) = match to {
        SocketAddr::V4(_) => ([0; 4].into(), to),
        SocketAddr::V6(v6) => {
            let index = if_nametoindex(dev).with_context(|| dev.to_owned())?;
            ([0_u16; 8].into(), SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into())
        }
    };
    let socket = UdpSocket::bind((any, 0))?;
    setsockopt(&socket, sockopt::BindToDevice, &dev.into()).with_context(|| format!("bind to {dev}"))?;
    for number in 1..=count {
        socket
            .send_to(format!("datagram {number}").as_bytes(), to)
            .with_context(|| format!("send to {to}"))?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
