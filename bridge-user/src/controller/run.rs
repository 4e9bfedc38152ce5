//! `xbr run`: the controller's life.

use std::{
    convert::Infallible,
    io::Write as _,
    pin::pin,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{Bridge, checks, lock, server};
use crate::{
    Error, Result,
    control::{Reply, Request},
    datapath::{Events, Loader, PinDir, Snooped, Start, Tables},
    link::{LinkWatch, Links, RuleWatch},
    metrics,
    plan::Probe,
    settings::Settings,
    snapshot::Snapshot,
};

/// After a batch of events the ring is left alone for so long, so that a busy guest wakes us in batches.
const EVENT_PAUSE: Duration = Duration::from_millis(20);

/// After word of a change of rules nobody looks at them for so long: they change in batches.
const RULES_PAUSE: Duration = Duration::from_millis(100);

/// Longer than any controller lives.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

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
    // Before the lock: who lacks the privileges must hear of those, and not of a file in /run.
    let probe = checks::environment()?;
    let _lock = lock::lock(&settings.bridge)?;
    let loader = Loader::prepare();
    let name = settings.bridge.clone();
    let outcome = hold(settings, &probe, loader, began).await;
    // No other controller has socket and lock: we hold it. What a dead one left stays with its bridge.
    if outcome.is_ok() || !PinDir::of(&name)?.exists() {
        lock::unlink(&name)?;
    }
    outcome
}

/// From the first look at the machine to the last undo.
async fn hold(settings: Settings, probe: &Probe, loader: Loader, began: Instant) -> Result<()> {
    let keep = settings.keep;
    let mut senses = Senses::open(&settings).await?;
    let (mut bridge, start) = Bridge::start(settings, probe, loader)?;
    let (asked, mut requests) = mpsc::channel(16);
    let end = match attend(&mut bridge, &start, began, &mut senses, asked, &mut requests).await {
        Ok(end) => end,
        Err(error) => {
            // What was forwarding before goes on forwarding.
            if start == Start::Fresh {
                bridge.take_down()?;
            }
            return Err(error);
        }
    };
    finish(&mut bridge, end, keep)?;
    // Monitors end with the bridge; whoever asked for the end still has to hear of it.
    drop(bridge);
    let hung_up = async { while requests.recv().await.is_some() {} };
    if tokio::time::timeout(LAST_WORDS, hung_up).await.is_err() {
        tracing::warn!("a control connection did not end");
    }
    Ok(())
}

/// What the controller listens to, opened before anything is attached: a signal that comes during the start
/// must find the undo, no change of a device may fall between, and a metrics port in use is bad input.
struct Senses {
    interrupt: Signal,
    terminate: Signal,
    watch: LinkWatch,
    rules: RuleWatch,
    metrics: Option<metrics::Server>,
}

impl Senses {
    async fn open(settings: &Settings) -> Result<Self> {
        let metrics = match settings.metrics {
            Some(address) => Some(metrics::Server::bind(address).await?),
            None => None,
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(Error::io("watch for SIGINT"))?,
            terminate: signal(SignalKind::terminate()).map_err(Error::io("watch for SIGTERM"))?,
            watch: LinkWatch::open()?,
            rules: RuleWatch::open()?,
            metrics,
        })
    }
}

/// Looks after the bridge until somebody ends it.
async fn attend(
    bridge: &mut Bridge,
    start: &Start,
    began: Instant,
    senses: &mut Senses,
    asked: mpsc::Sender<server::Asked>,
    requests: &mut mpsc::Receiver<server::Asked>,
) -> Result<End> {
    let pins = bridge.hands.pins.clone();
    let mut events = Events::open(&pins)?;
    let mut snooped = Snooped::open(&pins)?;
    let listener = lock::listen(pins.bridge())?;
    let mut serving = pin!(server::serve(listener, asked, bridge.news.clone()));
    let mut scraping = pin!(serve_metrics(senses.metrics.take(), &pins));
    announce(bridge, start, began)?;

    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look_at_rules = None;
    let mut quiet_until = tokio::time::Instant::now();
    let mut deaf_until = quiet_until;
    loop {
        settled("work out who gets copies of floods", bridge.settle_floods());
        let next_events = async {
            tokio::time::sleep_until(quiet_until).await;
            events.take().await
        };
        let next_frames = async {
            tokio::time::sleep_until(deaf_until).await;
            snooped.take().await
        };
        let groups_pause = bridge.multicast_pause();
        tokio::select! {
            _ = senses.interrupt.recv() => return Ok(End::Signal),
            _ = senses.terminate.recv() => return Ok(End::Signal),
            heard = senses.rules.changed(), if look_at_rules.is_none() => match heard {
                Ok(()) => look_at_rules = Some(tokio::time::Instant::now() + RULES_PAUSE),
                Err(error) => {
                    tracing::error!(%error, "rules of others are not watched any longer");
                    look_at_rules = Some(tokio::time::Instant::now() + NEVER);
                }
            },
            () = tokio::time::sleep_until(look_at_rules.unwrap_or(quiet_until)), if look_at_rules.is_some() => {
                look_at_rules = None;
                settled("look at the rules of others", bridge.rules_changed());
            }
            Some(event) = senses.watch.next() => {
                settled("follow a device", bridge.follow(event));
                settled("look behind the host", bridge.look_behind_host());
            }
            taken = next_events => {
                quiet_until = tokio::time::Instant::now() + EVENT_PAUSE;
                match taken {
                    Ok(events) => settled("do what the kernel's events ask for", bridge.report(&events)),
                    Err(error) => tracing::error!(%error, "cannot read the kernel's events"),
                }
            }
            taken = next_frames => {
                deaf_until = tokio::time::Instant::now() + EVENT_PAUSE;
                match taken {
                    Ok(seen) => settled("follow who is in which group", bridge.snooped(&seen)),
                    Err(error) => tracing::error!(%error, "cannot read the frames that the kernel shows"),
                }
            }
            () = tokio::time::sleep(groups_pause.unwrap_or(NEVER)), if groups_pause.is_some() => {
                settled("let the time of groups pass", bridge.multicast_tick());
            }
            Some(asked) = requests.recv() => match asked {
                server::Asked::Load { runs, answer } => {
                    let reply = bridge.answer_load(&runs);
                    let _ = answer.send(reply);
                }
                server::Asked::CaptureEnded => settled("end a capture", bridge.end_capture()),
                server::Asked::Request { request: Request::Down, answer } => return Ok(End::Asked(answer)),
                server::Asked::Request { request, answer } => {
                    let reply = bridge.answer(request);
                    // The client may have gone away meanwhile.
                    let _ = answer.send(reply);
                }
            },
            () = tokio::time::sleep_until(bridge.probe_due().unwrap_or(quiet_until)), if bridge.probe_due().is_some() => {
                settled("look for loops", bridge.probe_on());
            }
            () = &mut serving => return Err(Error::Controller("the control socket's server ended".into())),
            outcome = &mut scraping => match outcome? {},
            _ = second.tick() => {
                settled("look for BPDUs", bridge.watch_bpdus());
                settled("look for loops", bridge.watch_loops());
                settled("sweep the neighbours", bridge.sweep_neighbours());
                settled("sweep the FDB", bridge.sweep());
                settled("look behind the host", bridge.look_behind_host());
                settled("look after the TC filters", bridge.keep_filters());
                settled("look after groups", bridge.multicast_second());
                notify(&[NotifyState::Watchdog]);
            }
        }
    }
}

/// Gives the metrics away, if asked to. The tables are opened anew: what is pinned is all it takes.
async fn serve_metrics(server: Option<metrics::Server>, pins: &PinDir) -> Result<Infallible> {
    let Some(server) = server else { return std::future::pending().await };
    let (tables, links) = (Tables::open(pins)?, Links::open()?);
    let render = || metrics::render(Snapshot::read(pins.bridge(), &tables, &links)?);
    Ok(server.run(render).await)
}

/// One failure does not end a bridge that forwards.
fn settled(what: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "cannot {what}");
    }
}

fn announce(bridge: &mut Bridge, start: &Start, began: Instant) -> Result<()> {
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
    tracing::info!(milliseconds = began.elapsed().as_millis() as u64, "ready");
    notify(&[NotifyState::Ready]);
    give_memory_back();
    Ok(())
}

/// What a start took for the kernel's types and the programs, several megabytes that glibc would keep for later: once it has freed so large a
/// piece, it takes the next ones from the heap (`M_MMAP_THRESHOLD` in mallopt(3)).
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes only pages that nobody uses.
    unsafe {
        libc::malloc_trim(0);
    }
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
