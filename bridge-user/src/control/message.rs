//! Messages as bytes.

use std::io;

use serde::{Serialize, de::DeserializeOwned};

use super::protocol::{Envelope, VERSION};

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
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    // The version first: the body of another one need not make sense to us.
    let message: serde_json::Value = serde_json::from_slice(bytes)?;
    match message.get("version").and_then(serde_json::Value::as_u64) {
        Some(theirs) if theirs == u64::from(VERSION) => {
            Ok(serde_json::from_value::<Envelope<T>>(message)?.body)
        }
        theirs => Err(ReadError::Version { theirs: theirs.unwrap_or(0) }),
    }
}

/// Writes one message.
pub fn encode<T: Serialize>(body: &T) -> io::Result<Vec<u8>> {
    serde_json::to_vec(&Envelope { version: VERSION, body }).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::control::{Request, laws::message as reads};

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

    /// Every verb, what the fuzzer kept, and every crash that it found.
    #[test]
    fn messages_of_the_corpus_keep_the_laws() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/control");
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut understood = 0;
        for file in files {
            // Seen only when a law is broken.
            eprintln!("{}", file.display());
            understood += usize::from(reads(&std::fs::read(&file).unwrap()));
        }
        assert!(understood >= 30, "only {understood} of {} are messages", folder.display());
    }
}
