//! Names of interfaces, checked once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name in bytes: the kernel's `IFNAMSIZ` less the closing zero.
const LONGEST: usize = 15;

/// A name that the kernel would accept for an interface: 1 to 15 bytes, fit for a path below `/proc/sys/net`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(String);

/// Why a text is no name of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing at all.
    #[error("an interface name cannot be empty")]
    Empty,
    /// More than 15 bytes.
    #[error("the interface name {name:?} has {} bytes, and the kernel takes at most {LONGEST}", name.len())]
    TooLong {
        /// The text.
        name: String,
    },
    /// A byte that the kernel refuses.
    #[error("the interface name {name:?} contains {found:?}, which the kernel does not allow")]
    Forbidden {
        /// The text.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// A word that means something else where names are looked up.
    #[error("{name:?} cannot be the name of an interface")]
    Reserved {
        /// The text.
        name: String,
    },
}

impl InvalidName {
    /// What to do about it, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => "name an interface as `ip link` shows it, such as eth0",
            Self::TooLong { .. } => "choose a shorter name, such as vm1",
            Self::Forbidden { .. } => "use letters, digits, '-', '_' and '.'",
            Self::Reserved { .. } => {
                "\".\", \"..\", \"all\" and \"default\" are taken by the kernel; choose another name"
            }
        }
    }
}

impl InterfaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `dev_valid_name` refuses this character. The kernel's `isspace` reads bytes as Latin-1, so it takes
/// the byte 0xa0 for a space wherever UTF-8 has it; '%' would make a pattern of the name (`dev_get_valid_name`).
fn forbidden(character: char) -> bool {
    let kernel_space = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0);
    let mut utf8 = [0; 4];
    matches!(character, '/' | ':' | '%' | '\0') || character.encode_utf8(&mut utf8).bytes().any(kernel_space)
}

impl FromStr for InterfaceName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let name = text.to_string();
        if text.is_empty() {
            Err(InvalidName::Empty)
        } else if text.len() > LONGEST {
            Err(InvalidName::TooLong { name })
        } else if let Some(found) = text.chars().find(|&character| forbidden(character)) {
            Err(InvalidName::Forbidden { name, found })
        } else if matches!(text, "." | ".." | "all" | "default") {
            // `sysctl_dev_name_is_allowed` refuses "all" and "default"; as a path they would mean every interface.
            Err(InvalidName::Reserved { name })
        } else {
            Ok(Self(name))
        }
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> Self {
        name.0
    }
}

impl AsRef<str> for InterfaceName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testing;

    #[test]
    fn good_names_pass() {
        for name in ["eth0", "x", "vm-1_a.100", "abcdefghijklmno", "tap✓"] {
            assert_eq!(name.parse::<InterfaceName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn bad_names_say_why() {
        let why = |name: &str| name.parse::<InterfaceName>().unwrap_err().to_string();
        assert_eq!(why(""), "an interface name cannot be empty");
        assert_eq!(
            why("abcdefghijklmnop"),
            "the interface name \"abcdefghijklmnop\" has 16 bytes, and the kernel takes at most 15"
        );
        assert_eq!(why("a b"), "the interface name \"a b\" contains ' ', which the kernel does not allow");
        assert_eq!(why(".."), "\"..\" cannot be the name of an interface");
    }

    #[test]
    fn json_is_a_checked_text() {
        assert_eq!(serde_json::from_str::<InterfaceName>("\"eth0\"").unwrap().as_str(), "eth0");
        assert!(serde_json::from_str::<InterfaceName>("\"a/b\"").is_err());
    }

    #[test]
    fn the_kernel_agrees() {
        testing::in_new_namespace(|| {
            for name in ["a/b", "a:b", "a%b", "a b", "a\u{b}b", "aà", "..", "all", "default"] {
                assert!(name.parse::<InterfaceName>().is_err(), "{name:?}");
                assert!(!testing::try_run(&["ip", "link", "add", "name", name, "type", "veth"]), "{name:?}");
            }
            for name in ["a-b", "a\u{1}b", "aé", "a.b", "abcdefghijklmno"] {
                assert!(name.parse::<InterfaceName>().is_ok(), "{name:?}");
                assert!(testing::try_run(&["ip", "link", "add", "name", name, "type", "veth"]), "{name:?}");
            }
        });
    }
}
