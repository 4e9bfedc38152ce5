//! What the bridge helper asks for on behalf of a guest.

use serde::{Deserialize, Serialize};

use crate::link::InterfaceName;

/// A TAP that the bridge helper has made and QEMU is about to get, to be a port for as long as it exists.
///
/// Whoever holds the TAP may give it to another owner (TUNSETOWNER wants no privilege), but not rename it. So its name says whose it
/// is, and that is what counts towards the limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// The TAP: `xu`, the user's number, `-`, and a number of its own.
    pub ifname: InterfaceName,
    /// The user for whom it is. The controller believes only root and the user themselves.
    pub uid: u32,
    /// The most such TAPs that the user may have on this bridge.
    pub limit: u32,
    /// The cookie of the network namespace that the TAP is in.
    pub namespace: u64,
}

impl Loan {
    /// The pattern from which the kernel makes the names of a user's TAPs. A name has at most 15 bytes, which leaves the user with
    /// the longest number two digits for TAPs.
    pub fn pattern(uid: u32) -> String {
        format!("xu{uid}-%d")
    }

    /// Whether a TAP of this name was made for this user.
    pub fn is_of(ifname: &str, uid: u32) -> bool {
        Self::owner(ifname) == Some(uid.to_string().as_str())
    }

    /// Whether a TAP of this name was made for anybody.
    pub fn is_loan(ifname: &str) -> bool {
        Self::owner(ifname).is_some()
    }

    fn owner(ifname: &str) -> Option<&str> {
        let (uid, number) = ifname.strip_prefix("xu")?.split_once('-')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(uid) && is_number(number)).then_some(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_it_is() {
        assert!(Loan::is_of("xu1000-0", 1000) && Loan::is_of("xu4294967294-31", u32::MAX - 1));
        for (name, uid) in [
            ("xu1000-0", 100),
            ("xu1000-0", 0),
            ("xu1000-", 1000),
            ("xu1000", 1000),
            ("vm1", 1),
            ("xu1-0x", 1),
        ] {
            assert!(!Loan::is_of(name, uid), "{name} {uid}");
        }
        let longest = Loan::pattern(u32::MAX).replace("%d", "99");
        assert!(longest.parse::<InterfaceName>().is_ok(), "{longest}");
    }
}
