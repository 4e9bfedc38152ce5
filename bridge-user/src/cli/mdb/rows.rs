//! Groups as rows, text and JSON.

use std::{collections::BTreeMap, net::IpAddr};

use bridge_common::PortId;
use serde::Serialize;

use crate::multicast::{Entries, GroupId, Ports, each};

/// What `xbr mdb show -j` has: the keys of `bridge -d -j mdb`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Mdb {
    mdb: Vec<Row>,
    /// By bridge.
    router: BTreeMap<String, Vec<Router>>,
}

/// A port in a group.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    /// The uplink's, since the bridge has no device of its own.
    index: u32,
    /// The bridge.
    dev: String,
    port: String,
    grp: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    src: Option<IpAddr>,
    /// `permanent` or `temp`.
    state: &'static str,
    /// `exclude`: all sources but those with the flag `blocked`; `include`: this source.
    filter_mode: &'static str,
    /// `blocked`, for a source that the port does not want.
    flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vid: Option<u16>,
}

/// A port behind which there is a multicast router.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Router {
    port: String,
    /// `permanent` or `temp`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// In this VLAN only.
    #[serde(skip_serializing_if = "Option::is_none")]
    vid: Option<u16>,
}

/// Which bridge.
pub struct Place<'a> {
    /// Its name.
    pub bridge: &'a str,
    /// Its uplink.
    pub index: u32,
    /// Its ports.
    pub names: &'a BTreeMap<PortId, String>,
}

/// Which rows; what is `None` is no filter.
#[derive(Debug, Default)]
pub struct Filter {
    /// The port's name.
    pub port: Option<String>,
    /// The group.
    pub group: Option<IpAddr>,
    /// The source.
    pub source: Option<IpAddr>,
    /// The VLAN.
    pub vid: Option<u16>,
}

const fn state(permanent: bool) -> &'static str {
    if permanent { "permanent" } else { "temp" }
}

/// Routers by VLAN: where groups are trusted there, and of `all` those that are in none of these, by VLAN 0.
pub fn routers(all: &Ports, asked: &BTreeMap<GroupId, Ports>) -> BTreeMap<u16, Ports> {
    let mut routers = BTreeMap::<u16, Ports>::new();
    let of_vlans = asked.iter().flat_map(|(id, of)| each(of.ports).map(|port| (id.vlan, port)));
    let of_vlans: Vec<_> = of_vlans.filter(|(vlan, _)| *vlan != 0).collect();
    let others =
        each(all.ports).filter(|port| of_vlans.iter().all(|(_, at)| at != port)).map(|port| (0, port));
    for (vlan, port) in of_vlans.iter().copied().chain(others) {
        let Ports { ports, permanent } = routers.entry(vlan).or_default();
        *ports = ports.with(port, true);
        *permanent = permanent.with(port, all.permanent.has(port));
    }
    routers
}

/// The rows that the filter lets through, and the routers.
pub fn rows(
    place: &Place<'_>,
    groups: &BTreeMap<GroupId, Entries>,
    routers: &BTreeMap<u16, Ports>,
    filter: &Filter,
) -> Mdb {
    let mut mdb = Vec::new();
    let wanted = |id: &GroupId| {
        filter.group.is_none_or(|group| group == id.group) && filter.vid.is_none_or(|vid| vid == id.vlan)
    };
    for (id, entries) in groups.iter().filter(|(id, _)| wanted(id)) {
        mdb.extend(of_group(place, id, entries));
    }
    mdb.retain(|row| {
        filter.port.as_ref().is_none_or(|port| *port == row.port)
            && filter.source.is_none_or(|source| Some(source) == row.src)
    });
    let routers = routers.iter().flat_map(|(vlan, of)| {
        let vid = (*vlan != 0).then_some(*vlan);
        each(of.ports).map(move |port| Router {
            port: name(place, port),
            kind: state(of.permanent.has(port)),
            vid,
        })
    });
    let routers = routers.filter(|router| {
        filter.port.as_ref().is_none_or(|port| *port == router.port)
            && (router.vid.is_none() || filter.vid.is_none() || filter.vid == router.vid)
    });
    Mdb { mdb, router: [(place.bridge.into(), routers.collect())].into() }
}

fn name(place: &Place<'_>, port: PortId) -> String {
    place.names.get(&port).cloned().unwrap_or_else(|| format!("#{}", port.0))
}

fn of_group(place: &Place<'_>, id: &GroupId, entries: &Entries) -> Vec<Row> {
    let all = entries.get(&None).copied().unwrap_or_default();
    let row = |port, src, permanent, filter_mode, flags| Row {
        index: place.index,
        dev: place.bridge.into(),
        port: name(place, port),
        grp: id.group,
        src,
        state: state(permanent),
        filter_mode,
        flags,
        vid: (id.vlan != 0).then_some(id.vlan),
    };
    let mut rows: Vec<_> =
        each(all.ports).map(|port| row(port, None, all.permanent.has(port), "exclude", Vec::new())).collect();
    for (source, of) in entries.iter().filter(|(source, _)| source.is_some()) {
        for port in (0..256).map(PortId) {
            match (all.ports.has(port), of.ports.has(port)) {
                (false, true) => {
                    rows.push(row(port, *source, of.permanent.has(port), "include", Vec::new()));
                }
                (true, false) => rows.push(row(port, *source, false, "exclude", vec!["blocked"])),
                // As all others, or nothing to this port.
                _ => {}
            }
        }
    }
    rows
}

/// One line for each port in a group, in the words of `bridge mdb`, then the routers.
pub fn text(mdb: &Mdb, snoops: bool) -> String {
    let mut text = String::new();
    for Row { dev, port, grp, src, state, flags, vid, .. } in &mdb.mdb {
        text += &format!("dev {dev} port {port} grp {grp}");
        text += &src.map(|src| format!(" src {src}")).unwrap_or_default();
        text += &format!(" {state}");
        flags.iter().for_each(|flag| text += &format!(" {flag}"));
        text += &vid.map(|vid| format!(" vid {vid}")).unwrap_or_default();
        text.push('\n');
    }
    for (bridge, routers) in mdb.router.iter().filter(|(_, routers)| !routers.is_empty()) {
        let names = routers.iter().map(|Router { port, kind, vid }| {
            format!("{port} {kind}{}", vid.map(|vid| format!(" vid {vid}")).unwrap_or_default())
        });
        text += &format!("router ports on {bridge}: {}\n", names.collect::<Vec<_>>().join(", "));
    }
    if !snoops {
        text += "multicast snooping is off: groups are flooded (xbr mdb snooping on)\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::json;
    use bridge_common::vlan::PortSet;

    fn set(ports: &[u16]) -> PortSet {
        ports.iter().fold(PortSet::default(), |set, port| set.with(PortId(*port), true))
    }

    fn sample(filter: &Filter) -> Mdb {
        let names = [(0, "host"), (1, "eth0"), (2, "vm1"), (3, "vm2")];
        let names = names.map(|(id, name)| (PortId(id), name.to_string())).into();
        let place = Place { bridge: "xbr0", index: 2, names: &names };
        let id = |vlan, group: &str| GroupId { vlan, group: group.parse().unwrap() };
        let ports = |ports, permanent| Ports { ports: set(ports), permanent: set(permanent) };
        let first =
            [(None, ports(&[0, 2], &[2])), (Some("192.0.2.1".parse().unwrap()), ports(&[2, 3], &[2]))];
        let groups =
            [(id(0, "239.1.2.3"), first.into()), (id(10, "ff05::7"), [(None, ports(&[3], &[]))].into())];
        let asked = [(id(10, "0.0.0.0"), ports(&[1], &[])), (id(10, "::"), ports(&[1, 2], &[2]))];
        let routers = routers(&ports(&[1, 2, 3], &[2, 3]), &asked.into());
        rows(&place, &groups.into(), &routers, filter)
    }

    #[test]
    fn text_has_the_words_of_bridge_mdb() {
        insta::assert_snapshot!(text(&sample(&Filter::default()), true), @r"
        dev xbr0 port host grp 239.1.2.3 temp
        dev xbr0 port vm1 grp 239.1.2.3 permanent
        dev xbr0 port host grp 239.1.2.3 src 192.0.2.1 temp blocked
        dev xbr0 port vm2 grp 239.1.2.3 src 192.0.2.1 temp
        dev xbr0 port vm2 grp ff05::7 temp vid 10
        router ports on xbr0: vm2 permanent, eth0 temp vid 10, vm1 permanent vid 10
        ");
        let filter = Filter { port: Some("vm2".into()), ..Filter::default() };
        insta::assert_snapshot!(text(&sample(&filter), false), @r"
        dev xbr0 port vm2 grp 239.1.2.3 src 192.0.2.1 temp
        dev xbr0 port vm2 grp ff05::7 temp vid 10
        router ports on xbr0: vm2 permanent
        multicast snooping is off: groups are flooded (xbr mdb snooping on)
        ");
    }

    #[test]
    fn json_has_the_keys_of_bridge_mdb() {
        let filter = Filter { group: Some("239.1.2.3".parse().unwrap()), ..Filter::default() };
        insta::assert_snapshot!(json(&[sample(&filter)]).unwrap(), @r#"[{"mdb":[{"index":2,"dev":"xbr0","port":"host","grp":"239.1.2.3","state":"temp","filter_mode":"exclude","flags":[]},{"index":2,"dev":"xbr0","port":"vm1","grp":"239.1.2.3","state":"permanent","filter_mode":"exclude","flags":[]},{"index":2,"dev":"xbr0","port":"host","grp":"239.1.2.3","src":"192.0.2.1","state":"temp","filter_mode":"exclude","flags":["blocked"]},{"index":2,"dev":"xbr0","port":"vm2","grp":"239.1.2.3","src":"192.0.2.1","state":"temp","filter_mode":"include","flags":[]}],"router":{"xbr0":[{"port":"vm2","type":"permanent"},{"port":"eth0","type":"temp","vid":10},{"port":"vm1","type":"permanent","vid":10}]}}]"#);
    }
}
