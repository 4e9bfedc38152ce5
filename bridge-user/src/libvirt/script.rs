//! The hook's script, in libvirt's folder of hooks.
//!
//! It lies in `qemu.d`, which libvirt reads since 6.5, so that somebody's own `hooks/qemu` stays what it is.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::domain::NAMESPACE;
use crate::{Error, Refusal, Result};

/// Where libvirt looks for hooks.
pub const HOOKS: &str = "/etc/libvirt/hooks";

/// By what our own script is known.
const MARK: &str = "# Made by `xbr libvirt install`; `xbr libvirt remove` takes it away.";
/// Written into the script if its folder was made for it.
const FOLDER_MARK: &str = "# So is this folder.";

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It had been so before.
    AsBefore,
}

/// Where the script is.
pub fn path(hooks: &Path) -> PathBuf {
    hooks.join("qemu.d/xbr")
}

/// Writes the script that runs `xbr`, an absolute path. One that an earlier xbr wrote is replaced.
pub fn install(hooks: &Path, xbr: &Path) -> Result<Outcome> {
    let path = path(hooks);
    let found = ours(&path)?;
    let folder = hooks.join("qemu.d");
    let made = match &found {
        Some(text) => text.contains(FOLDER_MARK),
        None => make_folder(hooks, &folder)?,
    };
    let text = text(xbr, made)?;
    if found.as_deref() == Some(text.as_str()) && is_executable(&path) {
        return Ok(Outcome::AsBefore);
    }
    // Beside the folder and not in it: libvirt runs whatever it finds there.
    let new = hooks.join(".xbr.new");
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o755).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        drop(file);
        fs::rename(&new, &path)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.map_err(Error::io(format!("write {}", path.display())))?;
    Ok(Outcome::Done)
}

/// Takes the script away, and its folder if that was made for it and is empty.
pub fn remove(hooks: &Path) -> Result<Outcome> {
    let path = path(hooks);
    let Some(text) = ours(&path)? else { return Ok(Outcome::AsBefore) };
    fs::remove_file(&path).map_err(Error::io(format!("remove {}", path.display())))?;
    if text.contains(FOLDER_MARK) {
        // Somebody else's hook may be there by now.
        let _ = fs::remove_dir(hooks.join("qemu.d"));
    }
    Ok(Outcome::Done)
}

/// The text of our script; none where there is nothing. What somebody else put there is not touched.
fn ours(path: &Path) -> Result<Option<String>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(Error::io(format!("read {}", path.display())))?,
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    if text.lines().any(|line| line == MARK) {
        return Ok(Some(text));
    }
    let message = format!("{} is there and was not made by xbr", path.display());
    Err(Refusal::new(message, "rename it; libvirt runs every program in that folder").into())
}

/// True if the folder was not there before.
fn make_folder(hooks: &Path, folder: &Path) -> Result<bool> {
    let home = hooks.parent().unwrap_or(hooks);
    if !home.is_dir() {
        let message = format!("libvirt has no {} here", home.display());
        return Err(Refusal::new(message, "install libvirt, or name its folder of hooks with --path").into());
    }
    for folder in [hooks, folder] {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => {
                result.map_err(Error::io(format!("make {}", folder.display())))?;
                if folder != hooks {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o100 != 0)
}

/// Whoever deletes xbr and forgets the script should not lose the guests that never asked for it.
fn text(xbr: &Path, folder_made: bool) -> Result<String> {
    let name = xbr.to_str().filter(|name| xbr.is_absolute() && !name.contains('\n'));
    let Some(name) = name else {
        let message = format!("{} cannot be written into a script", xbr.display());
        return Err(Refusal::new(message, "put xbr at a plain path, such as /usr/sbin/xbr").into());
    };
    let quoted = name.replace('\'', r"'\''");
    let folder = if folder_made { format!("{FOLDER_MARK}\n") } else { String::new() };
    Ok(format!(
        "#!/bin/sh\n{MARK}\n{folder}\
         xbr='{quoted}'\n\
         [ -x \"$xbr\" ] && exec \"$xbr\" libvirt hook -- \"$@\"\n\
         # xbr was deleted. Only a guest that asks for it is refused.\n\
         grep -q '{NAMESPACE}' || exit 0\n\
         case $2 in prepare | start) ;; *) exit 0 ;; esac\n\
         echo \"error: this guest is to be attached to a bridge of xbr, and $xbr is not there\" >&2\n\
         exit 1\n"
    ))
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
