//! Real guests on TAPs that xbr made.

use xbr_lab::vm::{Kernel, Member, Nic, Seat, Vm, all_reach, checksum_errors, require_guests};
use xbr_lab::{Segment, Xbr};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;

#[test]
fn everyone_reaches_everyone() {
    if !require_guests(Kernel::Newest) {
        return;
    }
    let segment = Segment::builder().build();
    let host = &segment.host().ns;
    let bridge = Xbr::run(XBR, host, "--uplink eth0 --tap vm1 --tap vm2");
    let seats = [Seat(1), Seat(2)];
    let vms = seats.map(|seat| {
        Vm::builder(&format!("vm{}", seat.0))
            .nic(Nic::tap(&format!("vm{}", seat.0)).mac(seat.mac()))
            .launch(host)
    });
    for (vm, seat) in vms.iter().zip(seats) {
        vm.wait_ready();
        seat.address(vm, "eth0").unwrap();
    }
    bridge.wait_forwarding();

    let members: [Member; 4] = [
        Member::guest(&vms[0], seats[0]),
        Member::guest(&vms[1], seats[1]),
        segment.host().into(),
        segment.outside().into(),
    ];
    all_reach(&members, 2 * MIB).unwrap();
    for member in members {
        assert_eq!(checksum_errors(member.station).unwrap(), 0, "at {}", member.station.title());
    }
    for seat in seats {
        let station = bridge.station(seat.mac()).expect("a guest is in the FDB");
        assert_eq!(station["ifname"], format!("vm{}", seat.0));
    }
    bridge.stop();
}
