//! The maps, one static each. Their names are those in `bridge_common::maps`.

use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{ArrayOfMaps, DevMap as InnerDevMap},
    macros::{btf_map, map},
    maps::{Array, DevMap, HashMap, PerCpuArray, PerfEventByteArray, ProgramArray, RingBuf},
};
use bridge_common::{
    FdbEntry, FdbKey, Port, PortCounters,
    maps::{DEFAULT_FDB_MAX, EVENT_RING_BYTES, constants::NetOffsets},
    multicast::{self, GroupCounters, GroupKey, GroupPolicy, GroupSet, MAX_KEYS},
    neigh::{Heard, NEIGHBOURS_MAX, Neighbour, NeighbourKey},
    policy::{MAX_SOURCES, Meter, Policy, Source},
    port::MAX_PORTS,
    recipients::{MAX_KINDS, MAX_SETS, Recipients},
    record::{BridgeRecord, PortRecord},
    snoop::{SNOOP_BUDGETS, SNOOP_RING_BYTES, SnoopBudget},
    state::State,
    vlan::{MAX_VLANS, Vlan, VlanCounters},
};

use crate::judged::Judged;

#[map]
pub static PORT_OF: HashMap<u32, u32> = HashMap::with_max_entries(MAX_PORTS, 0);

#[map]
pub static PORTS: Array<Port> = Array::with_max_entries(MAX_PORTS, 0);

/// Preallocated and no LRU: an LRU throws out a live or static station when a guest floods random sources.
#[map]
pub static FDB: HashMap<FdbKey, FdbEntry> = HashMap::with_max_entries(DEFAULT_FDB_MAX, 0);

#[map]
pub static STATE: Array<State> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static COUNTERS: PerCpuArray<PortCounters> = PerCpuArray::with_max_entries(MAX_PORTS, 0);

#[map]
pub static DEVICES: DevMap = DevMap::with_max_entries(MAX_PORTS, 0);

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_RING_BYTES, 0);

/// What a port has reported in the current second.
#[repr(C)]
pub struct Budget {
    pub second: u64,
    pub used: u64,
    /// Of them, what tells of something that was not allowed.
    pub refusals: u64,
}

#[map]
pub static EVENT_BUDGET: Array<Budget> = Array::with_max_entries(MAX_PORTS, 0);

/// The last search for expired entries.
#[repr(C)]
pub struct Reclaim {
    /// When it began, in nanoseconds.
    pub last: u64,
    /// Elements that it looked at.
    pub visited: u64,
    /// Elements that it freed.
    pub freed: u64,
}

#[map]
pub static RECLAIM: Array<Reclaim> = Array::with_max_entries(1, 0);

/// A perf ring and no ring buffer: the kernel itself appends the bytes of a frame, wherever they lie, and the rings
/// belong to the process that captures, so that nothing of them is left when it dies.
#[map]
pub static SIGHTINGS: PerfEventByteArray = PerfEventByteArray::new(0);

/// For each CPU its own, since this target has no atomic addition.
#[map]
pub static UNSEEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub static VLANS: Array<Vlan> = Array::with_max_entries(MAX_VLANS, 0);

/// 128 KiB for each CPU, where a hash would be asked twice for each frame.
#[map]
pub static VLAN_COUNTERS: PerCpuArray<VlanCounters> = PerCpuArray::with_max_entries(MAX_VLANS, 0);

#[map]
pub static POLICIES: Array<Policy> = Array::with_max_entries(MAX_PORTS, 0);

#[map]
pub static SOURCES: HashMap<Source, u32> = HashMap::with_max_entries(MAX_SOURCES, BPF_F_NO_PREALLOC);

#[map]
pub static METERS: Array<[u64; Meter::COUNT]> = Array::with_max_entries(MAX_PORTS, 0);

#[map]
pub static LEARNED: Array<u64> = Array::with_max_entries(MAX_PORTS, 0);

#[map]
pub static FORGOTTEN: Array<u64> = Array::with_max_entries(MAX_PORTS, 0);

#[map]
pub static PROBE: Array<u64> = Array::with_max_entries(1, 0);

#[map]
pub static PROBED: Array<u64> = Array::with_max_entries(MAX_PORTS, 0);

#[map]
pub static NEIGHBOURS: HashMap<NeighbourKey, Neighbour> = HashMap::with_max_entries(NEIGHBOURS_MAX, 0);

#[map]
pub static NEIGH_USED: Array<u64> = Array::with_max_entries(MAX_PORTS, 0);

/// What `xbr_neighbours` reads out of a frame, of one run and not pinned. In a map, since a chain of calls has 512 bytes of stack together.
#[map]
pub static HEARD: PerCpuArray<Heard> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub static ANSWERING: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
pub static GROUPS: HashMap<GroupKey, u32> = HashMap::with_max_entries(MAX_KEYS, BPF_F_NO_PREALLOC);

#[map]
pub static GROUP_SETS: Array<GroupSet> = Array::with_max_entries(multicast::MAX_SETS, 0);

/// The controller's own, as is the next.
#[map]
pub static GROUP_POLICIES: Array<GroupPolicy> = Array::with_max_entries(MAX_PORTS, 0);

#[map]
pub static GROUP_COUNTERS: Array<GroupCounters> = Array::with_max_entries(MAX_PORTS, 0);

#[map]
pub static SNOOPED: RingBuf = RingBuf::with_byte_size(SNOOP_RING_BYTES, 0);

#[map]
pub static SNOOP_BUDGET: Array<SnoopBudget> = Array::with_max_entries(SNOOP_BUDGETS, 0);

/// Pinned as well: the kernel empties such an array when nobody in user space holds it any more (`bpf_fd_array_map_clear`).
#[map]
pub static FLOODING: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// As [`FLOODING`], of XDP: an array holds programs of one type.
#[map]
pub static SPREADING: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Where a decision is written that is not `Plain`, for the functions and programs that go on with it. XDP and TC programs of one CPU do not interrupt each other: both
/// run where softirqs are held off. Pinned, since a program's callers may for a moment be those of another version.
#[map]
pub static JUDGED: PerCpuArray<Judged> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub static FLOOD_STATE: Array<u64> = Array::with_max_entries(1, 0);

#[map]
pub static FLOOD_OF: HashMap<u32, u32> = HashMap::with_max_entries(MAX_KINDS, BPF_F_NO_PREALLOC);

#[map]
pub static FLOOD_SETS: Array<Recipients> = Array::with_max_entries(2 * MAX_SETS, 0);

/// A broadcast goes through all of a devmap's slots, so each of these has as many as it needs: of its kind's shape only type, key, value
/// and flags are compared (`bpf_map_meta_equal`).
#[btf_map]
pub static FLOOD_DEVICES: ArrayOfMaps<InnerDevMap<1>, { 2 * MAX_SETS as usize }> = ArrayOfMaps::new();

/// The controller's own, which no program reads: see `bridge_common::record`.
#[map]
pub static RECORDS: Array<PortRecord> = Array::with_max_entries(MAX_PORTS, 0);

/// As above.
#[map]
pub static JOINED: Array<u64> = Array::with_max_entries(MAX_PORTS, 0);

/// As above.
#[map]
pub static BRIDGE: Array<BridgeRecord> = Array::with_max_entries(1, 0);

/// See `bridge_common::maps::constants`.
#[unsafe(no_mangle)]
pub static CLOCK: Global<u64> = Global::new(0);

/// See `bridge_common::maps::constants`.
#[unsafe(no_mangle)]
static NO_GUARD: Global<u64> = Global::new(0);

/// See `bridge_common::maps::constants`.
#[unsafe(no_mangle)]
pub static NET_OFFSETS: Global<NetOffsets> = Global::new(NetOffsets::NONE);

/// See `bridge_common::maps::constants`.
#[unsafe(no_mangle)]
pub static ROWS_AT: Global<u64> = Global::new(0);

/// Whether a port's unfinished checksums matter.
#[inline(always)]
pub fn guard_is_on() -> bool {
    NO_GUARD.load() == 0
}
