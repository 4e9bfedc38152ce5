//! The word order of `bridge fdb`: `dev PORT vlan VID master static`.

use super::Place;
use crate::Refusal;

/// What the words and the flags say together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The port's name.
    pub port: Option<String>,
    /// The VLAN, 0 for untagged.
    pub vlan: Option<u16>,
    /// The word `static` was there.
    pub is_static: bool,
    /// The word `sticky` was there.
    pub is_sticky: bool,
}

impl Words {
    /// Reads words after the flags. `kinds`: which of the words `static` and `sticky` the verb knows. The word `master`, which
    /// bridge(8) wants between the two, says nothing here and is passed over.
    pub fn parse(place: Place, words: &[String], kinds: &[&str]) -> Result<Self, Refusal> {
        let mut all = Self { port: place.port, vlan: place.vlan, ..Self::default() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let message = format!("the word {word} wants something behind it");
                words.next().ok_or_else(|| Refusal::new(message, "write it as in dev vm1 vlan 10"))
            };
            match word.as_str() {
                "dev" => once(&mut all.port, value()?.clone(), "port")?,
                "vlan" => {
                    let text = value()?;
                    let vlan = vlan(text).map_err(|hint| Refusal::new(format!("{text} is no VLAN"), hint))?;
                    once(&mut all.vlan, vlan, "VLAN")?;
                }
                "static" if kinds.contains(&"static") => all.is_static = true,
                "sticky" if kinds.contains(&"sticky") => all.is_sticky = true,
                "master" => {}
                other => {
                    let known = ["dev PORT", "vlan VID"].iter().chain(kinds).copied().collect::<Vec<_>>();
                    let (last, first) = known.split_last().unwrap_or((&"dev PORT", &[]));
                    let hint = format!("{} and {last} are known", first.join(", "));
                    return Err(Refusal::new(format!("the word {other} is not known here"), hint));
                }
            }
        }
        Ok(all)
    }
}

fn once<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::new(format!("the {what} is given twice"), "name it once")),
    }
}

/// A VLAN as text: 1 to 4094, or 0 for untagged.
pub fn vlan(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(vlan @ 0..=4094) => Ok(vlan),
        _ => Err("a VLAN is a number from 1 to 4094, or 0 for untagged".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str, static_too: bool) -> Result<Words, Refusal> {
        let kinds = if static_too { &["static", "sticky"][..] } else { &[] };
        let words: Vec<_> = text.split_whitespace().map(String::from).collect();
        Words::parse(Place::default(), &words, kinds)
    }

    #[test]
    fn any_order_will_do() {
        let expected = Words { port: Some("vm1".into()), vlan: Some(10), is_static: true, is_sticky: false };
        for text in ["dev vm1 vlan 10 static", "vlan 10 dev vm1 master static", "static dev vm1 vlan 10"] {
            assert_eq!(parse(text, true).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn flags_and_words_add_up() {
        let place = Place { port: Some("vm1".into()), vlan: None };
        let words = Words::parse(place, &["vlan".into(), "4".into()], &[]).unwrap();
        assert_eq!(words, Words { port: Some("vm1".into()), vlan: Some(4), ..Words::default() });
    }

    #[test]
    fn bad_words_say_why() {
        let why = |text: &str, static_too| parse(text, static_too).unwrap_err().message;
        assert_eq!(why("dev", true), "the word dev wants something behind it");
        assert_eq!(why("dev a dev b", true), "the port is given twice");
        assert_eq!(why("vlan 4095", true), "4095 is no VLAN");
        assert_eq!(why("vlan -1", true), "-1 is no VLAN");
        assert_eq!(why("static", false), "the word static is not known here");
        assert_eq!(why("self", true), "the word self is not known here");
        let hint = |static_too| parse("self", static_too).unwrap_err().hint.unwrap();
        assert_eq!(hint(true), "dev PORT, vlan VID, static and sticky are known");
        assert_eq!(hint(false), "dev PORT and vlan VID are known");
    }

    proptest! {
        #[test]
        fn no_words_panic(words: Vec<String>, static_too: bool) {
            let _ = Words::parse(Place::default(), &words, if static_too { &["static"] } else { &[] });
        }
    }
}
