//! Reading access lists that only root can have written.
//!
//! It happens as the caller, without any capability: a list that the caller's user and groups may not read stays closed.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::error::words;

/// The longest list, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Why a list is not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel said no.
    #[error("cannot read {}: {}", path.display(), words(source))]
    Read {
        /// What.
        path: PathBuf,
        /// The kernel's words.
        source: io::Error,
    },
    /// It leads somewhere else, and whoever can change it can choose where.
    #[error("{} is a symbolic link, and access lists are files", .0.display())]
    Symlink(PathBuf),
    /// A folder, a pipe, a device.
    #[error("{} is no file", .0.display())]
    NoFile(PathBuf),
    /// Somebody else can write it.
    #[error("{} belongs to user {uid}, and an access list must be root's", path.display())]
    NotRoots {
        /// What.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// Somebody else can write it.
    #[error("{} can be written by others than root (mode {mode:04o})", path.display())]
    Writable {
        /// What.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// No access list is that long.
    #[error("{} has more than {LONGEST} bytes", .0.display())]
    TooLong(PathBuf),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("make it, with a line such as `allow xbr0`, as root: {}", path.display())
            }
            Self::Read { path, .. } | Self::TooLong(path) => format!("look at ls -l {}", path.display()),
            Self::Symlink(path) | Self::NoFile(path) => format!("put a file there: {}", path.display()),
            Self::NotRoots { path, .. } => format!("chown root {}", path.display()),
            Self::Writable { path, .. } => format!("chmod go-w {}", path.display()),
        }
    }
}

/// The content of a list; `None` where the caller may not read it.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let failed = |source| Error::Read { path: path.into(), source };
    // O_NONBLOCK: a pipe would keep us waiting for a writer.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(Error::Symlink(path.into())),
        Err(error) => return Err(failed(error)),
    };
    // What was opened, and not what has the name by now.
    let metadata = file.metadata().map_err(failed)?;
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if !metadata.is_file() {
        return Err(Error::NoFile(path.into()));
    } else if uid != 0 {
        return Err(Error::NotRoots { path: path.into(), uid });
    } else if mode & 0o022 != 0 {
        return Err(Error::Writable { path: path.into(), mode });
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST { Err(Error::TooLong(path.into())) } else { Ok(Some(bytes)) }
}
