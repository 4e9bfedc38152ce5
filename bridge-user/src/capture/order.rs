//! Each CPU has a ring of its own, and a frame may leave on another one than it entered by. So records are held until
//! no earlier one can come.

use crate::datapath::Record;

/// How much later than its time a record may be found in its ring, in nanoseconds: a program reads the clock, copies
/// the frame and publishes it, and is not preempted meanwhile.
const SLACK: u64 = 1_000_000;

/// Records on their way into the order of their times.
#[derive(Debug, Default)]
pub struct Order {
    held: Vec<Record>,
}

impl Order {
    /// Where the records of all rings are put.
    pub fn held(&mut self) -> &mut Vec<Record> {
        &mut self.held
    }

    /// Whether records wait for their time.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Those that nothing can come before, after all rings have been emptied. `began` is when that began, in
    /// nanoseconds of `CLOCK_MONOTONIC`.
    pub fn release(&mut self, began: u64) -> Vec<Record> {
        // Stable: a frame enters before it leaves, at the same time.
        self.held.sort_by_key(|record| record.sighting.time);
        let until = began.saturating_sub(SLACK);
        let end = self.held.partition_point(|record| record.sighting.time <= until);
        self.held.drain(..end).collect()
    }

    /// All that are left, at the end.
    pub fn release_all(&mut self) -> Vec<Record> {
        self.release(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_common::capture::Sighting;

    fn record(time: u64, length: u32) -> Record {
        Record { sighting: Sighting { time, length, ..Sighting::default() }, bytes: Vec::new() }
    }

    #[test]
    fn records_of_two_cpus_come_in_the_order_of_time() {
        let mut order = Order::default();
        let times = |records: Vec<Record>| -> Vec<_> {
            records.iter().map(|record| (record.sighting.time / SLACK, record.sighting.length)).collect()
        };
        order.held().extend([
            record(SLACK, 1),
            record(3 * SLACK, 2),
            record(2 * SLACK, 3),
            record(3 * SLACK, 4),
        ]);
        assert_eq!(times(order.release(2 * SLACK)), [(1, 1)]);
        order.held().push(record(2 * SLACK, 5));
        assert_eq!(times(order.release(4 * SLACK)), [(2, 3), (2, 5), (3, 2), (3, 4)]);
        order.held().push(record(9 * SLACK, 6));
        assert!(order.is_holding());
        assert_eq!(times(order.release_all()), [(9, 6)]);
    }
}
