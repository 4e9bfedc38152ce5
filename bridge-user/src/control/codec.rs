//! Messages on a socket.

use std::io;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::protocol::{Envelope, MAX_MESSAGE, VERSION};

/// One side of a control connection.
pub struct Frames(Framed<UnixStream, LengthDelimitedCodec>);

/// Messages over `stream`.
pub fn frames(stream: UnixStream) -> Frames {
    Frames(LengthDelimitedCodec::builder().max_frame_length(MAX_MESSAGE).new_framed(stream))
}

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The connection broke, or the message was too long.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side speaks another version.
    #[error("the other side speaks version {theirs} of the control protocol, this xbr speaks {VERSION}")]
    Version {
        /// What the other side speaks.
        theirs: u64,
    },
    /// Not a message.
    #[error("not a message of the control protocol: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Frames {
    /// The user who connected, as the kernel noted it then.
    pub fn peer(&self) -> io::Result<u32> {
        Ok(self.0.get_ref().peer_cred()?.uid())
    }

    /// The next message; `None` when the other side hung up.
    pub async fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ReadError> {
        let Some(bytes) = self.0.next().await else { return Ok(None) };
        // The version first: the body of another one need not make sense to us.
        let message: serde_json::Value = serde_json::from_slice(&bytes?)?;
        match message.get("version").and_then(serde_json::Value::as_u64) {
            Some(theirs) if theirs == u64::from(VERSION) => {
                Ok(Some(serde_json::from_value::<Envelope<T>>(message)?.body))
            }
            theirs => Err(ReadError::Version { theirs: theirs.unwrap_or(0) }),
        }
    }

    /// Sends a message.
    pub async fn write<T: Serialize>(&mut self, body: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec(&Envelope { version: VERSION, body }).map_err(io::Error::other)?;
        self.0.send(Bytes::from(bytes)).await
    }
}
