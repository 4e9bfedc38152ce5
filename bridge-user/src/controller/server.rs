//! The control socket's server: a task for each connection, which asks the controller's.

use tokio::{
    net::{UnixListener, UnixStream},
    sync::{broadcast, mpsc, oneshot},
};

use crate::control::{
    Event, Frames, Reply, Request, frames,
    protocol::{FdbPart, FdbRun},
};

/// What a connection has to say to the controller.
pub enum Asked {
    /// A request.
    Request {
        /// What is asked.
        request: Request,
        /// Where the answer goes.
        answer: oneshot::Sender<Reply>,
    },
    /// Stations, all parts of them.
    Load {
        /// In the order in which they came.
        runs: Vec<FdbRun>,
        /// Where the answer goes.
        answer: oneshot::Sender<Reply>,
    },
    /// Who captured has hung up.
    CaptureEnded,
}

/// Connections that are served at once; more wait.
const CONNECTIONS: usize = 64;
/// Of one load: as many as the largest table holds.
const MOST_STATIONS: usize = 1 << 24;

/// Serves the socket until the controller is gone.
pub async fn serve(listener: UnixListener, asked: mpsc::Sender<Asked>, news: broadcast::Sender<Event>) {
    let room = std::sync::Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (asked, news) = (asked.clone(), news.subscribe());
                tokio::spawn(async move {
                    if let Err(error) = talk(stream, asked, news).await {
                        tracing::debug!(%error, "a control connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                // Out of descriptors, most likely: give others time to close theirs.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn talk(
    stream: UnixStream,
    asked: mpsc::Sender<Asked>,
    news: broadcast::Receiver<Event>,
) -> Result<(), Failure> {
    let mut frames = frames(stream);
    let request = match frames.read::<Request>().await {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(()),
        Err(error) => {
            let hint = Some("use the xbr that the controller was started from".into());
            frames.write(&Reply::Refused { message: error.to_string(), hint }).await?;
            return Err(error.into());
        }
    };
    let peer = frames.peer()?;
    if !may_ask(peer, &request) {
        let message = format!("user {peer} may not ask this of the controller");
        frames.write(&Reply::Refused { message, hint: Some("try again with sudo".into()) }).await?;
        return Ok(());
    }
    if request == Request::Monitor {
        return monitor(frames, news).await;
    }
    let ports = match &request {
        Request::Capture(options) => Some(options.ports.clone()),
        _ => None,
    };
    let (answer, answered) = oneshot::channel();
    let request = match request {
        Request::FdbLoad(first) => {
            if let Some(runs) = collect(&mut frames, first).await? {
                asked.send(Asked::Load { runs, answer }).await?;
                frames.write(&answered.await?).await?;
            }
            return Ok(());
        }
        other => other,
    };
    asked.send(Asked::Request { request, answer }).await?;
    let reply = answered.await?;
    let done = matches!(reply, Reply::Done { .. });
    let written = frames.write(&reply).await;
    if let (true, Some(ports)) = (done, ports) {
        // However it ends, and even if the client is gone already.
        let outcome = if written.is_ok() { capture(frames, ports, news).await } else { Ok(()) };
        asked.send(Asked::CaptureEnded).await?;
        outcome?;
    }
    Ok(written?)
}

/// All parts of a load; none if the client hung up before the last one, or was sent away.
async fn collect(frames: &mut Frames, first: FdbPart) -> Result<Option<Vec<FdbRun>>, Failure> {
    let FdbPart { mut runs, mut more } = first;
    let mut count = stations(&runs);
    while more {
        let Some(request) = frames.read::<Request>().await? else { return Ok(None) };
        let Request::FdbLoad(part) = request else {
            return Err("something else came amidst the parts of a load".into());
        };
        more = part.more;
        count += stations(&part.runs);
        if count > MOST_STATIONS {
            let message = format!("these are more than {MOST_STATIONS} stations");
            let hint = Some("no table can hold as many; write fewer".into());
            frames.write(&Reply::Refused { message, hint }).await?;
            return Ok(None);
        }
        runs.extend(part.runs);
    }
    Ok(Some(runs))
}

fn stations(runs: &[FdbRun]) -> usize {
    runs.iter().map(|run| run.macs.0.len()).sum()
}

/// Waits until who captures hangs up, or until all of its ports are gone.
async fn capture(
    mut frames: Frames,
    mut ports: Vec<String>,
    mut news: broadcast::Receiver<Event>,
) -> Result<(), Failure> {
    loop {
        let event = tokio::select! {
            event = news.recv() => event,
            said = frames.read::<Request>() => match said? {
                Some(_) => continue,
                None => return Ok(()),
            },
        };
        match event {
            Ok(Event::PortRemoved(port)) => {
                ports.retain(|name| *name != port.ifname);
                if ports.is_empty() {
                    let message = format!("{} is no port any more", port.ifname);
                    return Ok(frames.write(&Reply::Failed { message }).await?);
                }
            }
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

/// The socket's mode lets only root in, and the bridge helper, which has opened it by a capability: it is trusted no
/// further than it must be.
fn may_ask(peer: u32, request: &Request) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    peer == 0 || peer == own || matches!(request, Request::Lend(loan) if loan.uid == peer)
}

async fn monitor(mut frames: Frames, mut news: broadcast::Receiver<Event>) -> Result<(), Failure> {
    loop {
        let event = tokio::select! {
            event = news.recv() => event,
            // A monitor says nothing more; when it hangs up we are done.
            said = frames.read::<Request>() => match said? {
                Some(_) => continue,
                None => return Ok(()),
            },
        };
        let event = match event {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(count)) => Event::Lost { count },
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        };
        frames.write(&Reply::Event(event)).await?;
    }
}
