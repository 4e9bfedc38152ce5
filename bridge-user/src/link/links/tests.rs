use super::*;
use crate::link::testing::{Elsewhere, in_new_namespace, index, links_with_veth, name, run, wait_until};
use crate::link::{OtherEnd, XdpMode};

fn get(links: &Links, text: &str) -> Link {
    links.get(&name(text)).unwrap().unwrap_or_else(|| panic!("no interface {text}"))
}

/// What `ip -d -j link show` says of an interface.
fn ip(text: &str) -> serde_json::Value {
    let all: serde_json::Value =
        serde_json::from_str(&run(&["ip", "-d", "-s", "-j", "link", "show", "dev", text])).unwrap();
    all[0].clone()
}

#[test]
fn a_link_reads_as_ip_reads_it() {
    in_new_namespace(|| {
        let links = links_with_veth();
        run(&["ip", "link", "set", "dev", "a", "up", "promisc", "on", "mtu", "1400"]);
        let (a, truth) = (get(&links, "a"), ip("a"));
        assert_eq!(u64::from(a.index), truth["ifindex"].as_u64().unwrap());
        assert_eq!(a.mac.unwrap().to_string(), truth["address"].as_str().unwrap());
        assert_eq!(u64::from(a.mtu), truth["mtu"].as_u64().unwrap());
        assert_eq!(u64::from(a.min_mtu), truth["min_mtu"].as_u64().unwrap());
        assert_eq!(u64::from(a.max_mtu), truth["max_mtu"].as_u64().unwrap());
        assert_eq!(u64::from(a.promiscuity), truth["promiscuity"].as_u64().unwrap());
        assert_eq!(u64::from(a.rx_queues), truth["num_rx_queues"].as_u64().unwrap());
        assert_eq!(a.kind.as_deref(), truth["linkinfo"]["info_kind"].as_str());
        assert!(a.up && !a.carrier && a.promiscuous && !a.wireless);
        assert_eq!(a.hardware, Link::ETHERNET);
        assert_eq!(a.other_end, Some(OtherEnd { index: index(&links, "b"), namespace: None }));
        run(&["ip", "link", "set", "dev", "b", "up"]);
        assert!(get(&links, "a").carrier);
        assert_eq!(get(&links, "lo").hardware, Link::LOOPBACK);
        assert_eq!((get(&links, "lo").kind, get(&links, "lo").other_end), (None, None));
    });
}

#[test]
fn links_are_found_in_each_way() {
    in_new_namespace(|| {
        let links = links_with_veth();
        let names: Vec<String> =
            links.list().unwrap().into_iter().map(|link| link.name.to_string()).collect();
        assert_eq!(names, ["lo", "b", "a"]);
        assert_eq!(links.by_index(index(&links, "a")).unwrap().unwrap().name, name("a"));
        assert_eq!(links.get(&name("nope")).unwrap(), None);
        assert_eq!(links.by_index(4711).unwrap(), None);
        run(&["ip", "link", "property", "add", "dev", "a", "altname", "other"]);
        assert_eq!(get(&links, "other").name, name("a"));
    });
}

#[test]
fn a_list_lacks_nothing_while_others_come_and_go() {
    in_new_namespace(|| {
        let links = links_with_veth();
        // Enough interfaces that the kernel lists them in several steps, of which b and a are in the middle.
        for number in 0..40 {
            run(&["ip", "link", "add", "name", &format!("v{number}"), "type", "veth"]);
        }
        let churn =
            "for i in $(seq 60); do ip link add name x type veth peer name y; ip link del dev x; done";
        let mut churn = std::process::Command::new("sh").args(["-c", churn]).spawn().unwrap();
        while churn.try_wait().unwrap().is_none() {
            let names: Vec<String> = links.list().unwrap().into_iter().map(|link| link.name.into()).collect();
            assert!(names.iter().filter(|name| name.starts_with('v')).count() == 80, "{names:?}");
            assert!(names.contains(&"a".to_string()) && names.contains(&"lo".to_string()));
        }
    });
}

#[test]
fn links_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Links>();
    shared::<LinkWatch>();
}

#[test]
fn a_link_survives_json() {
    in_new_namespace(|| {
        for link in links_with_veth().list().unwrap() {
            let text = serde_json::to_string(&link).unwrap();
            assert_eq!(serde_json::from_str::<Link>(&text).unwrap(), link);
        }
    });
}

#[test]
fn verbs_do_what_they_say() {
    in_new_namespace(|| {
        let links = links_with_veth();
        let a = index(&links, "a");
        let now = || links.by_index(a).unwrap().unwrap();
        links.set_up(a).unwrap();
        assert!(now().up);
        links.set_mtu(a, 9000).unwrap();
        assert_eq!(now().mtu, 9000);
        let mac = Mac([2, 0, 0, 0, 0, 7]);
        links.set_address(a, mac).unwrap();
        assert_eq!(now().mac, Some(mac));
        links.set_down(a).unwrap();
        assert!(!now().up && now().mtu == 9000);
        links.delete(a).unwrap();
        assert_eq!(links.by_index(a).unwrap(), None);
        assert_eq!(links.get(&name("b")).unwrap(), None);
    });
}

#[test]
fn promiscuity_is_a_flag_and_a_count() {
    in_new_namespace(|| {
        let links = links_with_veth();
        let a = index(&links, "a");
        let now = || links.by_index(a).unwrap().map(|link| (link.promiscuous, link.promiscuity)).unwrap();
        links.set_promiscuous(a, true).unwrap();
        links.set_promiscuous(a, true).unwrap();
        assert_eq!(now(), (true, 1));
        links.set_promiscuous(a, false).unwrap();
        assert_eq!(now(), (false, 0));
        // A bridge counts, and leaves the flag alone.
        run(&["ip", "link", "add", "name", "br", "type", "bridge"]);
        run(&["ip", "link", "set", "dev", "a", "master", "br"]);
        assert_eq!(now(), (false, 1));
    });
}

#[test]
fn errors_carry_name_and_kernels_words() {
    in_new_namespace(|| {
        let links = links_with_veth();
        let a = index(&links, "a");
        let sentence = |result: Result<()>| result.unwrap_err().to_string();
        let too_small = "cannot set the MTU of a to 7: mtu less than device minimum (Invalid argument)";
        assert_eq!(sentence(links.set_mtu(a, 7)), too_small);
        let group = Mac([1, 0, 0, 0, 0, 7]);
        let no_address =
            "cannot set the MAC address of a to 01:00:00:00:00:07: Cannot assign requested address";
        assert_eq!(sentence(links.set_address(a, group)), no_address);
        assert_eq!(sentence(links.delete(1)), "cannot delete lo: Operation not supported");
        let gone = links.set_up(4711).unwrap_err();
        assert_eq!(gone.to_string(), "cannot set interface 4711 up: No such device");
        assert!(gone.is_gone() && !gone.is_permission());
    });
}

#[test]
fn without_the_capability_it_says_so() {
    in_new_namespace(|| {
        let links = links_with_veth();
        let a = index(&links, "a");
        // seteuid of glibc would change all threads; the system call changes this one, and drops its capabilities.
        // SAFETY: setresuid touches no memory, and this thread ends with the test.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, -1, 65534, -1) }, 0);
        let error = links.set_up(a).unwrap_err();
        assert_eq!(error.to_string(), "cannot set a up: Operation not permitted");
        assert!(error.is_permission());
    });
}

#[test]
fn a_member_names_its_master() {
    in_new_namespace(|| {
        let links = links_with_veth();
        run(&["ip", "link", "add", "name", "br", "type", "bridge"]);
        run(&["ip", "link", "set", "dev", "a", "master", "br"]);
        let a = get(&links, "a");
        assert_eq!((a.master, a.slave_kind.as_deref()), (Some(index(&links, "br")), Some("bridge")));
        assert!(get(&links, "br").is_kind("bridge"));
    });
}

#[test]
fn the_other_end_may_be_elsewhere() {
    in_new_namespace(|| {
        let links = links_with_veth();
        run(&["ip", "link", "add", "link", "a", "name", "mv", "type", "macvlan"]);
        assert_eq!(
            get(&links, "mv").other_end,
            Some(OtherEnd { index: index(&links, "a"), namespace: None })
        );
        let b = index(&links, "b");
        let elsewhere = Elsewhere::new();
        elsewhere.take("b");
        let end = get(&links, "a").other_end;
        assert_eq!(end, Some(OtherEnd { index: b, namespace: Some(0) }));
    });
}

#[test]
fn addresses_and_qdiscs_are_listed() {
    in_new_namespace(|| {
        let links = links_with_veth();
        for address in ["192.0.2.1/24", "192.0.2.2/25", "2001:db8::1/64"] {
            run(&["ip", "address", "add", address, "dev", "a", "nodad"]);
        }
        run(&["ip", "address", "add", "198.51.100.1", "peer", "198.51.100.2/31", "dev", "b"]);
        let texts = |text: &str| -> Vec<String> {
            links.addresses(index(&links, text)).unwrap().iter().map(Address::to_string).collect()
        };
        assert_eq!(texts("a"), ["192.0.2.1/24", "192.0.2.2/25", "2001:db8::1/64"]);
        assert_eq!(texts("b"), ["198.51.100.1/31"]);
        run(&["tc", "qdisc", "add", "dev", "a", "clsact"]);
        run(&["tc", "qdisc", "add", "dev", "b", "ingress"]);
        run(&["tc", "qdisc", "add", "dev", "b", "root", "pfifo"]);
        // A device gets its default discipline when it comes up (dev_activate).
        let kinds = |text: &str| -> Vec<String> {
            links.qdiscs(index(&links, text)).unwrap().into_iter().map(|qdisc| qdisc.kind).collect()
        };
        assert_eq!(kinds("a"), ["clsact"]);
        links.set_up(index(&links, "a")).unwrap();
        assert_eq!(kinds("a"), ["noqueue", "clsact"]);
        assert_eq!(kinds("b"), ["pfifo", "ingress"]);
    });
}

#[test]
fn counters_count() {
    in_new_namespace(|| {
        let links = links_with_veth();
        links.set_up(index(&links, "a")).unwrap();
        links.set_up(index(&links, "b")).unwrap();
        let moved = || (get(&links, "a").statistics.tx_packets, get(&links, "b").statistics.rx_packets);
        // IPv6 greets its neighbours.
        wait_until(|| moved().0 > 0 && moved().1 > 0);
        let truth = ip("a");
        let statistics = get(&links, "a").statistics;
        assert!(statistics.tx_packets >= truth["stats64"]["tx"]["packets"].as_u64().unwrap());
        assert!(statistics.tx_bytes >= statistics.tx_packets * 14);
    });
}

#[test]
fn xdp_programs_show() {
    in_new_namespace(|| {
        let links = links_with_veth();
        assert_eq!(get(&links, "a").xdp, []);
        let program = pass_program();
        for (mode, keyword) in [(XdpMode::Native, 4), (XdpMode::Generic, 2)] {
            let a = index(&links, "a");
            attach(&links, a, Some(&program), keyword).unwrap();
            let found = get(&links, "a").xdp;
            assert_eq!(found.iter().map(|program| program.mode).collect::<Vec<_>>(), [mode]);
            assert!(found[0].id > 0);
            attach(&links, a, None, keyword).unwrap();
        }
    });
}

/// Attaches or detaches an XDP program through netlink, which xbr itself never does.
fn attach(
    links: &Links,
    index: u32,
    program: Option<&std::os::fd::OwnedFd>,
    mode: u32,
) -> Result<(), Reason> {
    use std::os::fd::AsRawFd;
    let fd = program.map_or(-1, |program| program.as_raw_fd());
    let nested = Request::new(0, &[]).attribute(1, &fd.to_ne_bytes()).attribute(3, &mode.to_ne_bytes());
    let request = Request::new(libc::RTM_SETLINK, &header(index, 0, 0));
    links.act(&request.attribute(libc::IFLA_XDP | 0x8000, nested.body()))
}

/// An XDP program that passes everything: `r0 = XDP_PASS; exit`.
fn pass_program() -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    let instructions: [u64; 2] = [0x2_0000_00b7, 0x95];
    let license = c"GPL";
    // The beginning of union bpf_attr for BPF_PROG_LOAD: type, count, instructions, license.
    let attribute: [u64; 16] = std::array::from_fn(|at| match at {
        0 => 6 | 2 << 32,
        1 => instructions.as_ptr() as u64,
        2 => license.as_ptr() as u64,
        _ => 0,
    });
    // SAFETY: the attribute and what it points to outlive the call, and the kernel only reads them.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 5, attribute.as_ptr(), size_of_val(&attribute)) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just given us this file descriptor.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) }
}
