//! Patterns for names of interfaces, as a shell has them: `*`, `?`, `[abc]`, `[a-z]`, `[!abc]`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use super::InvalidValue;

/// A pattern for names of interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `*`
    Many,
    /// `?`
    Any,
    /// A character, or one of several ranges of them.
    One { ranges: Vec<(char, char)>, negated: bool },
}

impl Part {
    /// Whether this part, if it stands for one character, may stand for this one.
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Many | Self::Any => true,
            Self::One { ranges, negated } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&character)) != *negated
            }
        }
    }
}

impl Pattern {
    /// Whether it matches this name.
    pub fn matches(&self, name: &str) -> bool {
        self.matches_some(name.chars().map(|character| character..=character))
    }

    /// Whether there is a name of libvirt's own making, `vnet` and a number, that it matches.
    pub fn matches_some_vnet(&self) -> bool {
        const LONGEST: usize = 15;
        (1..=LONGEST - "vnet".len()).any(|digits| {
            let word = "vnet".chars().map(|character| character..=character);
            self.matches_some(word.chain(std::iter::repeat_n('0'..='9', digits)))
        })
    }

    /// Whether it matches some text whose characters are each out of a range. What is kept on the way are the
    /// places in the pattern where such a text may have got to.
    fn matches_some(&self, text: impl Iterator<Item = std::ops::RangeInclusive<char>>) -> bool {
        let mut places = self.closed([0].into());
        for range in text {
            let mut next = std::collections::BTreeSet::new();
            for place in places {
                match self.parts.get(place) {
                    Some(Part::Many) => drop(next.insert(place)),
                    Some(part) if range.clone().any(|character| part.takes(character)) => {
                        next.insert(place + 1);
                    }
                    _ => {}
                }
            }
            places = self.closed(next);
        }
        places.contains(&self.parts.len())
    }

    /// A `*` may stand for nothing.
    fn closed(&self, mut places: std::collections::BTreeSet<usize>) -> std::collections::BTreeSet<usize> {
        for place in 0..self.parts.len() {
            if places.contains(&place) && self.parts.get(place) == Some(&Part::Many) {
                places.insert(place + 1);
            }
        }
        places
    }
}

impl FromStr for Pattern {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let bad = |why: &str| InvalidValue(format!("{text:?} is no pattern for names of interfaces: {why}"));
        let mut rest = text.chars();
        let mut parts = Vec::new();
        while let Some(character) = rest.next() {
            parts.push(match character {
                '*' => Part::Many,
                '?' => Part::Any,
                '[' => class(&mut rest).ok_or_else(|| bad("a [ is not closed by a ]"))?,
                '/' | ' ' => return Err(bad(&format!("no name contains {character:?}"))),
                character => Part::One { ranges: vec![(character, character)], negated: false },
            });
        }
        if parts.is_empty() {
            return Err(bad("write one as in 'xvm*'"));
        }
        Ok(Self { text: text.into(), parts })
    }
}

/// What follows a `[`. A `]` in first place stands for itself, as in a shell.
fn class(rest: &mut std::str::Chars<'_>) -> Option<Part> {
    let mut inside: Vec<char> = Vec::new();
    let negated = matches!(rest.clone().next(), Some('!' | '^'));
    if negated {
        rest.next();
    }
    loop {
        match rest.next()? {
            ']' if !inside.is_empty() => break,
            character => inside.push(character),
        }
    }
    let mut ranges = Vec::new();
    let mut left = inside.as_slice();
    loop {
        left = match left {
            [] => return Some(Part::One { ranges, negated }),
            [from, '-', to, tail @ ..] => {
                ranges.push((*from, *to));
                tail
            }
            [one, tail @ ..] => {
                ranges.push((*one, *one));
                tail
            }
        };
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        let yes = [("xvm*", "xvm"), ("xvm*", "xvm10"), ("?vm", "xvm"), ("x[ab]1", "xb1"), ("x[a-c]", "xb")];
        let no = [("xvm*", "vm1"), ("?vm", "vm"), ("x[!ab]1", "xb1"), ("x[a-c]", "xd"), ("xvm", "xvm1")];
        let odd =
            [("*a*b", "xaybb"), ("[]]", "]"), ("[!]]", "x"), ("[a-]", "-"), ("[^x]*", "yx"), ("**", "")];
        for (text, name) in yes.into_iter().chain(odd) {
            assert!(pattern(text).matches(name), "{text} {name}");
        }
        for (text, name) in no {
            assert!(!pattern(text).matches(name), "{text} {name}");
        }
    }

    #[test]
    fn patterns_that_may_meet_libvirts_names() {
        for text in
            ["vnet*", "*", "vnet0", "?net?", "v*7", "vnet[0-9]1", "vn*", "*9999", "[!x]*", "vnet???????????"]
        {
            assert!(pattern(text).matches_some_vnet(), "{text}");
        }
        for text in ["xvm*", "vnet", "vnet*a", "vnet[!0-9]", "vnetx*", "[!v]*", "vnet????????????", "vnet-*"]
        {
            assert!(!pattern(text).matches_some_vnet(), "{text}");
        }
    }

    #[test]
    fn bad_patterns_say_why() {
        let why = |text: &str| text.parse::<Pattern>().unwrap_err().to_string();
        assert_eq!(why("vm["), "\"vm[\" is no pattern for names of interfaces: a [ is not closed by a ]");
        assert_eq!(why(""), "\"\" is no pattern for names of interfaces: write one as in 'xvm*'");
        assert!(why("a/b").contains("no name contains '/'"));
    }

    proptest! {
        #[test]
        fn a_pattern_that_takes_a_name_of_libvirts_is_found_out(
            text in "[vnet*?]{0,4}[net0-9*?]{0,5}|\\[!?[a-z0-9]\\]\\*[0-9]?", number in 0u64..100_000,
        ) {
            if let Ok(pattern) = text.parse::<Pattern>() {
                let name = format!("vnet{number}");
                prop_assert!(!pattern.matches(&name) || pattern.matches_some_vnet());
            }
        }

        #[test]
        fn no_text_panics(text: String, name: String) {
            if let Ok(pattern) = text.parse::<Pattern>() {
                pattern.matches(&name);
            }
        }
    }
}
