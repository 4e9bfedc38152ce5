//! The times of groups and queries.

use super::SECOND;

/// The standard's times (RFC 3376, section 8), in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Between general queries.
    pub query: u64,
    /// In which hosts answer.
    pub response: u64,
    /// For which a group is remembered that nobody speaks of.
    pub membership: u64,
    /// For which another querier is remembered, and a router's port.
    pub other_querier: u64,
    /// In which hosts answer a query about one group.
    pub last_member: u64,
    /// How often such a query is sent.
    pub last_member_count: u32,
}

impl Timers {
    /// The standard's.
    pub const STANDARD: Self = Self {
        query: 125 * SECOND,
        response: 10 * SECOND,
        membership: 260 * SECOND,
        other_querier: 255 * SECOND,
        last_member: SECOND,
        last_member_count: 2,
    };

    /// All of them so many times faster, for the lab; no faster than hosts can follow.
    pub fn faster(self, times: u32) -> Self {
        let by = |time: u64, least: u64| (time / u64::from(times.max(1))).max(least);
        Self {
            query: by(self.query, SECOND / 2),
            response: by(self.response, SECOND / 10),
            membership: by(self.membership, SECOND),
            other_querier: by(self.other_querier, SECOND),
            last_member: by(self.last_member, SECOND / 5),
            ..self
        }
    }

    /// For which a group is remembered that somebody has asked about.
    pub(super) fn last_member_time(&self, response: u64) -> u64 {
        response.saturating_mul(u64::from(self.last_member_count))
    }
}
