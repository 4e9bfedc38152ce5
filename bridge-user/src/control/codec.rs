//! Messages on a socket.

use std::io;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::{
    message::{ReadError, decode, encode},
    protocol::MAX_MESSAGE,
};

/// One side of a control connection.
pub struct Frames(Framed<UnixStream, LengthDelimitedCodec>);

/// Messages over `stream`.
pub fn frames(stream: UnixStream) -> Frames {
    Frames(LengthDelimitedCodec::builder().max_frame_length(MAX_MESSAGE).new_framed(stream))
}

impl Frames {
    /// The user who connected, as the kernel noted it then.
    pub fn peer(&self) -> io::Result<u32> {
        Ok(self.0.get_ref().peer_cred()?.uid())
    }

    /// The next message; `None` when the other side hung up.
    pub async fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ReadError> {
        let Some(bytes) = self.0.next().await else { return Ok(None) };
        decode(&bytes?).map(Some)
    }

    /// Sends a message.
    pub async fn write<T: Serialize>(&mut self, body: &T) -> io::Result<()> {
        self.0.send(Bytes::from(encode(body)?)).await
    }
}
