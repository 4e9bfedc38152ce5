//! xbr in a lab of its own: what `cargo xtask run` without arguments shows to a newcomer.
//!
//! A namespace with an `eth0`, an outside station that serves DHCP, two guests on TAPs, and xbr between them.
//! Nothing of it has a name in the file system but the bridge's pins, which xbr removes at the end.

use std::{
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use xbr_lab::{GuestKind, Segment, TapsBy, Xbr, dhcp, ping, remove_stale_bridges, tcp_transfer};

/// Set by SIGINT and SIGTERM.
static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: i32) {
    STOP.store(true, Ordering::Relaxed);
}

fn main() -> ExitCode {
    match xbr().and_then(|xbr| show(&xbr)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xbr-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The words of the command line: `--xbr PATH`, or the `xbr` beside this program.
fn xbr() -> Result<PathBuf> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.as_slice() {
        [] => {
            Ok(std::env::current_exe().context("cannot find xbr beside this program")?.with_file_name("xbr"))
        }
        [flag, path] if flag == "--xbr" => Ok(path.into()),
        _ => bail!("the only option is --xbr PATH"),
    }
}

fn show(xbr: &std::path::Path) -> Result<()> {
    let program = xbr.to_str().context("the path of xbr is no text")?;
    let action = SigAction::new(SigHandler::Handler(stop), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler stores to an atomic and does nothing else.
        unsafe { sigaction(signal, &action) }.context("cannot watch for signals")?;
    }
    for stale in remove_stale_bridges() {
        println!("removed what an earlier lab had left: {stale}");
    }
    let mut segment = Segment::builder().guests(2, GuestKind::TapVnetHdr).build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(program, segment, "--log warn"));
    print!("{}", bridge.process.stdout_text().replace("ready\n", ""));
    let server = dhcp::Server::start(segment.outside(), [10, 77, 0, 100].into());
    for guest in segment.guests() {
        let lease = dhcp::acquire(guest, dhcp::Replies::Broadcast)?;
        println!("{} leased {lease:?} from outside", guest.ns.name());
    }
    let took = tcp_transfer(&segment.guest(1).ns, &segment.outside().ns, segment.outside().v4, 64 << 20)?;
    println!("{} sent 64 MiB to outside over TCP and back in {took:.1?}", segment.guest(1).ns.name());
    println!("ready");
    explain(program, &segment, &bridge.name);
    thread::scope(|scope| {
        scope.spawn(|| chatter(&segment));
        let outcome = table(program, &segment, &bridge.name);
        STOP.store(true, Ordering::Relaxed);
        outcome
    })?;
    drop(server);
    bridge.stop();
    println!("the lab is gone");
    Ok(())
}

fn explain(program: &str, segment: &Segment, bridge: &str) {
    let host = segment.host().ns.path();
    let guest = segment.guest(1).ns.path();
    println!("try in another terminal, as root:");
    println!("  nsenter --net={} {program} fdb show", host.display());
    println!("  nsenter --net={} {program} stats -w", host.display());
    println!("  nsenter --net={} {program} monitor", host.display());
    println!("  nsenter --net={} ping {}", guest.display(), segment.host().v4);
    println!("bridge {bridge}: Ctrl-C ends it and removes everything");
}

/// A frame now and then, so that there is something to see.
fn chatter(segment: &Segment) {
    while !STOP.load(Ordering::Relaxed) {
        for (from, to) in segment.pairs() {
            if STOP.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = ping(&from.ns, to.v4) {
                eprintln!("{} cannot reach {}: {error:#}", from.ns.name(), to.ns.name());
            }
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// `xbr top`, which shows a live table in a terminal and plain lines elsewhere.
fn table(program: &str, segment: &Segment, bridge: &str) -> Result<()> {
    let mut command: Command = segment.host().ns.command(program, ["top", "--bridge", bridge]);
    let mut top = command.stdin(Stdio::inherit()).spawn().with_context(|| format!("cannot run {program}"))?;
    loop {
        if let Some(status) = top.try_wait()? {
            let asked = STOP.load(Ordering::Relaxed) || status.success();
            return if asked { Ok(()) } else { Err(anyhow!("xbr top ended with {status}")) };
        }
        if STOP.load(Ordering::Relaxed) {
            // In a terminal it has had the signal too; this is for one that was sent to us alone.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(top.id() as i32), Signal::SIGTERM).ok();
            top.wait()?;
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
}
