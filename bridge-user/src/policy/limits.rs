//! Limits, as command line, configuration file and control socket write them.

use std::{fmt, str::FromStr};

use super::{units, values::invalid};
use crate::settings::InvalidValue;

/// How many floods a port may start in a second, by kind; 0 for any number, `None` for what it was before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storm {
    /// Broadcasts.
    pub broadcast: Option<u64>,
    /// Multicasts.
    pub multicast: Option<u64>,
    /// Unicasts to nobody known.
    pub unknown: Option<u64>,
}

impl Storm {
    /// No limits.
    pub const OFF: Self = Self { broadcast: Some(0), multicast: Some(0), unknown: Some(0) };

    fn kinds(&self) -> [(&'static str, Option<u64>); 3] {
        [("broadcast", self.broadcast), ("multicast", self.multicast), ("unknown", self.unknown)]
    }
}

impl FromStr for Storm {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let mut storm = Self::default();
        for part in text.split(',') {
            let Some((kind, value)) = part.split_once('=') else {
                return invalid(format!(
                    "{part:?} is no limit: write it as in broadcast=1000pps, or off for all"
                ));
            };
            let slot = match kind {
                "broadcast" => &mut storm.broadcast,
                "multicast" => &mut storm.multicast,
                "unknown" => &mut storm.unknown,
                _ => return invalid(format!("{kind:?} is neither broadcast nor multicast nor unknown")),
            };
            if slot.replace(units::frames(value)?).is_some() {
                return invalid(format!("{kind} is given twice"));
            }
        }
        Ok(storm)
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.kinds().into_iter().filter_map(|(kind, limit)| Some((kind, limit?)));
        for (at, (kind, limit)) in given.enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match limit {
                0 => write!(f, "{comma}{kind}=off")?,
                limit => write!(f, "{comma}{kind}={limit}pps")?,
            }
        }
        Ok(())
    }
}

/// Bits a second in one direction, counted with L2 header and tags; 0 for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bits a second.
    pub bits: u64,
    /// Bytes at once; a default that follows from the rate if `None`.
    pub burst: Option<u64>,
}

impl FromStr for Limit {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == "off" {
            return Ok(Self { bits: 0, burst: None });
        }
        let (rate, burst) = match text.split_once(',') {
            None => (text, None),
            Some((rate, rest)) => match rest.strip_prefix("burst=") {
                Some(burst) => (rate, Some(units::burst(burst)?)),
                None => return invalid(format!("{rest:?} is not known: write it as in 500mbit,burst=256k")),
            },
        };
        Ok(Self { bits: units::bits(rate)?, burst })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bits, self.burst) {
            (0, _) => f.write_str("off"),
            (bits, None) => write!(f, "{bits}bit"),
            (bits, Some(burst)) => write!(f, "{bits}bit,burst={burst}"),
        }
    }
}
