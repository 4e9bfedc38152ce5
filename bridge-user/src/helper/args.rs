//! The command line, as QEMU and libvirt write it: `[--use-vnet] --br=NAME --fd=N`.

use std::ffi::OsString;

use crate::datapath::{BridgeName, InvalidBridgeName};

/// What the caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// The bridge.
    pub bridge: BridgeName,
    /// The descriptor of the socket on which the caller waits for its TAP. Not yet looked at.
    pub fd: i32,
    /// With a `virtio_net_hdr` before each frame.
    pub vnet_hdr: bool,
}

/// Why the command line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A word that means nothing here.
    #[error("{0:?} is no argument of the bridge helper")]
    Unknown(String),
    /// It matters which one is meant.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// It cannot be guessed.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Not the number of a descriptor beyond the standard ones.
    #[error("--fd={0} is no number of a descriptor")]
    Fd(String),
    /// Not a bridge's name, and therefore no part of a path either.
    #[error("{0}")]
    Bridge(#[from] InvalidBridgeName),
}

/// The longest word that is told back; a caller may pass megabytes.
const LONGEST: usize = 64;

/// Reads the words behind the program's name.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, Invalid> {
    let (mut bridge, mut fd, mut vnet_hdr) = (None, None, false);
    for word in words {
        let word = word.to_string_lossy();
        if word == "--use-vnet" {
            // QEMU adds its own to a helper that was given as a command with arguments.
            vnet_hdr = true;
        } else if let Some(name) = word.strip_prefix("--br=") {
            once(&mut bridge, "--br", shortened(name).parse()?)?;
        } else if let Some(number) = word.strip_prefix("--fd=") {
            once(&mut fd, "--fd", descriptor(number)?)?;
        } else {
            return Err(Invalid::Unknown(shortened(&word)));
        }
    }
    Ok(Args {
        bridge: bridge.ok_or(Invalid::Missing("--br=NAME"))?,
        fd: fd.ok_or(Invalid::Missing("--fd=N"))?,
        vnet_hdr,
    })
}

fn once<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), Invalid> {
    if place.replace(value).is_some() { Err(Invalid::Twice(name)) } else { Ok(()) }
}

/// 0, 1 and 2 are where errors are told.
fn descriptor(text: &str) -> Result<i32, Invalid> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number > 2);
    number.ok_or_else(|| Invalid::Fd(shortened(text)))
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Args, String> {
        parse(words.split(' ').filter(|word| !word.is_empty()).map(OsString::from))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_qemu_and_libvirt_write_is_read() {
        let args = |vnet_hdr, fd| Ok(Args { bridge: "xbr0".parse().unwrap(), fd, vnet_hdr });
        assert_eq!(read("--use-vnet --fd=23 --br=xbr0"), args(true, 23));
        assert_eq!(read("--use-vnet --br=xbr0 --fd=3"), args(true, 3));
        assert_eq!(read("--fd=2147483647 --br=xbr0"), args(false, i32::MAX));
        assert_eq!(read("--use-vnet --br=xbr0 --use-vnet --fd=3"), args(true, 3));
    }

    #[test]
    fn junk_is_refused_in_a_sentence() {
        for (words, says) in [
            ("", "--br=NAME is missing"),
            ("--br=xbr0", "--fd=N is missing"),
            ("--fd=3", "--br=NAME is missing"),
            ("--br=xbr0 --fd=3 --br=xbr1", "--br is given twice"),
            ("--br=xbr0 --fd=3 --fd=3", "--fd is given twice"),
            ("--br xbr0 --fd=3", "\"--br\" is no argument of the bridge helper"),
            ("--br=xbr0 --fd=3 --help", "\"--help\" is no argument of the bridge helper"),
            ("--br=xbr0 --fd=", "--fd= is no number of a descriptor"),
            ("--br=xbr0 --fd=+3", "--fd=+3 is no number of a descriptor"),
            ("--br=xbr0 --fd=-1", "--fd=-1 is no number of a descriptor"),
            ("--br=xbr0 --fd=2", "--fd=2 is no number of a descriptor"),
            ("--br=xbr0 --fd=3x", "--fd=3x is no number of a descriptor"),
            ("--br=xbr0 --fd=2147483648", "--fd=2147483648 is no number of a descriptor"),
            ("--br=../x --fd=3", "\"../x\" cannot name a bridge"),
            ("--br= --fd=3", "\"\" cannot name a bridge"),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.starts_with(says), "{words:?}: {error}");
        }
    }
}
