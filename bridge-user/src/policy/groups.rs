//! What a port may do with multicast groups, as operators write it.

use std::{fmt, str::FromStr};

use bridge_common::multicast::{MAX_GROUPS, RouterMode};

use super::values::invalid;
use crate::settings::InvalidValue;

/// Whether there is a multicast router behind a port, by the numbers of `bridge link set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McastRouter {
    /// `0`: never, and queries from there are nobody's.
    Disabled,
    /// `1`: while one is heard.
    Learned,
    /// `2`: always.
    Permanent,
}

impl McastRouter {
    /// The number of `bridge link`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::Learned => 1,
            Self::Permanent => 2,
        }
    }
}

impl From<RouterMode> for McastRouter {
    fn from(mode: RouterMode) -> Self {
        match mode {
            RouterMode::Disabled => Self::Disabled,
            RouterMode::Learned => Self::Learned,
            RouterMode::Permanent => Self::Permanent,
        }
    }
}

impl From<McastRouter> for RouterMode {
    fn from(router: McastRouter) -> Self {
        match router {
            McastRouter::Disabled => Self::Disabled,
            McastRouter::Learned => Self::Learned,
            McastRouter::Permanent => Self::Permanent,
        }
    }
}

impl FromStr for McastRouter {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "0" => Ok(Self::Disabled),
            "1" => Ok(Self::Learned),
            "2" => Ok(Self::Permanent),
            _ => invalid(format!(
                "{text:?} does not say where a multicast router is: write 0 for never, 1 for while one is heard, 2 for always"
            )),
        }
    }
}

impl fmt::Display for McastRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// The most groups, and sources of groups, that are followed at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxGroups(pub u32);

impl FromStr for MaxGroups {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.parse() {
            Ok(count @ 1..=MAX_GROUPS) => Ok(Self(count)),
            _ => invalid(format!("{text:?} is no number of groups: write 1 to {MAX_GROUPS}")),
        }
    }
}

impl fmt::Display for MaxGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
