//! Loading the programs and holding them to devices.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    maps::ProgramArray,
    programs::{
        LinkOrder, ProgramError, ProgramFd, RawTracePoint, SchedClassifier, TcAttachType, Xdp, XdpMode,
        links::{FdLink, LinkError, PinnedLink},
        tc::{SchedClassifierLink, TcAttachOptions},
        xdp::XdpLink,
    },
};
use bridge_common::{
    PortId,
    maps::{self, programs},
};

use super::{
    Loader, PinDir, Slot, Tables, Way, btf, carry,
    error::{Error, Result, errno, words},
    layout::{self, Found},
    verify,
};

/// The programs, compiled by `build.rs`.
pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/xbr-bpf"));
#[cfg(feature = "lab")]
static OBJECT_WITH_OTHER_TAG: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/xbr-bpf-other-tag"));

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many stations the FDB holds.
    pub fdb_max: u32,
    /// The cookie of the network namespace that the bridge is in.
    pub namespace: u64,
    /// By what the TC programs are held to devices.
    pub way: Way,
    /// What the programs take for the time, in nanoseconds; 0 for the kernel's clock.
    #[cfg(feature = "lab")]
    pub clock: u64,
    /// Redirect in XDP without asking the checksum guard.
    #[cfg(feature = "lab")]
    pub no_guard: bool,
    /// Load the programs that do the same under another tag.
    #[cfg(feature = "lab")]
    pub other_tag: bool,
}

impl Options {
    /// The programs as users of a kernel with tcx run them.
    pub const fn new(fdb_max: u32, namespace: u64) -> Self {
        Self {
            fdb_max,
            namespace,
            way: Way::Tcx,
            #[cfg(feature = "lab")]
            clock: 0,
            #[cfg(feature = "lab")]
            no_guard: false,
            #[cfg(feature = "lab")]
            other_tag: false,
        }
    }

    #[cfg(feature = "lab")]
    fn object(&self) -> &'static [u8] {
        if self.other_tag { OBJECT_WITH_OTHER_TAG } else { OBJECT }
    }

    #[cfg(not(feature = "lab"))]
    fn object(&self) -> &'static [u8] {
        OBJECT
    }
}

/// How a bridge came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// From nothing.
    Fresh,
    /// Took over maps and links that it found.
    Adopted,
    /// Found maps of another shape, for this reason, and carried their content over.
    Rebuilt(String),
}

/// Whether a program now sits in a slot for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Newly attached.
    New,
    /// Replaced the program of a live link, without a gap.
    Replaced,
}

/// The loaded programs of one bridge.
pub struct Programs {
    pub(super) ebpf: Ebpf,
    pins: PinDir,
    way: Way,
    rebuilding: bool,
}

impl Programs {
    /// Loads the programs over the bridge's pinned maps, or over new ones. Nothing is attached yet.
    pub fn load(pins: &PinDir, options: &Options) -> Result<(Self, Tables, Start)> {
        Self::load_by(Loader::prepare(), pins, options)
    }

    /// As above, by a loader that was prepared earlier.
    pub fn load_by(loader: Loader, pins: &PinDir, options: &Options) -> Result<(Self, Tables, Start)> {
        let found = layout::compare(pins, options.object(), Some(options.fdb_max))?;
        pins.make()?;
        let facts = btf::facts(options.namespace);
        let rebuilding = matches!(found, Found::Other(_));
        if rebuilding {
            pins.begin_maps()?;
        }
        let pin = |name: &str| if rebuilding { pins.new_map(name) } else { pins.map(name) };
        let ebpf = load(loader.ready(), options, &facts, &pin)?;
        let mut tables = Tables::open_at(pin)?;
        let start = match found {
            Found::Nothing => Start::Fresh,
            Found::Same => Start::Adopted,
            Found::Other(reason) => {
                carry::over(pins, options.object(), &mut tables)?;
                Start::Rebuilt(reason)
            }
        };
        let mut programs = Self { ebpf, pins: pins.clone(), way: options.way, rebuilding };
        programs.verify_all()?;
        Ok((programs, tables, start))
    }

    /// To be called when every link runs the new programs: only now may the old maps go.
    pub fn settle(&mut self) -> Result<()> {
        if std::mem::take(&mut self.rebuilding) {
            self.pins.commit_maps()
        } else {
            // Of a controller that died while it changed the layout.
            self.pins.drop_old_maps()
        }
    }

    fn verify_all(&mut self) -> Result<()> {
        verify::all(&mut self.ebpf)?;
        // It is the programs' own now. aya keeps what it began with: as many zeroes.
        drop(self.ebpf.take_map(maps::RECENT));
        self.set_flooding()
    }

    /// Has the programs of this bridge, whichever are attached, call ours for frames that are for many. Done by [`Self::load`].
    pub fn set_flooding(&mut self) -> Result<()> {
        let program: &mut SchedClassifier = named(&mut self.ebpf, programs::FLOODING)?;
        let fd = copied(program.fd())?;
        self.set_called(maps::FLOODING, &fd)?;
        let program: &mut SchedClassifier = named(&mut self.ebpf, programs::NEIGHBOURS)?;
        let fd = copied(program.fd())?;
        self.set_called(maps::ANSWERING, &fd)?;
        let program: &mut Xdp = named(&mut self.ebpf, programs::SPREADING)?;
        let fd = copied(program.fd())?;
        self.set_called(maps::SPREADING, &fd)
    }

    fn set_called(&mut self, map: &'static str, fd: &ProgramFd) -> Result<()> {
        let array = self.ebpf.map_mut(map).ok_or_else(|| Error::Object { reason: "no map".into() })?;
        ProgramArray::try_from(array)
            .and_then(|mut array| array.set(0, fd, 0))
            .map_err(|error| Error::WriteMap { map, reason: words(&error) })
    }

    /// By what the TC programs are held to devices.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The TC program for a slot, for a filter of the clsact qdisc to hold.
    pub fn classifier(&mut self, port: PortId, slot: Slot) -> Result<BorrowedFd<'_>> {
        let program: &mut SchedClassifier = named(&mut self.ebpf, slot.program(port))?;
        let fd = program.fd().map_err(|error| Error::Object { reason: words(&error) })?;
        Ok(fd.as_fd())
    }

    /// Puts a program into a slot of a device, held by a link: by replacing the one of a live link, else anew.
    pub fn attach(&mut self, port: PortId, slot: Slot, interface: &str, ifindex: u32) -> Result<Attachment> {
        let path = self.pins.link(port, slot);
        match PinnedLink::from_pin(&path) {
            Ok(pinned) => match self.replace(pinned, port, slot, interface)? {
                true => return Ok(Attachment::Replaced),
                // The device went away and took the attachment along; only the pin is left.
                false => self.pins.unpin(port, slot)?,
            },
            Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::OpenMap { map: "link", reason: words(&error) }),
        }
        let link = match slot {
            Slot::Ingress => self.attach_tc(slot.program(port), TcAttachType::Ingress, interface),
            Slot::Egress => self.attach_tc(slot.program(port), TcAttachType::Egress, interface),
            Slot::Xdp => self.attach_xdp(slot.program(port), ifindex),
            Slot::Xmit => self.attach_tracepoint(slot.program(port)),
        };
        let link = link.map_err(|error| attach_error(&error, slot, interface))?;
        link.pin(&path).map_err(|error| Error::Pin { path, reason: words(&error) })?;
        Ok(Attachment::New)
    }

    /// False if the link is severed: its device is gone.
    fn replace(&mut self, pinned: PinnedLink, port: PortId, slot: Slot, interface: &str) -> Result<bool> {
        let failed = |reason| Error::Replace { interface: interface.into(), slot, reason };
        let wrong_kind = |error: LinkError| failed(words(&error));
        let link = FdLink::from(pinned);
        let program = slot.program(port);
        let outcome = match slot {
            Slot::Ingress | Slot::Egress => {
                let link = SchedClassifierLink::try_from(link).map_err(wrong_kind)?;
                let program: &mut SchedClassifier = named(&mut self.ebpf, program)?;
                program.attach_to_link(link).and_then(|id| program.take_link(id)).map(drop)
            }
            // A tracepoint's link cannot be given another program: attach anew.
            Slot::Xmit => return Ok(false),
            Slot::Xdp => {
                let link = XdpLink::try_from(link).map_err(wrong_kind)?;
                let program: &mut Xdp = named(&mut self.ebpf, program)?;
                program.attach_to_link(link).and_then(|id| program.take_link(id)).map(drop)
            }
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(libc::ENOLINK) => Ok(false),
            Err(error) => Err(failed(words(&error))),
        }
    }

    fn attach_tc(
        &mut self,
        name: &'static str,
        at: TcAttachType,
        interface: &str,
    ) -> Result<FdLink, ProgramError> {
        let program: &mut SchedClassifier = program(&mut self.ebpf, name)?;
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        let id = program.attach_with_options(interface, at, order)?;
        let link = program.take_link(id)?;
        link.try_into().map_err(|error: LinkError| io::Error::other(words(&error)).into())
    }

    fn attach_tracepoint(&mut self, name: &'static str) -> Result<FdLink, ProgramError> {
        let program: &mut RawTracePoint = program(&mut self.ebpf, name)?;
        let id = program.attach("xdp_devmap_xmit")?;
        Ok(program.take_link(id)?.into())
    }

    fn attach_xdp(&mut self, name: &'static str, ifindex: u32) -> Result<FdLink, ProgramError> {
        let program: &mut Xdp = program(&mut self.ebpf, name)?;
        let id = program.attach_to_if_index(ifindex, XdpMode::Driver)?;
        let link = program.take_link(id)?;
        // aya falls back to a netlink attachment on EINVAL, which would die with us: it goes again when the
        // link is dropped here, and we say what happened.
        link.try_into().map_err(|_: LinkError| io::Error::from_raw_os_error(libc::EINVAL).into())
    }
}

fn load(
    loader: EbpfLoader<'static>,
    options: &Options,
    facts: &btf::Facts,
    pin: &impl Fn(&str) -> std::path::PathBuf,
) -> Result<Ebpf> {
    #[cfg(feature = "lab")]
    let (clock, no_guard) = (options.clock, u64::from(options.no_guard));
    let mut loader = loader;
    loader.map_max_entries(maps::FDB, options.fdb_max);
    for name in maps::PINNED {
        loader.map_pin_path(name, pin(name));
    }
    loader.override_global(maps::constants::NET_OFFSETS, &facts.offsets, true);
    loader.override_global(maps::constants::ROWS_AT, &facts.rows_at, true);
    #[cfg(feature = "lab")]
    loader.override_global(maps::constants::CLOCK, &clock, true).override_global(
        maps::constants::NO_GUARD,
        &no_guard,
        true,
    );
    loader.load(options.object()).map_err(|error| Error::Load { reason: words(&error) })
}

fn copied(fd: Result<&ProgramFd, ProgramError>) -> Result<ProgramFd> {
    fd.and_then(|fd| Ok(fd.try_clone()?)).map_err(|error| Error::Object { reason: words(&error) })
}

fn attach_error(error: &ProgramError, slot: Slot, interface: &str) -> Error {
    Error::Attach { interface: interface.into(), slot, errno: errno(error), reason: words(error) }
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProgramError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let absent = || ProgramError::from(io::Error::other(format!("no program {name} in the object")));
    ebpf.program_mut(name).ok_or_else(absent)?.try_into()
}

fn named<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    program(ebpf, name).map_err(|error| Error::Object { reason: words(&error) })
}
