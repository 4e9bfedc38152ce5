//! What a measurement refuses before it has changed anything.

use std::path::PathBuf;

/// Why, in one sentence; [`Refusal::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Of `--baseline`.
    #[error("cannot use {path} as the baseline: {why}", path = path.display())]
    Baseline {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A gate that nothing could fail.
    #[error("the baseline and this run have no work of xbr's in common")]
    NothingInCommon,
    /// Nor one that a work could fail.
    #[error("the gate's baseline says nothing of {0}")]
    NotInBaseline(String),
    /// Of `pktgen`.
    #[error("measuring needs root")]
    NotRoot,
    /// The kernel's generator is not there.
    #[error("this kernel has no pktgen in this network namespace")]
    NoPktgen,
    /// Its threads have devices already.
    #[error("pktgen is in use: thread {thread} has {devices}")]
    Busy {
        /// One of `kpktgend_N`.
        thread: String,
        /// Their names.
        devices: String,
    },
    /// No such device.
    #[error("there is no device {0}")]
    NoDevice(String),
    /// Neither is there one elsewhere.
    #[error("there is no network namespace {0}")]
    NoNamespace(String),
    /// Somebody uses it.
    #[error("{device} {why}")]
    InUse {
        /// The device.
        device: String,
        /// As in "has the address …".
        why: String,
    },
    /// One device in two parts.
    #[error("{0} is named twice: what sends, what receives and the switch's ports are different devices")]
    Twice(String),
    /// Of a frame, with FCS.
    #[error("{0} bytes is no frame for pktgen: 64 to 9022, with FCS")]
    Size(u32),
    /// A frame that does not fit.
    #[error("frames of {size} bytes do not fit the MTU {mtu} of {device}")]
    Mtu {
        /// The device.
        device: String,
        /// Of the frame, with FCS.
        size: u32,
        /// Its own.
        mtu: u32,
    },
    /// A CPU that pktgen has no thread for.
    #[error("pktgen has no thread for CPU {0}")]
    NoCpu(usize),
    /// An option whose value makes no sense.
    #[error("{0}")]
    Option(String),
}

impl Refusal {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Refusal::Baseline { .. } => "name the results.json of an earlier run".into(),
            Refusal::NothingInCommon => "measure what the baseline has, with xbr and the bridge in it".into(),
            Refusal::NotInBaseline(_) => {
                "write it anew, on a quiet machine: cargo xtask bench --gate --renew".into()
            }
            Refusal::NotRoot => "run it as root".into(),
            Refusal::NoPktgen => "modprobe pktgen; distributions have it in a package of more modules".into(),
            Refusal::Busy { .. } => "end what uses it, or: echo reset > /proc/net/pktgen/pgctrl".into(),
            Refusal::NoDevice(_) => "`ip link` names all devices".into(),
            Refusal::NoNamespace(_) => "`ip netns` names those that have names; a path works too".into(),
            Refusal::InUse { .. } => "measuring floods and rewires the device; --force if you mean it".into(),
            Refusal::Twice(_) => "cable each of them to another port".into(),
            Refusal::Size(_) => "RFC 2544 has 64, 128, 256, 512, 1024 and 1518".into(),
            Refusal::Mtu { device, size, .. } => format!("ip link set {device} mtu {}", size - 18),
            Refusal::NoCpu(_) => "`ls /proc/net/pktgen` shows its threads".into(),
            Refusal::Option(_) => "`cargo xtask bench pktgen --help` explains all options".into(),
        }
    }
}
