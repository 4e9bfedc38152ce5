//! Requests of the control socket.

use bridge_common::record::Origin;

use super::{Bridge, fdb::station_key};
use crate::{
    Error, Refusal, Result,
    control::{Macs, Reply, Request, protocol::FdbRun},
};

impl Bridge {
    /// Carries a request out and says how it went. [`Request::Monitor`] is the server's, [`Request::Down`] the
    /// main loop's.
    pub(super) fn answer(&mut self, request: Request) -> Reply {
        self.reply(|bridge| bridge.carry_out(request))
    }

    /// The same for [`Request::FdbLoad`], when all of its parts are there.
    pub(super) fn answer_load(&mut self, runs: &[FdbRun]) -> Reply {
        self.reply(|bridge| bridge.fdb_load(runs).map(|()| Vec::new()))
    }

    fn reply(&mut self, act: impl FnOnce(&mut Self) -> Result<Vec<String>>) -> Reply {
        let notes_before = self.notes.len();
        match act(self) {
            Ok(mut notes) => {
                notes.extend(self.notes.drain(notes_before..));
                Reply::Done { notes }
            }
            Err(Error::Refused(Refusal { message, hint })) => Reply::Refused { message, hint },
            Err(error) => Reply::Failed { message: error.to_string() },
        }
    }

    fn carry_out(&mut self, request: Request) -> Result<Vec<String>> {
        match request {
            Request::PortAdd { ifname, hook, allow_bypass, transient, policy } => {
                let origin = Origin::default().with(Origin::BYPASS, allow_bypass);
                if transient {
                    self.add_transient(&ifname, hook, origin, &policy)?;
                } else {
                    self.take_in_and_choose(|bridge| bridge.add_port(&ifname, hook, origin, &policy))?;
                }
            }
            Request::TapAdd { ifname, hook, options, allow_bypass, policy } => {
                if self.port_named(ifname.as_str()).is_some() {
                    return Err(Refusal::new(
                        format!("{ifname} is a port of bridge {} already", self.settings.bridge),
                        "xbr port show lists the ports",
                    )
                    .into());
                }
                let origin = Origin::default().with(Origin::BYPASS, allow_bypass);
                self.take_in_and_choose(|bridge| bridge.add_tap(&ifname, hook, &options, origin, &policy))?;
            }
            Request::PortSet { ifname, options, up } => self.port_set(&ifname, &options, up)?,
            Request::PortDel { ifname } => {
                let id = self.guest_named(&ifname)?;
                if let Some(member) = self.members.get(&id) {
                    self.leave_alone(member.ifindex);
                }
                self.let_go(id)?;
                self.choose_hooks()?;
            }
            Request::TapDel { ifname } => {
                let id = self.guest_named(&ifname)?;
                if !self.is_ours(id) {
                    return Err(Refusal::new(
                        format!("{ifname} was not made by xbr"),
                        format!("`xbr port del {ifname}` lets it go and leaves it there"),
                    )
                    .into());
                }
                self.let_go(id)?;
                self.choose_hooks()?;
            }
            Request::Lend(loan) => self.lend(&loan)?,
            Request::FdbAdd { mac, vlan, ifname, sticky } => {
                let macs = Macs(vec![station_key(&mac, vlan)?.mac]);
                self.fdb_add(FdbRun { macs, vlan, ifname, sticky })?
            }
            Request::FdbLoad(part) => self.fdb_load(&part.runs)?,
            Request::FdbDel { mac, vlan, ifname } => self.fdb_del(&mac, vlan, ifname.as_deref())?,
            Request::FdbFlush { ifname, vlan } => {
                let count = self.fdb_flush(ifname.as_deref(), vlan)?;
                return Ok(vec![format!("{count} stations deleted")]);
            }
            Request::NeighAdd { address, mac, ifname, vlan } => {
                self.neigh_add(address, &mac, &ifname, vlan)?
            }
            Request::NeighDel { address, ifname, vlan } => {
                self.neigh_del(address, ifname.as_deref(), vlan)?
            }
            Request::VlanAdd { ifname, vlan } => self.vlan_add(&ifname, &vlan)?,
            Request::VlanDel { ifname, vids } => self.vlan_del(&ifname, vids)?,
            Request::VlanFiltering { on } => self.set_vlan_filtering(on)?,
            Request::Multicast(wanted) => self.set_multicast(wanted)?,
            Request::MdbAdd(entry) => self.mdb_add(&entry)?,
            Request::MdbDel(entry) => self.mdb_del(&entry)?,
            Request::Capture(options) => self.begin_capture(&options)?,
            Request::Monitor | Request::Down => {}
        }
        Ok(Vec::new())
    }
}
