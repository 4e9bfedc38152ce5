//! Names of bridges, checked once. A name becomes part of paths: a folder of bpffs, a socket below `/run/xbr`.

use std::{fmt, str::FromStr};

/// A bridge's name: 1 to 15 letters, digits, `-` or `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeName(String);

/// A text that cannot name a bridge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name a bridge: write 1 to 15 letters, digits, '-' or '_', as in xbr0")]
pub struct InvalidBridgeName(String);

impl FromStr for BridgeName {
    type Err = InvalidBridgeName;

    fn from_str(text: &str) -> Result<Self, InvalidBridgeName> {
        let fits = (1..=15).contains(&text.len());
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if fits && plain { Ok(Self(text.into())) } else { Err(InvalidBridgeName(text.into())) }
    }
}

impl BridgeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BridgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_name_can_be_a_folder_of_bpffs() {
        for good in ["xbr0", "a", "vm-net_1", "abcdefghijklmno"] {
            assert_eq!(good.parse::<BridgeName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a.b", "a/b", "a b", "abcdefghijklmnop", "é"] {
            assert!(bad.parse::<BridgeName>().is_err(), "{bad:?}");
        }
    }
}
