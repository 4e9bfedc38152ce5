//! The verbs' end of the control socket.

use std::{io, path::PathBuf};

use tokio::net::UnixStream;

use super::{Frames, ReadError, Reply, Request, frames, socket_path};
use crate::{datapath::BridgeName, error::words};

/// Why the controller could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("no controller is running for bridge {bridge} ({path}: {}); xbr run starts one", words(source))]
    NoController {
        /// Whose.
        bridge: BridgeName,
        /// Its socket.
        path: PathBuf,
        /// The kernel's words.
        source: io::Error,
    },
    /// The controller's answer cannot be understood.
    #[error("cannot talk with the controller of bridge {bridge}: {source}")]
    Talk {
        /// Whose.
        bridge: BridgeName,
        /// What happened.
        source: ReadError,
    },
}

/// Sends a request and gives the connection, for the answers.
pub async fn ask(bridge: &BridgeName, request: &Request) -> Result<Frames, Error> {
    let path = socket_path(bridge);
    let stream = UnixStream::connect(&path).await.map_err(|source| Error::NoController {
        bridge: bridge.clone(),
        path,
        source,
    })?;
    let mut frames = frames(stream);
    frames
        .write(request)
        .await
        .map_err(|error| Error::Talk { bridge: bridge.clone(), source: error.into() })?;
    Ok(frames)
}

/// Sends a request and waits for its one answer.
pub async fn call(bridge: &BridgeName, request: &Request) -> Result<Reply, Error> {
    let talk = |source| Error::Talk { bridge: bridge.clone(), source };
    let mut frames = ask(bridge, request).await?;
    let hung_up = || io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up without an answer");
    frames.read().await.map_err(talk)?.ok_or_else(|| talk(hung_up().into()))
}
