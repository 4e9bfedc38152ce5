//! What is counted of groups.

use std::fmt;

use bridge_common::{config::ConfigFlags, snoop::SnoopBudget};
use prometheus_client::encoding::DescriptorEncoder;

use super::{Bridge, Sample, counter, gauge};

impl Bridge {
    pub(super) fn multicast(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let snapshot = &self.0;
        let bridge = || ("bridge", snapshot.bridge.as_str());
        let on = u64::from(snapshot.config.snoops());
        gauge(encoder, "mcast_snooping", "1 while multicast is snooped, else 0", vec![(vec![bridge()], on)])?;
        let families = [("ipv4", ConfigFlags::MCAST_QUERIER_V4), ("ipv6", ConfigFlags::MCAST_QUERIER_V6)];
        let known = families.map(|(family, flag)| {
            (vec![bridge(), ("family", family)], u64::from(snapshot.config.flags.has(flag)))
        });
        let help = "1 while somebody asks who is in groups, so that these are trusted, else 0";
        gauge(encoder, "mcast_querier_known", help, known.into())?;
        let groups = vec![(vec![bridge()], snapshot.groups)];
        gauge(encoder, "mcast_groups", "Multicast groups, and sources of groups, that are followed", groups)?;
        let reports = self.each(|row| row.groups.counters.reports);
        counter(encoder, "mcast_reports", "Reports and leaves that were read", None, reports)?;
        let queries = self.each(|row| row.groups.counters.queries);
        counter(encoder, "mcast_queries", "Queries that were read", None, queries)?;
        let malformed = self.each(|row| row.groups.counters.malformed);
        counter(encoder, "mcast_malformed", "Messages about groups that could not be read", None, malformed)?;
        let refused = self.each(|row| row.groups.counters.refused);
        let help = "Groups and sources that were not followed: the port has all that it may have, or the table is full";
        counter(encoder, "mcast_refused", help, None, refused)?;
        let suppressed = self.by_kind(|budget| budget.suppressed);
        let help = "Messages about groups over the port's budget, which were not read";
        counter(encoder, "mcast_suppressed", help, None, suppressed)?;
        let lost = self.by_kind(|budget| budget.lost);
        counter(encoder, "mcast_lost", "Messages about groups that found the ring full", None, lost)
    }

    fn by_kind(&self, value: fn(&SnoopBudget) -> u64) -> Vec<Sample<'_>> {
        let kinds = ["igmp", "mld"];
        let rows = self.0.ports.iter().flat_map(|row| {
            let each = kinds.into_iter().zip(&row.groups.budgets);
            each.map(move |(kind, budget)| (self.labels(row, Some(("kind", kind))), value(budget)))
        });
        rows.collect()
    }
}
