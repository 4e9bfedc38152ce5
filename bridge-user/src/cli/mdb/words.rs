//! The words of `bridge mdb`: `dev PORT grp GROUP src SOURCE vid VID permanent`.

use std::net::IpAddr;

use super::Place;
use crate::Refusal;

/// What the words and the flags say together.
#[derive(Debug, Default)]
pub struct Words {
    /// Port and group.
    pub place: Place,
    /// The word `permanent` was there.
    pub permanent: bool,
}

impl Words {
    /// Reads words after the flags. `kinds`: whether the verb knows `permanent` and `temp`.
    pub fn parse(place: Place, words: &[String], kinds: bool) -> Result<Self, Refusal> {
        let mut all = Self { place, permanent: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let message = format!("the word {word} wants something behind it");
                words.next().ok_or_else(|| Refusal::new(message, "write it as in dev vm1 grp 239.1.2.3"))
            };
            let place = &mut all.place;
            match word.as_str() {
                // In bridge(8), dev is the bridge and port the port.
                "dev" | "port" => once(&mut place.port, value()?.clone(), "port")?,
                "grp" => once(&mut place.group, address(value()?)?, "group")?,
                "src" => once(&mut place.source, address(value()?)?, "source")?,
                "vid" => {
                    let text = value()?;
                    let vid = super::super::fdb::vlan(text)
                        .map_err(|hint| Refusal::new(format!("{text} is no VLAN"), hint))?;
                    once(&mut place.vid, vid, "VLAN")?;
                }
                "permanent" if kinds => all.permanent = true,
                "temp" if kinds => all.permanent = false,
                other => {
                    let kinds = if kinds { ", permanent and temp" } else { "" };
                    let hint = format!("dev PORT, grp GROUP, src SOURCE, vid VID{kinds} are known");
                    return Err(Refusal::new(format!("the word {other} is not known here"), hint));
                }
            }
        }
        Ok(all)
    }
}

fn address(text: &str) -> Result<IpAddr, Refusal> {
    let hint = "write it as in 239.1.2.3 or ff05::1:3";
    text.parse().map_err(|_| Refusal::new(format!("{text} is no IP address"), hint))
}

fn once<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::new(format!("the {what} is given twice"), "name it once")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Words, Refusal> {
        let words: Vec<_> = text.split_whitespace().map(String::from).collect();
        Words::parse(Place::default(), &words, true)
    }

    #[test]
    fn the_words_of_bridge_mdb_are_understood() {
        let words = parse("dev vm1 grp ff05::1 src fd00::1 vid 10 permanent").unwrap();
        assert_eq!(words.place.port.as_deref(), Some("vm1"));
        assert_eq!((words.place.vid, words.permanent), (Some(10), true));
        assert_eq!(words.place.source, Some("fd00::1".parse().unwrap()));
        let why = |text| parse(text).unwrap_err().message;
        assert_eq!(why("grp 239.1"), "239.1 is no IP address");
        assert_eq!(why("dev a port b"), "the port is given twice");
        assert_eq!(why("vid 4095"), "4095 is no VLAN");
        assert_eq!(why("proto 4"), "the word proto is not known here");
    }

    proptest! {
        #[test]
        fn no_words_panic(words: Vec<String>, kinds: bool) {
            let _ = Words::parse(Place::default(), &words, kinds);
        }

        #[test]
        fn no_near_words_panic(text in "((dev|grp|src|vid|permanent|temp|239.1.1.1|ff05::1|[0-9]{1,5}|vm1) ){0,8}") {
            let _ = parse(&text);
        }
    }
}
