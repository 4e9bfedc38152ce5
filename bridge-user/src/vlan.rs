//! VLANs as operators write them: `10`, `20-30`, `10 pvid untagged`.
//!
//! On the command line, in the configuration file and on the control socket they are the same text, read here.

use std::{fmt, str::FromStr};

use bridge_common::{PortId, Vlan, vlan::Membership};
use serde::{Deserialize, Serialize};

/// VLANs that follow on one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Vids {
    first: u16,
    last: u16,
}

impl Vids {
    /// Each of them, 1 to 4094.
    pub fn each(self) -> std::ops::RangeInclusive<u16> {
        self.first..=self.last
    }

    /// Whether this one is among them.
    pub fn has(self, vid: u16) -> bool {
        self.each().contains(&vid)
    }

    /// The one, if it is only one.
    pub fn single(self) -> Option<u16> {
        (self.first == self.last).then_some(self.first)
    }
}

/// What is no VLAN, or not to be said of one: a sentence and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVlan {
    /// Not 1 to 4094.
    #[error("{0:?} is no VLAN: write a number from 1 to 4094, or several as in 20-30")]
    Vid(String),
    /// An unknown word.
    #[error("the word {0:?} says nothing about a VLAN: pvid and untagged do")]
    Word(String),
    /// A PVID is one VLAN.
    #[error("a port has one PVID, and {0} are several VLANs")]
    PvidOfMany(Vids),
    /// Nothing at all.
    #[error("no VLAN is given: write one as in 10 pvid untagged, or several as in 20-30")]
    Nothing,
}

impl FromStr for Vids {
    type Err = InvalidVlan;

    fn from_str(text: &str) -> Result<Self, InvalidVlan> {
        let vid = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|vid| digits && (1..=4094).contains(vid))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (vid(first), vid(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(InvalidVlan::Vid(text.into())),
        }
    }
}

impl fmt::Display for Vids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(vid) => write!(f, "{vid}"),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// A port's part in VLANs, as `bridge vlan add` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortVlan {
    /// Which.
    pub vids: Vids,
    /// Frames that come in without a tag are of it.
    pub pvid: bool,
    /// Its frames leave without a tag.
    pub untagged: bool,
}

impl PortVlan {
    /// Puts the parts together.
    pub fn new(vids: Vids, pvid: bool, untagged: bool) -> Result<Self, InvalidVlan> {
        match vids.single() {
            None if pvid => Err(InvalidVlan::PvidOfMany(vids)),
            _ => Ok(Self { vids, pvid, untagged }),
        }
    }

    /// The flags in the words of `bridge vlan`.
    pub fn flags(&self) -> Vec<String> {
        let flags = [("PVID", self.pvid), ("Egress Untagged", self.untagged)];
        flags.into_iter().filter(|(_, on)| *on).map(|(word, _)| word.into()).collect()
    }

    /// The part that a port has in them.
    pub fn membership(&self) -> Membership {
        if self.untagged { Membership::Untagged } else { Membership::Tagged }
    }
}

impl FromStr for PortVlan {
    type Err = InvalidVlan;

    fn from_str(text: &str) -> Result<Self, InvalidVlan> {
        let mut words = text.split_whitespace();
        let vids = words.next().ok_or(InvalidVlan::Nothing)?.parse()?;
        let (mut pvid, mut untagged) = (false, false);
        for word in words {
            match word {
                "pvid" => pvid = true,
                "untagged" => untagged = true,
                other => return Err(InvalidVlan::Word(other.into())),
            }
        }
        Self::new(vids, pvid, untagged)
    }
}

impl fmt::Display for PortVlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on, word| if on { word } else { "" };
        write!(f, "{}{}{}", self.vids, word(self.pvid, " pvid"), word(self.untagged, " untagged"))
    }
}

macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = InvalidVlan;

            fn try_from(text: String) -> Result<Self, InvalidVlan> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}
as_text!(Vids, PortVlan);

/// What a port is in, runs of VLANs with the same part together.
pub fn of_port(vlans: &[(u16, Vlan)], id: PortId, pvid: u16) -> Vec<PortVlan> {
    let mut runs: Vec<PortVlan> = Vec::new();
    for (vid, vlan) in vlans {
        let untagged = match vlan.membership(id) {
            Membership::None => continue,
            part => part == Membership::Untagged,
        };
        let is_pvid = *vid == pvid;
        match runs.last_mut() {
            Some(run) if run.vids.last + 1 == *vid && run.untagged == untagged && !run.pvid && !is_pvid => {
                run.vids.last = *vid;
            }
            _ => runs.push(PortVlan { vids: Vids { first: *vid, last: *vid }, pvid: is_pvid, untagged }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_read_and_written_alike() {
        for text in ["10", "20-30", "10 pvid untagged", "4094 untagged", "1-4094 untagged", "7 pvid"] {
            assert_eq!(text.parse::<PortVlan>().unwrap().to_string(), text);
        }
        assert_eq!(" 10  untagged pvid ".parse::<PortVlan>().unwrap().to_string(), "10 pvid untagged");
        assert_eq!("5-5".parse::<Vids>().unwrap().single(), Some(5));
    }

    #[test]
    fn what_is_no_vlan_says_why() {
        for text in ["0", "4095", "-1", "+1", "30-20", "1-", "-", "0-5", "5-4095", "x", "70000", ""] {
            assert_eq!(text.parse::<Vids>().unwrap_err(), InvalidVlan::Vid(text.into()), "{text}");
        }
        let why = |text: &str| text.parse::<PortVlan>().unwrap_err().to_string();
        insta::assert_snapshot!(why("4095"), @r#""4095" is no VLAN: write a number from 1 to 4094, or several as in 20-30"#);
        insta::assert_snapshot!(why("10 pivd"), @r#"the word "pivd" says nothing about a VLAN: pvid and untagged do"#);
        insta::assert_snapshot!(why("20-30 pvid"), @"a port has one PVID, and 20-30 are several VLANs");
        insta::assert_snapshot!(why(" "), @"no VLAN is given: write one as in 10 pvid untagged, or several as in 20-30");
    }

    #[test]
    fn the_control_socket_takes_no_other_text() {
        assert_eq!(serde_json::from_str::<Vids>("\"20-30\"").unwrap().each(), 20..=30);
        assert!(serde_json::from_str::<PortVlan>("\"0 pvid\"").is_err());
    }

    #[test]
    fn runs_are_put_together() {
        let port = PortId(2);
        let vlan = |vid, part| (vid, Vlan::default().with(port, part));
        let tagged = Membership::Tagged;
        let vlans = [
            vlan(1, Membership::Untagged),
            vlan(2, tagged),
            vlan(3, tagged),
            vlan(4, tagged),
            vlan(5, tagged),
            vlan(6, Membership::None),
            vlan(7, tagged),
            vlan(8, Membership::Untagged),
        ];
        let runs: Vec<_> = of_port(&vlans, port, 4).iter().map(PortVlan::to_string).collect();
        assert_eq!(runs, ["1 untagged", "2-3", "4 pvid", "5", "7", "8 untagged"]);
        assert!(of_port(&vlans, PortId(3), 0).is_empty());
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<PortVlan>();
        }
    }
}
