//! What holds for every message, for the property tests, the fuzzer (`bridge-user/fuzz`) and the replay of what that found.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    message::{ReadError, decode, encode},
    protocol::{MAX_MESSAGE, Reply, Request},
};

/// Bytes as a client sends them, and as a controller does. Gives whether either could have said so.
pub fn message(bytes: &[u8]) -> bool {
    let (request, reply) = (says_the_same::<Request>(bytes), says_the_same::<Reply>(bytes));
    request || reply
}

/// Whatever can be read says the same when it is written and read again, and its words do not change any more.
fn says_the_same<T: DeserializeOwned + Serialize + Debug + PartialEq>(bytes: &[u8]) -> bool {
    let body = match decode::<T>(bytes) {
        Ok(body) => body,
        Err(ReadError::Io(error)) => panic!("there is nothing that could break: {error}"),
        Err(error) => {
            assert!(
                error.to_string().len() <= bytes.len() * 4 + 2000,
                "an error is longer than its cause: {error}"
            );
            return false;
        }
    };
    let written = encode(&body).expect("what was read can be written");
    assert_eq!(decode::<T>(&written).expect("what was written can be read"), body);
    // A default may be spelled out, and an omission filled in: so much is added once, and no more.
    assert!(
        written.len() <= bytes.len() * 2 + MAX_MESSAGE / 8,
        "{} bytes became {}",
        bytes.len(),
        written.len()
    );
    assert_eq!(encode(&decode::<T>(&written).expect("as above")).expect("as above"), written);
    true
}
