//! Many Ethernet addresses in a message.

use std::fmt;

use bridge_common::Mac;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Addresses that are said as one text: twelve hex digits each, and nothing between two. A million of them are read in a fraction of what a
/// list in JSON takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Macs(pub Vec<Mac>);

/// Bytes of each in a message.
pub const DIGITS: usize = 12;

impl Serialize for Macs {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let digits = self.0.iter().flat_map(|mac| mac.0).flat_map(|byte| [byte >> 4, byte & 0xf]);
        let text: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Macs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Digits;
        impl de::Visitor<'_> for Digits {
            type Value = Macs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("addresses of twelve hex digits each")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Macs, E> {
                addresses(text.as_bytes())
                    .map(Macs)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Digits)
    }
}

fn addresses(text: &[u8]) -> Option<Vec<Mac>> {
    let parts = text.chunks_exact(DIGITS);
    if !parts.remainder().is_empty() {
        return None;
    }
    let mut macs = Vec::with_capacity(text.len() / DIGITS);
    for part in parts {
        let mut mac = Mac::ZERO;
        for (byte, pair) in mac.0.iter_mut().zip(part.chunks_exact(2)) {
            let [high, low] = *pair else { return None };
            *byte = digit(high)? << 4 | digit(low)?;
        }
        macs.push(mac);
    }
    Some(macs)
}

fn digit(text: u8) -> Option<u8> {
    char::from(text).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_both_ways() {
        let macs = Macs(vec![Mac([0x52, 0x54, 0, 0x75, 0xdd, 0x1a]), Mac::BROADCAST]);
        let text = serde_json::to_string(&macs).unwrap();
        assert_eq!(text, "\"52540075dd1affffffffffff\"");
        assert_eq!(serde_json::from_str::<Macs>(&text).unwrap(), macs);
        assert_eq!(serde_json::from_str::<Macs>("\"\"").unwrap(), Macs::default());
        for bad in ["\"52540075dd1\"", "\"52540075dd1g\"", "\"52:54:00:75:\"", "7", "\"+1540075dd1a\""] {
            assert!(serde_json::from_str::<Macs>(bad).is_err(), "{bad}");
        }
    }
}
