//! Single changes to the machine, and what takes each back.

use bridge_common::{Port, PortId, record::PortRecord};

use crate::{datapath::Slot, link::InterfaceName};

/// One change to the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Write down what is about to be done.
    Record(PortId, PortRecord),
    /// Forget the port, its stations included.
    Forget(PortId),
    /// Allow or forbid IPv6 on the device itself.
    Ipv6(InterfaceName, bool),
    /// Turn an ethtool feature on or off.
    Feature(InterfaceName, &'static str, bool),
    /// Take frames for any address, or not.
    Promiscuous(InterfaceName, bool),
    /// Tell the programs of a port.
    Facts(PortId, Port),
    /// Tell the programs that a device is no port any more.
    NoFacts(PortId, u32),
    /// Give the device a clsact qdisc, or take it away.
    Clsact(InterfaceName, bool),
    /// Put a program into a slot.
    Attach(PortId, Slot, InterfaceName, u32),
    /// Take it out. A filter is found by its device.
    Detach(PortId, Slot, u32),
    /// Let XDP redirect to a port.
    Enter(PortId, u32),
    /// Not any more.
    Leave(PortId),
    /// Fail if the device has a master.
    Free(InterfaceName),
    /// Set the device up.
    Up(InterfaceName),
    /// Set it down.
    Down(InterfaceName),
    /// Delete the TAP that we made.
    Destroy(InterfaceName),
}

/// A change and how to take it back.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What to do, if anything.
    pub act: Option<Act>,
    /// What takes it back, if anything does.
    pub undo: Option<Act>,
}

impl Step {
    pub(super) fn new(act: Act, undo: Act) -> Self {
        Self { act: Some(act), undo: Some(undo) }
    }

    pub(super) fn only_undo(undo: Act) -> Self {
        Self { act: None, undo: Some(undo) }
    }
}

/// The undos of `steps`, last first.
pub fn backwards(steps: Vec<Step>) -> Vec<Act> {
    steps.into_iter().rev().filter_map(|step| step.undo).collect()
}
