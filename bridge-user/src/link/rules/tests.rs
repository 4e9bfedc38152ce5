use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::link::testing::{in_new_namespace, index, links_with_veth, run, try_run};

/// What the rules say of an interface, one word and place each.
fn names(name: &str, index: Option<u32>) -> Vec<String> {
    let named = |rule: &Rule| Some(format!("{} {}", rule.names(name, index)?, rule.place));
    list().unwrap().iter().filter_map(named).collect()
}

fn nft(script: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "nft refuses {script}");
}

/// The chains of the rules that name an interface.
fn chains(name: &str) -> Vec<String> {
    let chain = |place: &String| place.rsplit(' ').next().unwrap_or_default().to_string();
    names(name, None).iter().map(chain).collect()
}

#[test]
fn a_kernel_without_rules_has_none() {
    in_new_namespace(|| assert_eq!(list().unwrap(), []));
}

#[test]
fn comparisons_name_interfaces() {
    in_new_namespace(|| {
        nft("table bridge t {
            chain exact { iifname \"xvm1\" drop; }
            chain begins { oifname \"xvm*\" accept; }
            chain negated { iifname != \"xvm3\" accept; }
            chain source { ether saddr 52:54:00:00:00:01 drop; }
            chain tagged { iifname \"xvm\" meta mark 0x316d7678 drop; }
        }
        table ip t { chain other { iifname \"xvm4\" drop; }; }");
        assert_eq!(chains("xvm1"), ["exact", "begins"]);
        assert_eq!(chains("xvm3"), ["begins", "negated"]);
        assert_eq!(chains("xvm4"), ["begins"], "other families are no concern of a bridge");
        assert_eq!(chains("xvm"), ["begins", "tagged"]);
        assert_eq!(chains("xv"), Vec::<String>::new());
        assert_eq!(chains("vm1"), Vec::<String>::new());
        let place = names("xvm1", None).remove(0);
        assert!(
            place.starts_with("iifname rule ") && place.ends_with(" of nftables chain bridge t exact"),
            "{place}"
        );
    });
}

#[test]
fn sets_and_maps_name_interfaces() {
    in_new_namespace(|| {
        nft("table bridge t {
            set plain { type ifname; elements = { \"xvm5\", \"xvm6\" }; }
            set ranges { type ifname; flags interval; elements = { \"vnet*\", \"aa\" }; }
            set pair { type ifname . ether_addr; elements = { \"xvm7\" . 52:54:00:00:00:01 }; }
            chain plain { iifname @plain drop; }
            chain ranges { iifname @ranges drop; }
            chain pair { iifname . ether saddr @pair drop; }
            chain second { ether saddr . iifname { 52:54:00:00:00:01 . \"xvm8\" } drop; }
            chain both { iifname { \"q1\", \"q2\" } oifname vmap { \"z1\" : drop }; }
        }");
        for (name, chain) in [
            ("xvm5", Some("plain")),
            ("xvm6", Some("plain")),
            ("vnet0", Some("ranges")),
            ("vnet", Some("ranges")),
            ("aa", Some("ranges")),
            ("xvm7", Some("pair")),
            ("xvm8", Some("second")),
            ("q2", Some("both")),
            ("z1", Some("both")),
            ("ab", None),
            ("vneu", None),
            ("xvm9", None),
            ("vn", None),
        ] {
            assert_eq!(chains(name), chain.into_iter().collect::<Vec<_>>(), "{name}");
        }
    });
}

#[test]
fn indexes_and_devices_of_chains_name_interfaces() {
    in_new_namespace(|| {
        let links = links_with_veth();
        nft("table bridge t { chain f { iif \"a\" drop; oif { \"b\" } drop; }; }
            table netdev n {
                chain one { type filter hook ingress device \"a\" priority 0; }
                chain two { type filter hook ingress devices = { \"a\", \"b\" } priority 0; }
                chain three { type filter hook egress device \"b\" priority 0; }
            }");
        let of = |name: &str| names(name, Some(index(&links, name)));
        let (a, b) = (of("a"), of("b"));
        assert!(a[0].starts_with("iif rule "), "{a:?}");
        assert_eq!(a[1..], ["device nftables chain netdev n one", "device nftables chain netdev n two"]);
        assert!(b[0].starts_with("oif rule ") && b.len() == 2, "{b:?}");
    });
}

#[test]
fn ebtables_of_today_names_interfaces() {
    in_new_namespace(|| {
        for words in [
            "-A FORWARD -i xvm2 -j DROP",
            "-A FORWARD -o xvn+ -j DROP",
            "-t nat -A PREROUTING -i xvm4 -j DROP",
        ] {
            let command: Vec<_> = std::iter::once("ebtables-nft").chain(words.split(' ')).collect();
            assert!(try_run(&command), "{words}");
        }
        assert_eq!(chains("xvm2"), ["FORWARD"]);
        assert_eq!(chains("xvn77"), ["FORWARD"]);
        assert_eq!(chains("xvm4"), ["PREROUTING"]);
        assert_eq!(chains("xvm3"), Vec::<String>::new());
        run(&["ebtables-nft", "-F"]);
        assert_eq!(chains("xvm2"), Vec::<String>::new());
    });
}

#[test]
fn who_may_not_read_rules_is_told_so() {
    in_new_namespace(|| {
        // SAFETY: changes the credentials of this thread, which ends with the test. (glibc's own would change
        // those of all threads.)
        let done = unsafe { libc::syscall(libc::SYS_setresuid, -1, 65534, -1) };
        assert_eq!(done, 0);
        let error = list().unwrap_err();
        assert!(error.is_permission(), "{error}");
        assert_eq!(error.to_string(), "cannot read the nftables rules: Operation not permitted");
    });
}

/// Entries as the older ebtables has them.
mod legacy {
    use super::super::ebtables::parse;

    fn chain(name: &str) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes[4..4 + name.len()].copy_from_slice(name.as_bytes());
        bytes
    }

    fn entry(input: &[u8], output: &[u8], tail: usize) -> Vec<u8> {
        let mut bytes = vec![0; 112 + tail];
        bytes[0] = 1;
        bytes[10..10 + input.len()].copy_from_slice(input);
        bytes[42..42 + output.len()].copy_from_slice(output);
        let next = (bytes.len() as u32).to_ne_bytes();
        bytes[108..112].copy_from_slice(&next);
        bytes
    }

    #[test]
    fn rules_are_found_in_their_chains() {
        let table = [
            chain("INPUT"),
            chain("FORWARD"),
            entry(b"", b"", 40),
            entry(b"vnet0", b"", 64),
            entry(b"", b"xvm\x01", 40),
            chain("libvirt-I-vnet1"),
            entry(b"vnet1", b"vnet2", 40),
        ];
        let rules = parse("filter", &table.concat());
        let said = |name: &str| -> Vec<String> {
            let named = rules.iter().filter_map(|rule| Some((rule.names(name, None)?, &rule.place)));
            named.map(|(key, place)| format!("{key} {place}")).collect()
        };
        assert_eq!(said("vnet0"), ["iifname rule 2 of ebtables chain filter FORWARD"]);
        assert_eq!(said("xvm77"), ["oifname rule 3 of ebtables chain filter FORWARD"]);
        assert_eq!(said("vnet2"), ["oifname rule 1 of ebtables chain filter libvirt-I-vnet1"]);
        assert_eq!(said("vnet"), Vec::<String>::new());
    }

    #[test]
    fn no_bytes_make_it_panic_or_hang() {
        let good = [chain("FORWARD"), entry(b"vnet0", b"", 64), entry(b"", b"", 8)].concat();
        for length in 0..good.len() {
            parse("nat", &good[..length]);
            let mut odd = good.clone();
            odd[length] ^= 0xff;
            parse("nat", &odd);
        }
    }
}
