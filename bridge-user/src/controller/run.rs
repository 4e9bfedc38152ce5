//! `xbr run`: the controller's life.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{Bridge, checks, lock, server};
use crate::{
    Error, Result,
    control::{Reply, Request},
    datapath::{Events, PinDir, Start},
    link::LinkWatch,
    settings::Settings,
};

/// After a batch of events the ring is left alone for so long, so that a busy guest wakes us in batches.
const EVENT_PAUSE: Duration = Duration::from_millis(20);

/// How long the answers of open connections may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How the controller's life ended.
enum End {
    Signal,
    Asked(tokio::sync::oneshot::Sender<Reply>),
}

/// Becomes the controller of a bridge until a signal or `xbr down` ends it.
pub fn run(settings: Settings) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start the event loop"))?;
    runtime.block_on(live(settings))
}

async fn live(settings: Settings) -> Result<()> {
    let began = Instant::now();
    // Before the lock: whoever may not run a bridge shall hear that, and not that a file cannot be opened.
    checks::environment()?;
    let _lock = lock::lock(&settings.bridge)?;
    // Before anything is attached: a signal that comes now must find the undo.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("watch for SIGINT"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("watch for SIGTERM"))?;
    // Before the first look at the devices, so that no change falls between.
    let mut watch = LinkWatch::open()?;
    let name = settings.bridge.clone();
    let (keep, ageing) = (settings.keep, settings.ageing_time);
    let (mut bridge, start) = match Bridge::start(settings) {
        Ok(started) => started,
        Err(error) => {
            // No other controller has them: we hold the lock. What a dead one left stays with its bridge.
            if !PinDir::of(&name)?.exists() {
                lock::unlink(&name)?;
            }
            return Err(error);
        }
    };
    let mut events = Events::open(&bridge.hands.pins)?;
    let listener = lock::listen(&name)?;
    let (asked, mut requests) = mpsc::channel(16);
    let server = tokio::spawn(server::serve(listener, asked, bridge.news.clone()));
    announce(&mut bridge, &start, began, ageing)?;

    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut quiet_until = tokio::time::Instant::now();
    let end = loop {
        let next_events = async {
            tokio::time::sleep_until(quiet_until).await;
            events.take().await
        };
        tokio::select! {
            _ = interrupt.recv() => break End::Signal,
            _ = terminate.recv() => break End::Signal,
            Some(event) = watch.next() => settled("follow a device", bridge.follow(event)),
            taken = next_events => {
                quiet_until = tokio::time::Instant::now() + EVENT_PAUSE;
                match taken {
                    Ok(events) => bridge.report(&events),
                    Err(error) => tracing::error!(%error, "cannot read the kernel's events"),
                }
            }
            Some(asked) = requests.recv() => match asked.request {
                Request::Down => break End::Asked(asked.answer),
                request => {
                    let reply = bridge.answer(request);
                    // The client may have gone away meanwhile.
                    let _ = asked.answer.send(reply);
                }
            },
            _ = second.tick() => {
                settled("sweep the FDB", bridge.sweep());
                notify(&[NotifyState::Watchdog]);
            }
        }
    };
    server.abort();
    finish(&mut bridge, end, keep)?;
    // Monitors end with the bridge; whoever asked for the end still has to hear of it.
    drop(bridge);
    let hung_up = async { while requests.recv().await.is_some() {} };
    if tokio::time::timeout(LAST_WORDS, hung_up).await.is_err() {
        tracing::warn!("a control connection did not end");
    }
    lock::unlink(&name)
}

/// One failure does not end a bridge that forwards.
fn settled(what: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "cannot {what}");
    }
}

fn announce(bridge: &mut Bridge, start: &Start, began: Instant, ageing: u32) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut say = |line: &str| writeln!(out, "{line}").map_err(Error::io("write to standard output"));
    match start {
        Start::Fresh => {}
        Start::Adopted => say("took over what was forwarding")?,
        Start::Rebuilt(reason) => say(&format!("made the tables anew ({reason})"))?,
    }
    for note in bridge.notes.drain(..) {
        say(&note)?;
    }
    say("ready")?;
    drop(out);
    tracing::info!(milliseconds = began.elapsed().as_millis() as u64, ageing, "ready");
    notify(&[NotifyState::Ready]);
    Ok(())
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

fn finish(bridge: &mut Bridge, end: End, keep: bool) -> Result<()> {
    notify(&[NotifyState::Stopping]);
    if keep && matches!(end, End::Signal) {
        tracing::info!("gone; the kernel goes on forwarding");
        return Ok(());
    }
    let outcome = bridge.take_down();
    if let End::Asked(answer) = end {
        let reply = match &outcome {
            Ok(()) => Reply::Done { notes: Vec::new() },
            Err(error) => Reply::Failed { message: error.to_string() },
        };
        // The client may have gone away meanwhile.
        let _ = answer.send(reply);
    }
    outcome
}
