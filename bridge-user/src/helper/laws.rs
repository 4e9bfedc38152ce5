//! What holds for every input, for the property tests, the fuzzer (`bridge-user/fuzz`) and the replay of what that found.

use std::{
    cell::Cell,
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use super::{
    access::{Access, BadLine, Error},
    args,
};
use crate::datapath::BridgeName;

/// A command line, its words ended by zeroes.
pub fn command_line(bytes: &[u8]) {
    let words: Vec<_> =
        bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    let parsed = match args::parse(words.clone()) {
        Ok(parsed) => parsed,
        Err(error) => return assert!(error.to_string().len() < 1000, "an error repeats the input: {error}"),
    };
    let name = parsed.bridge.as_str();
    assert!(
        (1..=15).contains(&name.len()) && !name.contains(['/', '.', '\0']),
        "{name:?} must not become part of a path"
    );
    assert!(parsed.fd > 2, "{} is where errors are told", parsed.fd);
    let starting = |with: &str| words.iter().filter(|word| word.to_string_lossy().starts_with(with)).count();
    assert_eq!((starting("--br="), starting("--fd=")), (1, 1), "no argument is guessed or chosen");
    assert_eq!(parsed.vnet_hdr, starting("--use-vnet") > 0);
    let again = [format!("--fd={}", parsed.fd), format!("--br={name}")].map(OsString::from);
    let again = args::parse(again.into_iter().chain(parsed.vnet_hdr.then(|| "--use-vnet".into())));
    assert_eq!(again, Ok(parsed), "what was read can be written");
}

/// Access lists, ended by zeroes: the first is the list, and list number N is found as `/N`. One that begins with `!` may
/// not be read.
pub fn access_list(bytes: &[u8]) {
    let lists: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let bridge: BridgeName = "xbr0".parse().expect("a good name");
    let Ok(access) = read(&bridge, &lists) else { return };
    assert!(access.limit() <= 254, "a limit is more than a bridge has ports");
    let first = lists.first().copied().unwrap_or_default();
    let with = |list: Vec<u8>| {
        let mut lists = lists.clone();
        lists[0] = &list;
        read(&bridge, &lists)
    };
    for deny in [&b"deny all\n"[..], b"deny xbr0\n"] {
        let (before, behind) = ([deny, first].concat(), [first, b"\n", deny].concat());
        for list in [before, behind] {
            // Before a line too many it is another one that is too many.
            assert!(with(list).is_ok_and(|access| !access.is_allowed()), "a deny wins wherever it stands");
        }
    }
    let junk = with([first, b"\nalow all"].concat());
    assert!(matches!(junk, Err(Error::Line { why: BadLine::Word(_), .. })), "a bad line spoils the list");
    if access.is_allowed() {
        assert!(lists.iter().any(|list| allows(list)), "nothing is allowed that no line allows");
    }
}

fn read(bridge: &BridgeName, lists: &[&[u8]]) -> Result<Access, Error<PathBuf>> {
    let opened = Cell::new(0);
    let open = |path: &Path| {
        opened.set(opened.get() + 1);
        assert!(path.is_absolute(), "{} depends on where the caller stands", path.display());
        let number = path.to_str().and_then(|path| path[1..].parse::<usize>().ok());
        let list = number.and_then(|number| lists.get(number)).ok_or(PathBuf::from(path))?;
        Ok((!list.starts_with(b"!")).then(|| list.to_vec()))
    };
    let access = Access::read(bridge, Path::new("/0"), &open);
    assert!(opened.get() <= 65, "{} lists were opened", opened.get());
    access
}

/// Whether a line of the list says that the bridge is allowed.
fn allows(list: &[u8]) -> bool {
    let text = String::from_utf8_lossy(list);
    text.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words == ["allow", "xbr0"] || words == ["allow", "all"]
    })
}
