//! Which bridge a verb means.

use crate::{
    Error, Refusal, Result,
    datapath::{self, BridgeName, PinDir, Tables},
    link::namespace,
};

/// A bridge that exists, in the caller's network namespace.
pub struct Bridge {
    /// Where it is pinned.
    pub pins: PinDir,
    /// Its tables.
    pub tables: Tables,
}

impl Bridge {
    /// Its name.
    pub fn name(&self) -> &BridgeName {
        self.pins.bridge()
    }
}

/// The bridge of this name, or without a name the only one of this network namespace.
pub fn bridge(name: Option<&BridgeName>) -> Result<Bridge> {
    match name {
        Some(name) => named(name),
        None => only(here()?),
    }
}

/// All bridges of this network namespace, by name. A bridge that another version of xbr made cannot be asked
/// for its namespace, and neither can one that is being made this moment; they are left out, with a warning
/// only where they might have been what was looked for.
pub fn here() -> Result<Vec<Bridge>> {
    let namespace = namespace::cookie()?;
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for pins in PinDir::all()? {
        match Tables::open(&pins) {
            Ok(tables) if tables.bridge()?.namespace == namespace => found.push(Bridge { pins, tables }),
            Ok(_) | Err(datapath::Error::NoBridge(_)) => {}
            Err(error @ datapath::Error::OtherLayout { .. }) if !denied(&error.to_string()) => {
                unreadable.push(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if found.is_empty() {
        unreadable.iter().for_each(|error| eprintln!("warning: {error}"));
    }
    Ok(found)
}

fn named(name: &BridgeName) -> Result<Bridge> {
    let pins = PinDir::of(name)?;
    let tables = match Tables::open(&pins) {
        Err(datapath::Error::NoBridge(_)) => return Err(no_such(name, &PinDir::all()?)),
        other => other?,
    };
    let home = tables.bridge()?.namespace;
    // 0: a start died before it wrote anything down.
    if home != 0 && home != namespace::cookie()? {
        let message = format!("bridge {name} belongs to another network namespace");
        let hint = "enter that namespace first: nsenter --net=/run/netns/NAME xbr ...";
        return Err(Refusal::new(message, hint).into());
    }
    Ok(Bridge { pins, tables })
}

fn no_such(name: &BridgeName, all: &[PinDir]) -> Error {
    let names: Vec<_> = all.iter().map(|pins| pins.bridge().as_str()).collect();
    let hint = match names.as_slice() {
        [] => "start one with xbr run --uplink IFACE".to_string(),
        names => format!("there is {}", names.join(", ")),
    };
    Refusal::new(format!("there is no bridge {name}"), hint).into()
}

fn only(mut found: Vec<Bridge>) -> Result<Bridge> {
    match (found.len(), found.pop()) {
        (1, Some(bridge)) => Ok(bridge),
        (_, None) => {
            let message = "this network namespace has no bridge of xbr";
            Err(Refusal::new(message, "start one with xbr run --uplink IFACE").into())
        }
        (_, Some(last)) => {
            let mut names: Vec<_> = found.iter().map(|bridge| bridge.name().as_str()).collect();
            names.push(last.name().as_str());
            let message = format!("this network namespace has {} bridges: {}", names.len(), names.join(", "));
            Err(Refusal::new(message, "say which one is meant with --bridge NAME").into())
        }
    }
}

/// Turns the errors that any verb can meet into what the user can do about them.
pub fn explain(error: Error) -> Error {
    let text = error.to_string();
    match error {
        Error::Datapath(datapath::Error::NoBpffs) => {
            let hint = "mount it with mount -t bpf bpf /sys/fs/bpf; ip netns exec hides it, so enter a network \
                        namespace with nsenter --net=/run/netns/NAME instead";
            Refusal::new(text, hint).into()
        }
        Error::Datapath(_) if !nix::unistd::geteuid().is_root() && denied(&text) => needs_root(),
        Error::Link(error) if error.is_permission() => needs_root(),
        other => other,
    }
}

/// What who may not read the tables is told.
pub fn needs_root() -> Error {
    Refusal::new("xbr needs root", "try again with sudo").into()
}

/// Whether these are the kernel's words for EPERM or EACCES. Not every layer below keeps the number.
pub fn denied(text: &str) -> bool {
    text.contains("Operation not permitted") || text.contains("Permission denied")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_can_do_is_said() {
        let error = explain(datapath::Error::NoBpffs.into());
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("mount -t bpf bpf /sys/fs/bpf"), "{error}");
        let error = no_such(&"xbr7".parse().unwrap(), &[]);
        insta::assert_snapshot!(error, @r"
        there is no bridge xbr7
        hint: start one with xbr run --uplink IFACE
        ");
    }
}
