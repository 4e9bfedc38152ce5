//! One controller for each bridge, and its socket.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use tokio::net::UnixListener;

use crate::{Error, Refusal, Result, control::socket_path, datapath::BridgeName};

/// Held for as long as the controller lives; the kernel lets go of it when it dies.
pub struct Lock(#[allow(dead_code)] File);

/// Becomes the controller of `bridge`, or refuses because there is one.
pub fn lock(bridge: &BridgeName) -> Result<Lock> {
    let path = socket_path(bridge).with_extension("lock");
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io(format!("open {}", path.display())))?;
        match file.try_lock() {
            // The one before us may have removed the file between our opening it and our locking it.
            Ok(()) if is_at(&file, &path) => return Ok(Lock(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Refusal::new(
                    format!("bridge {bridge} has a controller already"),
                    "stop it first, or give this one another name with --bridge",
                )
                .into());
            }
            Err(TryLockError::Error(error)) => {
                return Err(Error::io(format!("lock {}", path.display()))(error));
            }
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let inode = |metadata: io::Result<fs::Metadata>| metadata.map(|metadata| metadata.ino()).ok();
    inode(file.metadata()) == inode(fs::metadata(path))
}

fn make_folder(folder: &Path) -> Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o755).create(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io(format!("make {}", folder.display()))(error)),
    }
}

/// Opens the control socket, root's alone. Whoever holds the lock may take over what a dead controller left.
pub fn listen(bridge: &BridgeName) -> Result<UnixListener> {
    let path = socket_path(bridge);
    remove(&path)?;
    let listener = UnixListener::bind(&path).map_err(Error::io(format!("listen on {}", path.display())))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
        .map_err(Error::io(format!("set the mode of {}", path.display())))?;
    Ok(listener)
}

/// Removes the control socket and the lock file.
pub fn unlink(bridge: &BridgeName) -> Result<()> {
    let path = socket_path(bridge);
    remove(&path)?;
    remove(&path.with_extension("lock"))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}
