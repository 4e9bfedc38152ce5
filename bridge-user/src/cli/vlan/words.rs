//! The words of `bridge vlan`: `dev PORT vid VID[-VID] pvid untagged`.

use super::Place;
use crate::{Refusal, vlan::Vids};

/// What the words and the flags say together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The port's name.
    pub port: Option<String>,
    /// The VLANs.
    pub vids: Option<Vids>,
    /// The word `pvid` was there.
    pub pvid: bool,
    /// The word `untagged` was there.
    pub untagged: bool,
}

impl Words {
    /// Reads words after the flags. `parts`: which of `pvid` and `untagged` the verb knows. `self` and `master`, by which
    /// bridge(8) tells a bridge from a port, say nothing here and are passed over.
    pub fn parse(place: Place, words: &[String], parts: &[&str]) -> Result<Self, Refusal> {
        let mut all = Self { port: place.port, vids: place.vid, ..Self::default() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let message = format!("the word {word} wants something behind it");
                words.next().ok_or_else(|| Refusal::new(message, "write it as in dev vm1 vid 10"))
            };
            match word.as_str() {
                "dev" => once(&mut all.port, value()?.clone(), "port")?,
                "vid" => {
                    let text = value()?;
                    let hint = "VLANs are 1 to 4094; write one, or several as in 20-30";
                    let vids = text.parse().map_err(|_| Refusal::new(format!("{text} is no VLAN"), hint))?;
                    once(&mut all.vids, vids, "VLAN")?;
                }
                "pvid" if parts.contains(&"pvid") => all.pvid = true,
                "untagged" if parts.contains(&"untagged") => all.untagged = true,
                "self" | "master" => {}
                other => {
                    let known = ["dev PORT", "vid VID"].iter().chain(parts).copied().collect::<Vec<_>>();
                    let (last, first) = known.split_last().unwrap_or((&"dev PORT", &[]));
                    let hint = format!("{} and {last} are known", first.join(", "));
                    return Err(Refusal::new(format!("the word {other} is not known here"), hint));
                }
            }
        }
        Ok(all)
    }

    /// Port and VLANs, where both are needed.
    pub fn needed(self, usage: &str) -> Result<(String, Vids), Refusal> {
        let missing =
            |what: &str| Refusal::new(format!("no {what} is given"), format!("write it as in {usage}"));
        let port = self.port.ok_or_else(|| missing("port"))?;
        Ok((port, self.vids.ok_or_else(|| missing("VLAN"))?))
    }
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

    proptest! {
        #[test]
        fn no_words_panic(words: Vec<String>) {
            let _ = Words::parse(Place::default(), &words, &["pvid", "untagged"]);
        }

        #[test]
        fn no_near_words_panic(text in "((dev|vid|pvid|untagged|self|[0-9-]{1,5}|vm1) ){0,8}") {
            let words: Vec<_> = text.split_whitespace().map(String::from).collect();
            let _ = Words::parse(Place::default(), &words, &["pvid", "untagged"]);
        }
    }
}
