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

/// Reads one message.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    // The version first: the body of another one need not make sense to us.
    let message: serde_json::Value = serde_json::from_slice(bytes)?;
    match message.get("version").and_then(serde_json::Value::as_u64) {
        Some(theirs) if theirs == u64::from(VERSION) => {
            Ok(serde_json::from_value::<Envelope<T>>(message)?.body)
        }
        theirs => Err(ReadError::Version { theirs: theirs.unwrap_or(0) }),
    }
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
        let bytes = serde_json::to_vec(&Envelope { version: VERSION, body }).map_err(io::Error::other)?;
        self.0.send(Bytes::from(bytes)).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::control::Request;

    /// Words of the protocol and of JSON.
    const WORDS: [&str; 25] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "true",
        "0",
        "-1",
        "4095",
        "1e400",
        "\"version\"",
        "\"body\"",
        "\"verb\"",
        "\"port-set\"",
        "\"fdb-add\"",
        "\"tap-add\"",
        "\"lend\"",
        "\"ifname\"",
        "\"vm1\"",
        "\"options\"",
        "\"policy\"",
        "\"mac\"",
        "\"vlan\"",
    ];

    fn near(body: &str) -> Vec<u8> {
        format!("{{\"version\":{VERSION},\"body\":{body}}}").into_bytes()
    }

    fn request() -> Vec<u8> {
        near(
            r#"{"verb":"port-set","ifname":"vm1","options":{"learning":"off","mac":["52:54:00:00:00:01"]},"up":true}"#,
        )
    }

    /// What can be read says the same when it is written and read again.
    fn reads(bytes: &[u8]) {
        if let Ok(request) = decode::<Request>(bytes) {
            let written = serde_json::to_vec(&Envelope { version: VERSION, body: &request }).unwrap();
            assert_eq!(decode::<Request>(&written).unwrap(), request);
        }
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes: Vec<u8>) {
            reads(&bytes);
        }

        #[test]
        fn no_near_message_panics(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..24)) {
            reads(&near(&words.concat()));
        }

        #[test]
        fn no_changed_message_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let mut bytes = request();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            reads(&bytes);
        }
    }

    #[test]
    fn a_message_of_another_version_is_called_that_whatever_it_says() {
        assert!(decode::<Request>(&request()).is_ok());
        let other = br#"{"version":1,"body":{"verb":"no such one"}}"#;
        assert!(matches!(decode::<Request>(other), Err(ReadError::Version { theirs: 1 })));
        assert!(matches!(decode::<Request>(b"{}"), Err(ReadError::Version { theirs: 0 })));
        assert!(matches!(decode::<Request>(&near("7")), Err(ReadError::Malformed(_))));
    }
}
