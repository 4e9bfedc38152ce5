//! `xbr monitor`: events as they happen, until Ctrl-C or until the controller ends.

use super::{Common, controller, output, which};
use crate::{
    Result,
    control::{
        Event, Reply, Request, client,
        protocol::{PortEvent, StationEvent, VlanEvent},
    },
};

/// Prints them, a line each.
pub fn run(common: &Common) -> Result<()> {
    let bridge = which::bridge(common.bridge.as_ref())?;
    let name = bridge.name();
    let explain = |source| controller::explain(client::Error::Talk { bridge: name.clone(), source });
    controller::block_on(async {
        let mut frames = client::ask(name, &Request::Monitor).await.map_err(controller::explain)?;
        while let Some(reply) = frames.read::<Reply>().await.map_err(explain)? {
            match reply {
                Reply::Event(event) if common.json => output::print(&output::json(&event)?)?,
                Reply::Event(event) => output::print(&(text(&event) + "\n"))?,
                other => drop(controller::done(other)?),
            }
        }
        Ok(())
    })
}

fn text(event: &Event) -> String {
    match event {
        Event::Learned(station) => format!("learned {}", place(station)),
        Event::Moved(station) => format!("moved {}", place(station)),
        Event::RefusedFull(station) => format!("refused {}: the table is full", place(station)),
        Event::RefusedStatic(station) => format!("refused {}: static elsewhere", place(station)),
        Event::RefusedQuota(station) => {
            format!("refused {}: the port has all the stations that it may have", place(station))
        }
        Event::RefusedFlap(station) => format!("refused {}: it has moved too often", place(station)),
        Event::Bpdu(station) => format!("BPDU {}", place(station)),
        Event::Gone(station) => format!("gone {}", place(station)),
        Event::PortAdded(port) => format!("port added {}", device(port)),
        Event::PortRemoved(port) => format!("port removed {}", device(port)),
        Event::PortUp(port) => format!("port up {}", device(port)),
        Event::PortDown(port) => format!("port down {}", device(port)),
        Event::PortRefused(port) => format!("port refused {}", device(port)),
        Event::PortChanged(port) => format!("port changed {}", device(port)),
        Event::VlanAdded(vlan) => format!("vlan added {}", part(vlan)),
        Event::VlanDeleted(vlan) => format!("vlan deleted {}", part(vlan)),
        Event::VlanFiltering { on } => format!("vlan filtering {}", if *on { "on" } else { "off" }),
        Event::Lost { count } => format!("lost {count} events"),
    }
}

fn place(station: &StationEvent) -> String {
    let mut text = format!("{} dev {}", station.mac, station.ifname);
    if let Some(vlan) = station.vlan {
        text += &format!(" vlan {vlan}");
    }
    if let Some(from) = &station.from {
        text += &format!(" from {from}");
    }
    text
}

fn part(vlan: &VlanEvent) -> String {
    let words = [format!("{} dev {}", vlan.vlan, vlan.ifname)].into_iter().chain(vlan.flags.iter().cloned());
    words.collect::<Vec<_>>().join(" ")
}

fn device(port: &PortEvent) -> String {
    match port.detail.as_str() {
        "" => port.ifname.clone(),
        detail => format!("{} ({detail})", port.ifname),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_as_sentences() {
        let station = StationEvent {
            mac: "52:54:00:75:dd:1a".into(),
            vlan: Some(10),
            ifname: "vm2".into(),
            from: Some("vm1".into()),
        };
        let port = |detail: &str| PortEvent { ifname: "vm1".into(), detail: detail.into() };
        let events = [
            Event::Moved(station.clone()),
            Event::RefusedStatic(StationEvent { vlan: None, ..station }),
            Event::PortDown(port("no carrier")),
            Event::PortUp(port("")),
            Event::VlanAdded(VlanEvent {
                ifname: "vm1".into(),
                vlan: "10".parse().unwrap(),
                flags: vec!["PVID".into(), "Egress Untagged".into()],
            }),
            Event::VlanDeleted(VlanEvent {
                ifname: "host".into(),
                vlan: "20-30".parse().unwrap(),
                flags: Vec::new(),
            }),
            Event::VlanFiltering { on: true },
            Event::Lost { count: 3 },
        ];
        insta::assert_snapshot!(events.iter().map(text).collect::<Vec<_>>().join("\n"), @r"
        moved 52:54:00:75:dd:1a dev vm2 vlan 10 from vm1
        refused 52:54:00:75:dd:1a dev vm2 from vm1: static elsewhere
        port down vm1 (no carrier)
        port up vm1
        vlan added 10 dev vm1 PVID Egress Untagged
        vlan deleted 20-30 dev host
        vlan filtering on
        lost 3 events
        ");
    }
}
