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

/// A connection to the controller of a bridge.
pub struct Connection {
    bridge: BridgeName,
    frames: Frames,
}

impl Connection {
    /// Opens one.
    pub async fn open(bridge: &BridgeName) -> Result<Self, Error> {
        let path = socket_path(bridge);
        let stream = UnixStream::connect(&path).await.map_err(|source| Error::NoController {
            bridge: bridge.clone(),
            path,
            source,
        })?;
        Ok(Self { bridge: bridge.clone(), frames: frames(stream) })
    }

    /// Says something.
    pub async fn say(&mut self, request: &Request) -> Result<(), Error> {
        let said = self.frames.write(request).await;
        said.map_err(|error| self.error(error.into()))
    }

    /// Waits for the one answer.
    pub async fn answer(mut self) -> Result<Reply, Error> {
        let hung_up = || io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up without an answer");
        match self.frames.read().await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(self.error(hung_up().into())),
            Err(error) => Err(self.error(error)),
        }
    }

    fn error(&self, source: ReadError) -> Error {
        Error::Talk { bridge: self.bridge.clone(), source }
    }
}

/// Sends a request and gives the connection, for the answers.
pub async fn ask(bridge: &BridgeName, request: &Request) -> Result<Frames, Error> {
    let mut connection = Connection::open(bridge).await?;
    connection.say(request).await?;
    Ok(connection.frames)
}

/// Sends a request and waits for its one answer.
pub async fn call(bridge: &BridgeName, request: &Request) -> Result<Reply, Error> {
    let mut connection = Connection::open(bridge).await?;
    connection.say(request).await?;
    connection.answer().await
}
