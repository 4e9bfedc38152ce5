//! Whether pinned maps are of the shape that this executable expects.
//!
//! aya takes whatever is pinned under a map's name: a larger value in the kernel then overruns the reader's
//! buffer. So shapes are compared before anything is loaded or read.

use std::{borrow::Cow, collections::BTreeMap, sync::OnceLock};

use aya::maps::MapData;
use aya_obj::Object;
use bridge_common::maps::{ADDED, EVENTS, FDB, PINNED, SIGHTINGS, SNOOPED};

use super::{
    PinDir,
    error::{Error, Result, words},
    programs::OBJECT,
};

/// `BPF_F_RDONLY_PROG`, which the kernel sets on every devmap by itself (`dev_map_init_map`).
const SET_BY_KERNEL: u32 = 0x80;

/// A map's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

/// What is pinned, against what we would pin.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Every map, of our shapes; the maps that [`ADDED`] names may be missing.
    Same,
    /// Something else; the text names the first difference.
    Other(String),
}

/// Compares the pinned maps of a bridge with those of `object`. `fdb_max` is the wanted size of the FDB, or
/// `None` for any.
pub fn compare(pins: &PinDir, object: &[u8], fdb_max: Option<u32>) -> Result<Found> {
    let known = shapes(object)?;
    let present = PINNED.iter().filter(|name| pins.map(name).exists()).count();
    if present == 0 {
        return Ok(Found::Nothing);
    }
    for name in PINNED {
        if ADDED.contains(&name) && !pins.map(name).exists() {
            continue;
        }
        let expected = expected(&known, name)?;
        let actual = match shape(pins, name) {
            Ok(shape) => shape,
            Err(reason) => return Ok(Found::Other(format!("map {name}: {reason}"))),
        };
        let wanted = if name == FDB { fdb_max } else { None };
        if !expected.fits(&actual, name, wanted) {
            return Ok(Found::Other(format!("map {name} is {actual:?}, not {expected:?}")));
        }
    }
    Ok(Found::Same)
}

/// Whether one pinned map has the shape that `object` expects, whatever the others have.
pub fn is_known(pins: &PinDir, object: &[u8], name: &str) -> Result<bool> {
    let expected = expected(&*shapes(object)?, name)?;
    Ok(shape(pins, name).is_ok_and(|actual| expected.fits(&actual, name, None)))
}

type Shapes = BTreeMap<String, Shape>;

/// The shapes of the maps of `object`. Our own is parsed once: a start looks at every bridge of the machine.
fn shapes(object: &[u8]) -> Result<Cow<'static, Shapes>> {
    static OURS: OnceLock<Shapes> = OnceLock::new();
    if !std::ptr::eq(object, OBJECT) {
        return parse(object).map(Cow::Owned);
    }
    if let Some(shapes) = OURS.get() {
        return Ok(Cow::Borrowed(shapes));
    }
    let shapes = parse(object)?;
    Ok(Cow::Borrowed(OURS.get_or_init(|| shapes)))
}

fn parse(object: &[u8]) -> Result<Shapes> {
    let object = Object::parse(object).map_err(|error| Error::Object { reason: words(&error) })?;
    let shape = |map: &aya_obj::Map| Shape {
        kind: map.map_type(),
        key: map.key_size(),
        value: map.value_size(),
        entries: map.max_entries(),
        flags: map.map_flags(),
    };
    Ok(object.maps.iter().map(|(name, map)| (name.clone(), shape(map))).collect())
}

fn expected(known: &Shapes, name: &str) -> Result<Shape> {
    known.get(name).copied().ok_or_else(|| Error::Object { reason: format!("no map {name}") })
}

impl Shape {
    /// Equal, but for what may differ: the FDB's size, unless one is wanted, and the ring's, which the kernel
    /// rounds to pages, and the number of CPUs.
    fn fits(&self, actual: &Self, name: &str, fdb_max: Option<u32>) -> bool {
        let entries = match name {
            FDB => fdb_max.unwrap_or(actual.entries),
            EVENTS | SIGHTINGS | SNOOPED => actual.entries,
            _ => self.entries,
        };
        Self { entries, ..*self } == *actual
    }
}

fn shape(pins: &PinDir, name: &str) -> std::result::Result<Shape, String> {
    let map = MapData::from_pin(pins.map(name)).map_err(|error| words(&error))?;
    let info = map.info().map_err(|error| words(&error))?;
    Ok(Shape {
        kind: info.map_type().map_err(|error| words(&error))? as u32,
        key: info.key_size(),
        value: info.value_size(),
        entries: info.max_entries(),
        flags: info.map_flags() & !SET_BY_KERNEL,
    })
}
