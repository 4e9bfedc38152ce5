//! Where things are pinned: `<bpffs>/xbr/<bridge>/{maps,links}/`.
//!
//! bpffs reserves names with dots (`bpf_lookup`), so links are named by port number and slot, and a bridge's
//! name has no dot.
//!
//! A filter of the clsact qdisc is no object that could be pinned, and it holds its program itself. What lies in
//! `links` for one is a mark, an empty folder: a pinned program would have to be exchanged at every adoption
//! too, in a second step that a crash could leave out.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bridge_common::PortId;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{
    BridgeName, Slot, Way, detach,
    error::{Error, Result},
};

/// The mount point of the BPF file system: `/sys/fs/bpf` where it is one, else the first of the mount table.
pub fn bpffs() -> Result<PathBuf> {
    let path = Path::new("/proc/self/mounts");
    let mounts = fs::read_to_string(path).map_err(|source| Error::ReadPins { path: path.into(), source })?;
    let usual = "/sys/fs/bpf";
    let mut points = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?;
        (fields.next() == Some("bpf")).then_some(point)
    });
    let first = points.next().ok_or(Error::NoBpffs)?;
    let point = if first == usual || points.any(|point| point == usual) { usual } else { first };
    Ok(point.into())
}

/// The folder of one bridge.
#[derive(Clone, Debug)]
pub struct PinDir {
    path: PathBuf,
    bridge: BridgeName,
}

/// The folder of maps that [`PinDir::commit_maps`] has not put in place yet.
const NEW_MAPS: &str = "maps_new";

/// How the name of a filter's mark ends.
const FILTER: &str = "clsact";

impl PinDir {
    /// The folder of `bridge`, which need not exist.
    pub fn of(bridge: &BridgeName) -> Result<Self> {
        let path = bpffs()?.join("xbr").join(bridge.as_str());
        Ok(Self { path, bridge: bridge.clone() })
    }

    /// Every bridge of this machine, of whatever network namespace.
    pub fn all() -> Result<Vec<Self>> {
        let root = bpffs()?.join("xbr");
        let mut found = Vec::new();
        for name in list(&root)? {
            if let Ok(bridge) = name.parse::<BridgeName>() {
                found.push(Self { path: root.join(&name), bridge });
            }
        }
        found.sort_by(|a, b| a.bridge.cmp(&b.bridge));
        Ok(found)
    }

    /// The bridge's name.
    pub fn bridge(&self) -> &BridgeName {
        &self.bridge
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is anything of this bridge.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The pin of a map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.path.join("maps").join(name)
    }

    /// The pin of a map of another layout that is being made beside the old one.
    pub(super) fn new_map(&self, name: &str) -> PathBuf {
        self.path.join(NEW_MAPS).join(name)
    }

    /// The pin of a port's link.
    pub(super) fn link(&self, port: PortId, slot: Slot) -> PathBuf {
        self.path.join("links").join(format!("{}_{}", port.0, slot.pin_name()))
    }

    /// The mark of a port's filter.
    fn mark(&self, port: PortId, slot: Slot) -> PathBuf {
        self.path.join("links").join(format!("{}_{}_{FILTER}", port.0, slot.pin_name()))
    }

    /// Whether something of ours is pinned for this slot.
    pub fn is_attached(&self, port: PortId, slot: Slot) -> bool {
        self.link(port, slot).exists() || self.is_marked(port, slot)
    }

    /// Whether the slot is marked as a filter's.
    pub fn is_marked(&self, port: PortId, slot: Slot) -> bool {
        self.mark(port, slot).exists()
    }

    /// Marks the slot as a filter's. To be done before the filter is made, so that a crash leaves no filter
    /// without its mark.
    pub fn set_mark(&self, port: PortId, slot: Slot) -> Result<()> {
        make_dir(&self.mark(port, slot))
    }

    /// The way in which the bridge's TC programs are attached, if any are.
    pub fn way(&self) -> Result<Option<Way>> {
        let names = list(&self.path.join("links"))?;
        let any = |ends: &[&str]| names.iter().any(|name| ends.iter().any(|end| name.ends_with(end)));
        let (ingress, egress) = (Slot::Ingress.pin_name(), Slot::Egress.pin_name());
        Ok(match (any(&[FILTER]), any(&[ingress, egress])) {
            (true, _) => Some(Way::Clsact),
            (false, true) => Some(Way::Tcx),
            (false, false) => None,
        })
    }

    /// Takes the program out of a slot where its link's pin alone holds it there, and removes the mark of a
    /// filter. Nothing there is fine.
    pub fn unpin(&self, port: PortId, slot: Slot) -> Result<()> {
        // A tracepoint's link cannot be detached, nor can one whose device is gone, and a mark is no link: then
        // removing it is all there is to do.
        let _ = detach::at_once(&self.link(port, slot));
        for removed in [fs::remove_file(self.link(port, slot)), fs::remove_dir(self.mark(port, slot))] {
            match removed {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::Detach { port: port.0, slot, reason: error.to_string() }),
            }
        }
        Ok(())
    }

    /// Makes the folders.
    pub(super) fn make(&self) -> Result<()> {
        for folder in ["maps", "links"] {
            make_dir(&self.path.join(folder))?;
        }
        Ok(())
    }

    /// Makes an empty folder for maps of another layout.
    pub(super) fn begin_maps(&self) -> Result<()> {
        let folder = self.path.join(NEW_MAPS);
        remove_dir(&folder)?;
        make_dir(&folder)
    }

    /// Puts the maps of the new layout in the old ones' place: at once, since whoever dies between two steps would
    /// leave a bridge without tables.
    pub(super) fn commit_maps(&self) -> Result<()> {
        let (from, to) = (self.path.join(NEW_MAPS), self.path.join("maps"));
        renameat2(AT_FDCWD, &from, AT_FDCWD, &to, RenameFlags::RENAME_EXCHANGE)
            .map_err(|errno| Error::MakePins { path: to, source: errno.into() })?;
        self.drop_old_maps()
    }

    /// Removes what is left of a change of layout.
    pub(super) fn drop_old_maps(&self) -> Result<()> {
        remove_dir(&self.path.join(NEW_MAPS))
    }

    /// Removes every pin: what is attached by its link alone is detached.
    pub fn remove(&self) -> Result<()> {
        remove_dir(&self.path)?;
        // Other bridges may live beside it: then the parent stays.
        if let Some(parent) = self.path.parent() {
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }
}

fn list(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::ReadPins { path: folder.into(), source }),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::ReadPins { path: folder.into(), source })?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::MakePins { path: path.into(), source })
}

fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::RemovePins { path: path.into(), source }),
    }
}
