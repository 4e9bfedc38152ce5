//! Whether this machine has libvirt networks, whose TAPs no pattern may mean.
//!
//! libvirt makes the TAP of a guest in its NAT network, names it `vnet` and a number, and gives it to the
//! network's bridge a moment later.

use std::{fs, path::Path};

use crate::{Refusal, Result, link::Links, settings::Pattern};

/// Where libvirt keeps its networks, and what it calls the files.
const PLACES: [(&str, &[&str]); 3] = [
    ("etc/libvirt/qemu/networks", &["xml"]),
    ("var/lib/libvirt/network", &["xml", "status"]),
    ("run/libvirt/network", &["xml"]),
];

/// Refuses a pattern that may mean a TAP of a libvirt network.
pub fn check(patterns: &[Pattern], links: &Links) -> Result<()> {
    match patterns.iter().find(|pattern| pattern.matches_some_vnet()) {
        None => Ok(()),
        Some(pattern) => match sign(Path::new("/"), links)? {
            None => Ok(()),
            Some(sign) => Err(refusal(pattern, &sign).into()),
        },
    }
}

fn refusal(pattern: &Pattern, sign: &str) -> Refusal {
    Refusal::new(
        format!(
            "the pattern {pattern} takes names like vnet0, which libvirt gives to the TAPs of its own networks, \
             and this machine has some ({sign})"
        ),
        "name the guests' TAPs yourself, with <target dev='xvm1'/> in the domain's XML and --attach 'xvm*', or \
         let libvirt say which are meant: xbr libvirt install",
    )
}

/// What tells of libvirt networks, if anything does. libvirt itself is not asked: it may be what waits for us.
fn sign(root: &Path, links: &Links) -> Result<Option<String>> {
    let bridge = links
        .list()?
        .into_iter()
        .find(|link| link.is_kind("bridge") && link.name.as_str().starts_with("virbr"));
    Ok(bridge.map(|link| format!("the bridge {}", link.name)).or_else(|| file(root)))
}

/// A file of a network. What cannot be read (no such folder, no such right) tells of none.
fn file(root: &Path) -> Option<String> {
    let of_place = |(place, endings): (&str, &[&str])| {
        let entries = fs::read_dir(root.join(place)).ok()?;
        let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files.find(|path| path.extension().is_some_and(|ending| endings.iter().any(|one| ending == *one)))
    };
    PLACES.into_iter().find_map(of_place).map(|path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_by_their_files() {
        let root = std::env::temp_dir().join(format!("xbr-networks-{}", std::process::id()));
        for (place, name, is) in [
            ("etc/libvirt/qemu/networks", "default.xml", true),
            ("etc/libvirt/qemu/networks/autostart", "default.xml", false),
            ("var/lib/libvirt/network", "default.status", true),
            ("var/lib/libvirt/network", "default.pid", false),
            ("run/libvirt/network", "nat.xml", true),
        ] {
            fs::create_dir_all(root.join(place)).unwrap();
            fs::write(root.join(place).join(name), "").unwrap();
            let found = file(&root);
            assert_eq!(found.is_some(), is, "{place}/{name}: {found:?}");
            fs::remove_dir_all(&root).unwrap();
        }
        assert_eq!(file(&root), None);
    }

    #[test]
    fn the_way_out_is_named() {
        insta::assert_snapshot!(refusal(&"vnet*".parse().unwrap(), "the bridge virbr0"), @r"
        the pattern vnet* takes names like vnet0, which libvirt gives to the TAPs of its own networks, and this machine has some (the bridge virbr0)
        hint: name the guests' TAPs yourself, with <target dev='xvm1'/> in the domain's XML and --attach 'xvm*', or let libvirt say which are meant: xbr libvirt install
        ");
    }
}
