//! What the hook attached, for when the guest ends: libvirt no longer names the TAPs then.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{Error, Refusal, Result, link::InterfaceName};

/// The identity of a domain, fit for a file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uuid(String);

impl FromStr for Uuid {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let fits = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let hint = "libvirt gives every domain a <uuid>";
        fits.then(|| Self(text.to_ascii_lowercase()))
            .ok_or_else(|| Refusal::new(format!("{text:?} is not the identity of a domain"), hint))
    }
}

/// A port that the hook made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The bridge's name.
    pub bridge: String,
    /// The TAP.
    pub ifname: InterfaceName,
    /// Its interface index: another guest's TAP may have the name later.
    pub ifindex: u32,
}

/// A folder with a file for each domain that has ports.
#[derive(Clone, Debug)]
pub struct Memory(PathBuf);

impl Default for Memory {
    fn default() -> Self {
        Self("/run/xbr/libvirt".into())
    }
}

impl Memory {
    /// In another folder.
    pub fn within(folder: &Path) -> Self {
        Self(folder.into())
    }

    /// Held by one hook at a time, until it is dropped. libvirt calls them one after the other for a domain, but one whose daemon
    /// was restarted meanwhile runs on.
    pub fn lock(&self) -> Result<File> {
        self.make_folder()?;
        let failed = || Error::io(format!("lock {}", self.0.display()));
        let folder = File::open(&self.0).map_err(failed())?;
        folder.lock().map_err(failed())?;
        Ok(folder)
    }

    fn make_folder(&self) -> Result<()> {
        let folder = fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.0);
        folder.map_err(Error::io(format!("make {}", self.0.display())))
    }

    /// What the hook attached for a domain.
    pub fn of(&self, domain: &Uuid) -> Result<Vec<Attached>> {
        read(&self.file(domain))
    }

    /// What the hook attached for all domains.
    pub fn all(&self) -> Result<Vec<Attached>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io(format!("read {}", self.0.display())))?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::io(format!("read {}", self.0.display())))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                all.extend(read(&path)?);
            }
        }
        Ok(all)
    }

    /// Writes down what is attached for a domain now; nothing at all leaves no file.
    pub fn set(&self, domain: &Uuid, attached: &[Attached]) -> Result<()> {
        let path = self.file(domain);
        let failed = |what: &str, path: &Path| Error::io(format!("{what} {}", path.display()));
        if attached.is_empty() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
                // The folder stays: another guest may be starting in it this moment.
                _ => Ok(()),
            };
        }
        self.make_folder()?;
        let new = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).write(true).truncate(true).mode(0o600).open(&new);
        let mut file = file.map_err(failed("write", &new))?;
        let written = serde_json::to_writer(&mut file, attached).map_err(io::Error::from);
        written.and_then(|()| fs::rename(&new, &path)).map_err(failed("write", &path))
    }

    fn file(&self, domain: &Uuid) -> PathBuf {
        self.0.join(&domain.0).with_extension("json")
    }
}

fn read(path: &Path) -> Result<Vec<Attached>> {
    let failed = || Error::io(format!("read {}", path.display()));
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        text => serde_json::from_slice(&text.map_err(failed())?).map_err(io::Error::from).map_err(failed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_no_path() {
        let uuid: Uuid = "07095885-285E-4ba9-82d0-33162502abef".parse().unwrap();
        assert_eq!(uuid.0, "07095885-285e-4ba9-82d0-33162502abef");
        for bad in
            ["", "07095885", "../../../../../../../../../etc/passw", "07095885-285e-4ba9-82d0-33162502abe/"]
        {
            assert!(bad.parse::<Uuid>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("xbr-memory-{}", std::process::id()));
        let memory = Memory::within(&folder);
        let uuid: Uuid = "07095885-285e-4ba9-82d0-33162502abef".parse().unwrap();
        assert_eq!(memory.of(&uuid).unwrap(), []);
        assert_eq!(memory.all().unwrap(), []);
        memory.set(&uuid, &[]).unwrap();
        let _lock = memory.lock().unwrap();
        let attached = Attached { bridge: "xbr0".into(), ifname: "vnet3".parse().unwrap(), ifindex: 7 };
        for attached in [vec![attached.clone(), attached.clone()], vec![attached]] {
            memory.set(&uuid, &attached).unwrap();
            assert_eq!(memory.of(&uuid).unwrap(), attached);
            assert_eq!(memory.all().unwrap(), attached);
        }
        memory.set(&uuid, &[]).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(folder).unwrap();
    }
}
