//! Values that flags and files write as text or number, checked once.

use std::{fmt, str::FromStr};

use nix::unistd::User;
use serde::{Deserialize, Deserializer, de};

use crate::{Refusal, control::protocol::HookChoice, link::InterfaceName};

/// Why a text is no such value, in words that follow it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub(super) String);

impl InvalidValue {
    /// In words that follow the value, or stand for themselves.
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// What `auto` goes for where a device can have either hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Prefer {
    /// Bulk TCP: whatever keeps 64 KiB segments whole.
    #[default]
    Throughput,
    /// Small frames: XDP on every TAP, with the checksum guard where a guest leaves checksums to others.
    Packets,
}

/// The most stations of an FDB: 1 to 16,777,216.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbMax(u32);

impl FdbMax {
    /// How many.
    pub fn stations(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for FdbMax {
    type Error = InvalidValue;

    fn try_from(number: u64) -> Result<Self, InvalidValue> {
        match u32::try_from(number) {
            Ok(stations @ 1..=16_777_216) => Ok(Self(stations)),
            _ => Err(InvalidValue("the FDB holds 1 to 16777216 stations".into())),
        }
    }
}

/// An MTU in bytes: 68 (what IPv4 wants) to 65,521 (what the kernel lets a TAP have).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtu(u32);

impl Mtu {
    /// How many bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for Mtu {
    type Error = InvalidValue;

    fn try_from(number: u64) -> Result<Self, InvalidValue> {
        match u32::try_from(number) {
            Ok(bytes @ 68..=65_521) => Ok(Self(bytes)),
            _ => Err(InvalidValue("an MTU is 68 to 65521 bytes".into())),
        }
    }
}

macro_rules! numbers {
    ($($name:ident),*) => { $(
        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                let number = text.parse::<u64>();
                number.map_err(|_| InvalidValue(format!("{text:?} is no number")))?.try_into()
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                u64::deserialize(from)?.try_into().map_err(de::Error::custom)
            }
        }
    )* };
}
numbers!(FdbMax, Mtu);

/// `N/T`: a station may move N times, 1 to 254, in T seconds, 1 to 65,535; or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flap {
    /// How often; 0 for any number.
    pub moves: u16,
    /// In so many seconds.
    pub seconds: u16,
}

impl Flap {
    /// Any number of times.
    pub const OFF: Self = Self { moves: 0, seconds: 0 };
}

impl FromStr for Flap {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let parts = text.split_once('/').and_then(|(moves, seconds)| {
            Some((moves.parse().ok()?, seconds.trim_end_matches('s').parse().ok()?))
        });
        match parts {
            // An entry of the FDB has eight bits for its moves.
            Some((moves @ 1..=254, seconds @ 1..)) => Ok(Self { moves, seconds }),
            _ => Err(InvalidValue(format!(
                "{text:?} does not say how often a station may move: write 1 to 254 moves and 1 to 65535 seconds, \
                 as in 5/60, or off"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Flap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// A user, by name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A name, which is looked up only when it is needed.
    Name(String),
    /// A number, which need not belong to anybody.
    Id(u32),
}

impl Owner {
    /// The user's number.
    pub fn resolve(&self) -> Result<u32, Refusal> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Name(name) => match User::from_name(name) {
                Ok(Some(user)) => Ok(user.uid.as_raw()),
                _ => Err(Refusal::new(
                    format!("there is no user {name}"),
                    "name a user that getent passwd lists, or write a number",
                )),
            },
        }
    }
}

impl FromStr for Owner {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.parse::<u32>() {
            // The kernel takes it for "nobody in particular".
            Ok(u32::MAX) => Err(InvalidValue("no user has this number".into())),
            Ok(id) => Ok(Self::Id(id)),
            Err(_) if text.is_empty() || text.contains('\0') => {
                Err(InvalidValue("write a user's name or number".into()))
            }
            Err(_) => Ok(Self::Name(text.into())),
        }
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Owner;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user's name or number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Owner, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Owner, E> {
                number
                    .to_string()
                    .parse::<u32>()
                    .map(Owner::Id)
                    .map_err(|_| E::custom("no user has this number"))
            }
        }
        from.deserialize_any(Visitor)
    }
}

/// `[PORT=]auto|xdp|tc`: a hook for one port, or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRule {
    /// Which port; all if `None`.
    pub port: Option<InterfaceName>,
    /// Its hook.
    pub hook: HookChoice,
}

impl FromStr for HookRule {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        // An interface's name may itself have a '='.
        let (port, word) = text.rsplit_once('=').map_or((None, text), |(port, word)| (Some(port), word));
        let hook = match word {
            "auto" => HookChoice::Auto,
            "xdp" => HookChoice::Xdp,
            "tc" => HookChoice::Tc,
            _ => {
                return Err(InvalidValue(format!(
                    "{word:?} is no hook: write auto, xdp or tc, or as in vm1=xdp"
                )));
            }
        };
        let port = port.map(str::parse).transpose();
        Ok(Self { port: port.map_err(|error| InvalidValue(format!("{error}")))?, hook })
    }
}

impl<'de> Deserialize<'de> for HookRule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        assert_eq!("16777216".parse::<FdbMax>().unwrap().stations(), 1 << 24);
        assert_eq!("68".parse::<Mtu>().unwrap().bytes(), 68);
        for bad in ["0", "16777217", "-1", "x", "99999999999999999999"] {
            assert!(bad.parse::<FdbMax>().is_err(), "{bad}");
        }
        assert!("67".parse::<Mtu>().is_err() && "65522".parse::<Mtu>().is_err());
    }

    #[test]
    fn flapping_is_moves_in_seconds() {
        assert_eq!("5/60".parse(), Ok(Flap { moves: 5, seconds: 60 }));
        assert_eq!("254/65535s".parse(), Ok(Flap { moves: 254, seconds: 65_535 }));
        assert_eq!("off".parse(), Ok(Flap::OFF));
        for bad in ["0/1", "255/1", "1/0", "1", "1/65536", "/", ""] {
            assert!(bad.parse::<Flap>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hooks_name_a_port_or_none() {
        let rule = |text: &str| text.parse::<HookRule>();
        assert_eq!(rule("tc").unwrap(), HookRule { port: None, hook: HookChoice::Tc });
        assert_eq!(rule("a=b=xdp").unwrap().port.unwrap().as_str(), "a=b");
        assert!(rule("vm1=").is_err() && rule("=xdp").is_err() && rule("XDP").is_err());
    }

    #[test]
    fn owners_are_names_or_numbers() {
        assert_eq!("1000".parse::<Owner>().unwrap().resolve().unwrap(), 1000);
        assert_eq!("root".parse::<Owner>().unwrap().resolve().unwrap(), 0);
        let error = "no-such-user".parse::<Owner>().unwrap().resolve().unwrap_err();
        assert_eq!(error.message, "there is no user no-such-user");
        assert!("4294967295".parse::<Owner>().is_err() && "".parse::<Owner>().is_err());
    }
}
