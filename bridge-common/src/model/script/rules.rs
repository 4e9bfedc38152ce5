//! VLANs and policies out of bytes.

use super::{ABSENT, Bytes, Step, bytes::station};
use crate::{
    PortFlags, PortId,
    config::ConfigFlags,
    model::{Model, build::Speaker},
    policy::{Guards, Policy, Rate, Source},
    vlan::Membership,
};

/// The VLANs of a script.
pub const VIDS: [u16; 4] = [1, 10, 20, 4094];

/// PVIDs: mostly VLANs that there are; one that nobody is in, and none.
const PVIDS: [u16; 8] = [1, 1, 10, 10, 20, 4094, 30, 0];

fn ports() -> impl Iterator<Item = PortId> {
    (0..=ABSENT.0).map(PortId)
}

/// VLANs with most ports in them, and filtering.
pub fn vlans(bytes: &mut Bytes<'_>, model: &mut Model) {
    model.config.flags = model.config.flags.with(ConfigFlags::VLAN_FILTERING, true);
    for vid in VIDS {
        let (members, untagged) = (bytes.byte() | bytes.byte(), bytes.byte());
        for id in ports() {
            let bit = 1 << id.0;
            let part = if untagged & bit != 0 { Membership::Untagged } else { Membership::Tagged };
            model.set_member(vid, id, if members & bit != 0 { part } else { Membership::None });
        }
    }
    for id in ports() {
        let pvid = PVIDS[usize::from(bytes.byte()) % PVIDS.len()];
        model.set_policy(id, Policy { flags: PortFlags::default().with_pvid(pvid), ..Policy::default() });
    }
}

/// Flap damping, what each port is allowed, and addresses for it.
pub fn policies(bytes: &mut Bytes<'_>, model: &mut Model) {
    let damping = bytes.byte();
    model.config.flap_moves = [0, 0, 1, 2][usize::from(damping & 3)];
    model.config.flap_window = if damping & 4 != 0 { 10 } else { 1 };
    for id in ports() {
        let pvid = model.policies.get(&id).map_or(0, |policy| policy.flags.pvid());
        model.set_policy(id, policy(bytes, id, pvid));
        let macs = u32::from_be_bytes([0; 4].map(|_: u8| bytes.byte() | bytes.byte()));
        let own = (0..24).filter(|number| macs >> number & 1 != 0).map(|n| Source::mac(id, station(n)));
        model.sources.extend(own);
        let addresses = bytes.byte() | bytes.byte();
        let own = (0..8).filter(|number| addresses >> number & 1 != 0).flat_map(|n| address(id, n));
        model.sources.extend(own);
    }
}

fn address(id: PortId, number: u8) -> [Source; 2] {
    let speaker = Speaker::Address(number);
    [Source::v4(id, speaker.v4()), Source::v6(id, speaker.v6(station(0)))]
}

/// Each bit of it is set in one of four, or of eight, or there would be nothing that passes.
fn policy(bytes: &mut Bytes<'_>, id: PortId, pvid: u16) -> Policy {
    let some = bytes.byte() & bytes.byte();
    let few = some & bytes.byte();
    let flags = PortFlags::default()
        .with_pvid(pvid)
        .with(PortFlags::ISOLATED, some & 1 != 0)
        // A frame of host or wire goes on by itself: there is no way back.
        .with(PortFlags::HAIRPIN, some & 2 != 0 && id.is_guest())
        .with(PortFlags::NO_FLOOD, some & 4 != 0)
        .with(PortFlags::NO_MCAST_FLOOD, some & 8 != 0)
        .with(PortFlags::NO_BCAST_FLOOD, some & 16 != 0)
        .with(PortFlags::NO_LEARNING, few & 32 != 0)
        .with(PortFlags::LOCKED, few & 64 != 0);
    let guards = Guards(u32::from(bytes.byte() & bytes.byte()) & 0x1f);
    let stations_max = [0, 0, 0, 1, 2, 3, 5, 8][usize::from(bytes.byte() & 7)];
    let mut policy = Policy { flags, guards, stations_max, ..Policy::default() };
    // Storms more often than rates: few frames are floods.
    let (limited, tight) = (bytes.byte() & (bytes.byte() | 7), bytes.byte());
    for (index, rate) in policy.rates.iter_mut().enumerate().filter(|(index, _)| limited >> index & 1 != 0) {
        let tight = tight >> index & 1 != 0;
        *rate = match (index < 3, tight) {
            (true, true) => Rate::frames(3, 1),
            (true, false) => Rate::frames(10, 4),
            (false, true) => Rate::bits(8_000, 3_000),
            (false, false) => Rate::bits(80_000, 20_000),
        };
    }
    policy
}

/// Something that the operator changes.
pub fn step(bytes: &mut Bytes<'_>, facts: &Model) -> Step {
    let (what, id) = (bytes.byte(), bytes.port());
    let pvid = facts.policies.get(&id).map_or(0, |policy| policy.flags.pvid());
    match what % 8 {
        0 if !facts.vlans.is_empty() => Step::Filtering(!facts.config.filters_vlans()),
        1..4 if !facts.vlans.is_empty() => {
            let part =
                [Membership::None, Membership::Tagged, Membership::Untagged][usize::from(what >> 3) % 3];
            Step::Member(VIDS[usize::from(what >> 6)], id, part)
        }
        4 | 5 => {
            let sources = match what >> 3 & 1 {
                0 => address(id, bytes.byte() % 8)[usize::from(what >> 4 & 1)],
                _ => Source::mac(id, station(bytes.byte() % 24)),
            };
            Step::Source(sources, what & 0x80 != 0)
        }
        6 => {
            let pvid = PVIDS[usize::from(bytes.byte()) % PVIDS.len()];
            let old = facts.policies.get(&id).copied().unwrap_or_default();
            Step::Policy(id, Policy { flags: old.flags.with_pvid(pvid), ..old })
        }
        _ => Step::Policy(id, policy(bytes, id, pvid)),
    }
}
