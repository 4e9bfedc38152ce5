//! The pure parts: lists by hand, lists by chance, and what the fuzzer kept.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;

use super::{access::Access, laws};
use crate::datapath::BridgeName;

/// What a set of lists says of bridge `xbr0`: whether it is allowed and the limit, or the error.
fn says(lists: &[(&str, &str)]) -> Result<(bool, u32), String> {
    let lists: BTreeMap<_, _> = lists.iter().copied().collect();
    let open = |path: &Path| match lists.get(path.to_str().unwrap()) {
        Some(&"unreadable") => Ok(None),
        Some(text) => Ok(Some(text.as_bytes().to_vec())),
        None => Err(format!("there is no {}", path.display())),
    };
    let bridge: BridgeName = "xbr0".parse().unwrap();
    let access = Access::read(&bridge, Path::new("/list"), &open).map_err(|error| error.to_string())?;
    Ok((access.is_allowed(), access.limit()))
}

#[track_caller]
fn list(text: &str, allowed: bool, limit: u32) {
    assert_eq!(says(&[("/list", text)]), Ok((allowed, limit)), "{text:?}");
}

#[test]
fn a_list_means_what_qemus_means() {
    list("", false, 32);
    list("# allow all\n\n   \n", false, 32);
    list("allow xbr0", true, 32);
    list("  allow\t xbr0 \r\n", true, 32);
    list("allow all", true, 32);
    list("allow xbr1\nallow xbr00", false, 32);
    list("deny xbr1\nallow all", true, 32);
    list("deny xbr0\nallow xbr0", false, 32);
    list("allow xbr0\ndeny all\nallow all", false, 32);
    list("allow all\nlimit 4", true, 4);
    list("limit 4\nallow all\nlimit 0", true, 0);
}

#[test]
fn includes_are_read_if_the_caller_may() {
    let main = "limit 2\ninclude /alice\n";
    assert_eq!(says(&[("/list", main), ("/alice", "allow xbr0\nlimit 8")]), Ok((true, 8)));
    assert_eq!(says(&[("/list", main), ("/alice", "unreadable")]), Ok((false, 2)));
    assert_eq!(says(&[("/list", main)]), Err("there is no /alice".into()));
    let denied = [("/list", "allow all\ninclude /a b"), ("/a b", "deny xbr0")];
    assert_eq!(says(&denied), Ok((false, 32)));
    assert_eq!(says(&[("/list", "unreadable")]), Err("cannot read /list: Permission denied".into()));
}

#[test]
fn a_bad_line_says_where_it_is() {
    for (text, why) in [
        ("allow all\nallow", "line 2 of /list: allow of what?"),
        ("permit all", "line 1 of /list: \"permit\" is none of allow, deny, include and limit"),
        ("allow br0 # mine", "line 1 of /list: \"br0 # mine\" is neither all nor the name of a bridge"),
        ("deny ../x", "line 1 of /list: \"../x\" is neither all nor the name of a bridge"),
        ("limit 255", "line 1 of /list: a limit is a number from 0 to 254, and not \"255\""),
        ("limit -1", "line 1 of /list: a limit is a number from 0 to 254, and not \"-1\""),
        ("include a.conf", "line 1 of /list: include wants a path that begins with /, and not \"a.conf\""),
        ("include /list", "line 1 of /list: lists include each other deeper than 8 times"),
    ] {
        assert_eq!(says(&[("/list", text)]), Err(why.into()));
    }
    let wide = "include /empty\n".repeat(64);
    let error = says(&[("/list", &format!("{wide}include /empty")), ("/empty", "")]).unwrap_err();
    assert_eq!(error, "line 65 of /list: more than 64 lists are included");
    let error = says(&[("/list", "include /bad"), ("/bad", "alow all")]).unwrap_err();
    assert!(error.starts_with("line 1 of /bad: "), "{error}");
}

/// A line by chance: what it says, and its text.
fn line() -> impl Strategy<Value = (bool, bool, String)> {
    let whom = prop_oneof![Just("all"), Just("xbr0"), Just("xbr1"), Just("eth0")];
    (any::<bool>(), whom, "[ \t]{0,3}", "[ \t]{1,3}").prop_map(|(allow, whom, before, between)| {
        let word = if allow { "allow" } else { "deny" };
        (allow, matches!(whom, "all" | "xbr0"), format!("{before}{word}{between}{whom}\n"))
    })
}

proptest! {
    #[test]
    fn deny_wins_and_nothing_is_allowed_by_default(lines in prop::collection::vec(line(), 0..8)) {
        let said = |allow| lines.iter().any(|(allows, concerns, _)| *concerns && *allows == allow);
        let text: String = lines.iter().map(|(_, _, text)| text.as_str()).collect();
        prop_assert_eq!(says(&[("/list", &text)]), Ok((said(true) && !said(false), 32)));
    }

    #[test]
    fn any_list_keeps_the_laws(
        lists in prop::collection::vec("((allow|deny|include|limit|#|x) {0,2}(all|xbr0|/0|/1|/2|/9|7|é)\n){0,5}", 1..4)
    ) {
        laws::access_list(lists.join("\0").as_bytes());
    }

    #[test]
    fn any_command_line_keeps_the_laws(
        words in prop::collection::vec("(--use-vnet|--br=|--fd=|)[a-z0-9./-]{0,4}", 0..4),
        junk in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        laws::command_line(words.join("\0").as_bytes());
        laws::command_line(&junk);
    }
}

/// What the fuzzer kept, and every crash that it found.
fn replay(target: &str, law: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} holds next to nothing", folder.display());
    for file in files {
        // Seen only when the law is broken.
        eprintln!("{}", file.display());
        law(&fs::read(&file).unwrap());
    }
}

#[test]
fn command_lines_of_the_corpus_keep_the_laws() {
    replay("command_line", laws::command_line);
}

#[test]
fn access_lists_of_the_corpus_keep_the_laws() {
    replay("access_list", laws::access_list);
}
