//! What the helper can end with.

use std::{io, path::PathBuf};

use super::{access, args, files};
use crate::{datapath::BridgeName, error::words, link};

/// The helper's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why QEMU gets no TAP.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the sentence of each variant says it, and the fields are what it names
pub enum Error {
    #[error("{0}")]
    Args(#[from] args::Invalid),
    #[error("descriptor {fd} {what}")]
    Socket { fd: i32, what: &'static str },
    #[error("{0}")]
    List(#[from] access::Error<files::Error>),
    #[error("user {uid} may not use bridge {bridge}")]
    Denied { bridge: BridgeName, uid: u32 },
    #[error("there is no bridge {0}")]
    NoBridge(BridgeName),
    #[error("no controller is running for bridge {bridge} ({})", words(source))]
    NoController { bridge: BridgeName, source: io::Error },
    #[error("may not connect to {}", .0.display())]
    NotPrivileged(PathBuf),
    #[error("cannot talk with the controller of bridge {bridge}: {}", words(source))]
    Talk { bridge: BridgeName, source: io::Error },
    #[error("{message}")]
    Refused { message: String, hint: Option<String> },
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Link(#[from] link::Error),
    #[error("cannot give up privileges: {}", words(.0))]
    Privileges(io::Error),
    #[error("cannot hand the TAP over: {}", words(.0))]
    HandOver(io::Error),
}

const INSTALL: &str = "install the helper setuid root (install -m 4755), or with setcap \
                       cap_net_admin,cap_dac_override+ep";

impl Error {
    /// What to do about it, if anything.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Args(_) => {
                "QEMU calls it: -netdev bridge,id=n0,br=NAME,helper=/usr/lib/xbr/xbr-bridge-helper"
            }
            Self::Socket { .. } => {
                "it wants one end of a socket pair (AF_UNIX, SOCK_STREAM), as QEMU makes it"
            }
            Self::List(access::Error::File(error)) => return Some(error.hint()),
            Self::List(access::Error::Unreadable(path)) => {
                return Some(format!("let everybody read it: chmod 0644 {}", path.display()));
            }
            Self::List(_) => "nothing is allowed until the list is right",
            Self::Denied { bridge, .. } => {
                return Some(format!("root may allow it in {}: allow {bridge}", super::ACCESS_LIST));
            }
            Self::NoBridge(_) => "`xbr show` lists the bridges",
            Self::NoController { bridge, .. } => {
                return Some(format!(
                    "start it: systemctl start xbr@{bridge}, or xbr run --bridge {bridge} …"
                ));
            }
            Self::NotPrivileged(_) => INSTALL,
            Self::Link(error) if error.is_permission() => INSTALL,
            Self::Refused { hint, .. } => return hint.clone(),
            Self::Talk { .. } | Self::Failed(_) => "the controller's log may say more",
            Self::Link(_) | Self::Privileges(_) | Self::HandOver(_) => return None,
        };
        Some(text.into())
    }

    /// 2 for bad input and access denied, 1 for everything else. QEMU goes by "not 0".
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Args(_)
            | Self::Socket { .. }
            | Self::List(_)
            | Self::Denied { .. }
            | Self::NoBridge(_)
            | Self::Refused { .. } => 2,
            _ => 1,
        }
    }
}
