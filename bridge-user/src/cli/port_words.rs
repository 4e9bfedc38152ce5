//! Options of ports in the words of `bridge link set`: `dev vm1 learning off isolated on`, as flags, or both mixed.
//!
//! There is one parser, clap's: a word that names an option is read as its flag.

use clap::{Args as _, Command, FromArgMatches as _};

use crate::{Refusal, policy::PortOptions};

/// What the words say beside the port's name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The options.
    pub options: PortOptions,
    /// The word `up` or `down`.
    pub up: Option<bool>,
}

/// Splits `[dev] NAME WORDS...` into the name and the rest.
pub fn name(words: &[String]) -> Result<(&str, &[String]), Refusal> {
    let words = match words {
        [dev, rest @ ..] if dev == "dev" && !rest.is_empty() => rest,
        words => words,
    };
    match words {
        [name, rest @ ..] => Ok((name, rest)),
        [] => Err(Refusal::new("no port is named", "write it as in xbr port set vm1 isolated on")),
    }
}

/// Reads words; `flags` has what flags say.
pub fn parse(words: &[String], flags: PortOptions) -> Result<Words, Refusal> {
    let mut parsed = Words::default();
    let mut arguments = Vec::new();
    for word in words {
        let up = match word.as_str() {
            "up" => true,
            "down" => false,
            _ => {
                arguments.push(flag(word));
                continue;
            }
        };
        if parsed.up.replace(up).is_some_and(|before| before != up) {
            return Err(Refusal::new("the port cannot be both up and down", "write one of the two"));
        }
    }
    let command =
        PortOptions::augment_args(Command::new("port").no_binary_name(true).disable_help_flag(true));
    let said = command
        .try_get_matches_from(arguments)
        .and_then(|matches| PortOptions::from_arg_matches(&matches))
        .map_err(|error| refusal(&error))?;
    if let Some(twice) = said.said().into_iter().find(|name| flags.said().contains(name)) {
        return Err(Refusal::new(format!("{twice} is given twice"), "write it once"));
    }
    parsed.options = said.or(flags);
    Ok(parsed)
}

/// Reads words where the port is new, and so neither up nor down.
pub fn options(words: &[String], flags: PortOptions) -> Result<PortOptions, Refusal> {
    match parse(words, flags)? {
        Words { options, up: None } => Ok(options),
        _ => Err(Refusal::new("a new port is up when its device is", "xbr port set takes it down or up")),
    }
}

/// A word as clap wants it: the name of an option as its flag, and anything else as it is.
fn flag(word: &str) -> String {
    let name = word.replace('-', "_");
    if PortOptions::NAMES.contains(&name.as_str()) {
        format!("--{}", name.replace('_', "-"))
    } else {
        word.into()
    }
}

/// Clap's first line, without the flags that nobody wrote.
fn refusal(error: &clap::Error) -> Refusal {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let message = line.strip_prefix("error: ").unwrap_or(line).to_string();
    Refusal::new(message, "xbr port set --help lists the options and their values")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    fn said(text: &str) -> Result<String, String> {
        let words = parse(&words(text), PortOptions::default()).map_err(|refusal| refusal.message)?;
        Ok(serde_json::to_string(&words.options).unwrap())
    }

    #[test]
    fn words_are_those_of_bridge_link_set() {
        insta::assert_snapshot!(said("learning off mcast_flood off isolated on max-macs 64").unwrap(), @r#"{"learning":"off","mcast-flood":"off","isolated":"on","max-macs":"64"}"#);
        insta::assert_snapshot!(said("mac 52:54:00:00:00:01 52:54:00:00:00:02 ip 10.0.0.1,fd00::1 no-ra").unwrap(), @r#"{"mac":["52:54:00:00:00:01","52:54:00:00:00:02"],"ip":["10.0.0.1","fd00::1"],"no-ra":"on"}"#);
        insta::assert_snapshot!(said("bpdu-guard shut storm broadcast=100pps rate 500mbit,burst=256k rate_out off").unwrap(), @r#"{"bpdu-guard":"shut","storm":"broadcast=100pps","rate":"500000000bit,burst=262144","rate-out":"off"}"#);
        assert_eq!(parse(&words("up"), PortOptions::default()).unwrap().up, Some(true));
    }

    #[test]
    fn the_port_is_named_with_dev_or_without() {
        for text in ["dev vm1 up", "vm1 up"] {
            let words = words(text);
            let (name, rest) = name(&words).unwrap();
            assert_eq!((name, rest), ("vm1", &["up".to_string()][..]));
        }
        assert!(name(&[]).is_err());
    }

    #[test]
    fn bad_words_say_why() {
        let why = |text| said(text).unwrap_err();
        insta::assert_snapshot!(why("isolated maybe"), @r#"invalid value 'maybe' for '--isolated [<on|off>]': "maybe" is neither on nor off"#);
        insta::assert_snapshot!(why("storm"), @"a value is required for '--storm <LIMITS>' but none was supplied");
        insta::assert_snapshot!(why("quick on"), @"unexpected argument 'quick' found");
        insta::assert_snapshot!(why("isolated on isolated off"), @"the argument '--isolated [<on|off>]' cannot be used multiple times");
        insta::assert_snapshot!(why("up down"), @"the port cannot be both up and down");
    }

    proptest! {
        #[test]
        fn no_words_panic(text in "(learning|isolated|mac|rate|storm|on|off|up|--|-x|[a-z0-9:=]{0,6}| ){0,12}") {
            let _ = said(&text);
        }
    }
}
