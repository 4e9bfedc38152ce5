//! Ports that the bridge helper brings: TAPs that live as long as the guest that holds them.

use bridge_common::{
    PortId,
    record::{Origin, PortRecord},
};

use super::{Bridge, checks};
use crate::{
    Error, Refusal, Result,
    control::{protocol::HookChoice, protocol::Loan},
    link::{Link, namespace},
    policy::PortOptions,
};

/// Whether the bridge helper has brought the port.
pub(super) fn is_lent(record: &PortRecord) -> bool {
    record.origin.has(Origin::LENT)
}

impl Bridge {
    /// Attaches a TAP that the helper has made. Being the only one who does, it can count.
    pub(super) fn lend(&mut self, loan: &Loan) -> Result<()> {
        if loan.namespace != namespace::cookie()? {
            return Err(Refusal::new(
                format!("bridge {} belongs to another network namespace", self.settings.bridge),
                "start the guest in the network namespace of the bridge",
            )
            .into());
        }
        self.bury_lent()?;
        self.check_limit(loan)?;
        let link = checks::existing(&loan.ifname, &self.hands.links)?;
        check_tap(&link, loan)?;
        let uplink_mtu = self.members.get(&PortId::UPLINK).map(|uplink| uplink.mtu);
        if let Some(mtu) = uplink_mtu.filter(|mtu| *mtu != link.mtu) {
            self.hands.links.set_mtu(link.index, mtu)?;
        }
        let policy = PortOptions::default();
        self.take_in_and_choose(|bridge| {
            bridge.add_port(&loan.ifname, HookChoice::Auto, Origin::LENT, &policy)
        })
    }

    /// A guest's successor may be here before the kernel's message of the end of its TAP, with the same name.
    fn bury_lent(&mut self) -> Result<()> {
        let lent = self.members.values().filter(|member| is_lent(&member.record));
        let lent: Vec<_> = lent.map(|member| (member.id, member.ifindex)).collect();
        for (id, ifindex) in lent {
            if self.hands.links.by_index(ifindex)?.is_none() {
                self.vanished(id)?;
            }
        }
        Ok(())
    }

    fn check_limit(&self, loan: &Loan) -> Result<()> {
        let Loan { uid, limit, .. } = loan;
        let count = self.members.values().filter(|member| Loan::is_of(member.name.as_str(), *uid)).count();
        if count < *limit as usize {
            return Ok(());
        }
        let bridge = &self.settings.bridge;
        let message = match count {
            0 => format!("user {uid} may have no TAP on bridge {bridge} (limit {limit})"),
            1 => format!("user {uid} has a TAP on bridge {bridge} and may have no more (limit {limit})"),
            _ => {
                format!("user {uid} has {count} TAPs on bridge {bridge} and may have no more (limit {limit})")
            }
        };
        Err(Refusal::new(message, "end a guest, or let root raise `limit` in the access list").into())
    }

    /// A guest may make its TAP persistent (TUNSETPERSIST wants no privilege), so that it would stay without it.
    pub(super) fn is_abandoned(&self, id: PortId, link: &Link) -> bool {
        let lent = self.members.get(&id).is_some_and(|member| is_lent(&member.record));
        lent && link.up && !link.carrier && link.tun.as_ref().is_some_and(|tun| tun.persist)
    }
}

/// Only what the helper makes: anything else that has the name is none of its business.
fn check_tap(link: &Link, loan: &Loan) -> Result<()> {
    let name = &link.name;
    let tun = link.tun.as_ref().filter(|tun| tun.tap && !tun.persist && tun.owner == Some(loan.uid));
    if tun.is_some() && !link.up && Loan::is_of(name.as_str(), loan.uid) {
        return Ok(());
    }
    Err(Error::Controller(format!("{name} is no TAP that the bridge helper has made for user {}", loan.uid)))
}
