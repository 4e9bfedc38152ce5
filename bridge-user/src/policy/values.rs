//! Values of policy options, as command line, configuration file and control socket write them.

use std::{fmt, net::IpAddr, str::FromStr};

use bridge_common::Mac;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Limit, MaxGroups, McastRouter, Storm};
use crate::settings::InvalidValue;

pub(super) fn invalid<T>(why: impl Into<String>) -> Result<T, InvalidValue> {
    Err(InvalidValue::new(why))
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "on" | "true" => Ok(Self(true)),
            "off" | "false" => Ok(Self(false)),
            _ => invalid(format!("{text:?} is neither on nor off")),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { "on" } else { "off" })
    }
}

/// The most stations that are learned at a port: a number, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxMacs(pub u32);

impl FromStr for MaxMacs {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match (text, text.parse()) {
            ("off", _) => Ok(Self(0)),
            (_, Ok(count @ 1..=16_777_216)) => Ok(Self(count)),
            _ => invalid(format!(
                "{text:?} is no number of stations: write 1 to 16777216, or off for any number"
            )),
        }
    }
}

impl fmt::Display for MaxMacs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("off") } else { self.0.fmt(f) }
    }
}

/// A source MAC address that a port may use, or `off`: any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedMac {
    /// Any.
    Off,
    /// This one.
    One(Mac),
}

impl FromStr for AllowedMac {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == "off" {
            return Ok(Self::Off);
        }
        match text.parse::<Mac>() {
            Ok(mac) if mac.is_station() => Ok(Self::One(mac)),
            Ok(_) => invalid(format!("{text} is a group's address or nobody's, and no station's")),
            Err(error) => invalid(format!("{text:?} is {error}, or off")),
        }
    }
}

impl fmt::Display for AllowedMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::One(mac) => mac.fmt(f),
        }
    }
}

/// A source IP address that a port may use, or `off`: any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedIp {
    /// Any.
    Off,
    /// This one.
    One(IpAddr),
}

impl FromStr for AllowedIp {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == "off" {
            return Ok(Self::Off);
        }
        match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() || ip.is_multicast() || is_broadcast(ip) => {
                invalid(format!("{ip} is no address that a guest can have"))
            }
            Ok(ip) => Ok(Self::One(ip)),
            Err(_) => invalid(format!("{text:?} is no IP address: write it without a prefix length, or off")),
        }
    }
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}

impl fmt::Display for AllowedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::One(ip) => ip.fmt(f),
        }
    }
}

/// What a BPDU of a guest does; it is dropped in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BpduGuard {
    /// It is counted.
    Drop,
    /// It takes the port down.
    Shut,
}

impl FromStr for BpduGuard {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "drop" => Ok(Self::Drop),
            "shut" => Ok(Self::Shut),
            _ => invalid(format!("{text:?} is neither drop nor shut")),
        }
    }
}

impl fmt::Display for BpduGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Drop { "drop" } else { "shut" })
    }
}

/// As text, and from what TOML has for it: `true`, a number, or text.
macro_rules! as_text {
    ($($name:ident),*) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a value as on the command line")
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_bool<E: de::Error>(self, on: bool) -> Result<$name, E> {
                        self.visit_str(if on { "true" } else { "false" })
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                from.deserialize_any(Visitor)
            }
        }
    )* };
}
as_text!(Switch, MaxMacs, AllowedMac, AllowedIp, BpduGuard, Storm, Limit, McastRouter, MaxGroups);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn why<T: FromStr<Err = InvalidValue> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().unwrap_err().to_string()
    }

    #[test]
    fn limits_are_numbers_with_units() {
        let storm: Storm = "broadcast=1000pps,unknown=2kpps,multicast=off".parse().unwrap();
        assert_eq!(storm, Storm { broadcast: Some(1000), multicast: Some(0), unknown: Some(2000) });
        assert_eq!("off".parse(), Ok(Storm::OFF));
        let limit = |text: &str| text.parse::<Limit>().unwrap();
        assert_eq!(limit("500mbit"), Limit { bits: 500_000_000, burst: None });
        assert_eq!(limit("1.5gbit,burst=256k"), Limit { bits: 1_500_000_000, burst: Some(262_144) });
        assert_eq!(limit("off").bits, 0);
        assert_eq!("off".parse(), Ok(MaxMacs(0)));
    }

    #[test]
    fn bad_values_say_why() {
        insta::assert_snapshot!(why::<Storm>("broadcast"), @r#""broadcast" is no limit: write it as in broadcast=1000pps, or off for all"#);
        insta::assert_snapshot!(why::<Storm>("all=1"), @r#""all" is neither broadcast nor multicast nor unknown"#);
        insta::assert_snapshot!(why::<Storm>("broadcast=1,broadcast=2"), @"broadcast is given twice");
        insta::assert_snapshot!(why::<Storm>("broadcast=0"), @r#""0" is no number of frames a second: write it as in 1000pps or 10kpps, or off"#);
        insta::assert_snapshot!(why::<Limit>("fast"), @r#""fast" is no rate: write it as in 500mbit, from 8kbit to 1tbit, or off"#);
        insta::assert_snapshot!(why::<Limit>("1mbit,burst=1k"), @"a burst of 1024 bytes never lets a segment of 64 KiB through: write 73728 or more");
        insta::assert_snapshot!(why::<Limit>("1mbit,x"), @r#""x" is not known: write it as in 500mbit,burst=256k"#);
        insta::assert_snapshot!(why::<MaxMacs>("0"), @r#""0" is no number of stations: write 1 to 16777216, or off for any number"#);
        insta::assert_snapshot!(why::<AllowedMac>("ff:ff:ff:ff:ff:ff"), @"ff:ff:ff:ff:ff:ff is a group's address or nobody's, and no station's");
        insta::assert_snapshot!(why::<AllowedIp>("10.0.0.0/8"), @r#""10.0.0.0/8" is no IP address: write it without a prefix length, or off"#);
        insta::assert_snapshot!(why::<AllowedIp>("ff02::1"), @"ff02::1 is no address that a guest can have");
        insta::assert_snapshot!(why::<Switch>("maybe"), @r#""maybe" is neither on nor off"#);
        insta::assert_snapshot!(why::<BpduGuard>("on"), @r#""on" is neither drop nor shut"#);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_alike(text in "[a-z0-9=,.:]{0,24}|(broadcast|unknown)=[0-9]{1,20}[kmg]?(pps)?|[0-9.]{1,12}[kmgt]?bit(,burst=[0-9]{1,9}[km]?)?") {
            if let Ok(storm) = text.parse::<Storm>() {
                prop_assert_eq!(storm.to_string().parse::<Storm>(), Ok(storm));
            }
            if let Ok(limit) = text.parse::<Limit>() {
                prop_assert_eq!(limit.to_string().parse::<Limit>(), Ok(limit));
            }
            let _ = text.parse::<AllowedMac>();
            let _ = text.parse::<AllowedIp>();
            let _ = text.parse::<MaxMacs>();
        }
    }
}
