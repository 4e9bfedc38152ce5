//! CPU time that a switch on this machine took, from `/proc/stat`.

use std::collections::BTreeMap;

/// Of one CPU since the machine started, in ticks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ticks {
    /// All but idle and waiting.
    pub busy: u64,
    /// In interrupts and softirqs, where cards and switches work.
    pub softirq: u64,
}

/// By number of the CPU.
pub type Cpus = BTreeMap<usize, Ticks>;

/// Reads `/proc/stat`.
pub fn read(text: &str) -> Cpus {
    let cpu = |line: &str| -> Option<(usize, Ticks)> {
        let (name, rest) = line.split_once(' ')?;
        let number = name.strip_prefix("cpu")?.parse().ok()?;
        let fields: Vec<u64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq; what a hypervisor stole is not ours, and guests are in user.
        let [user, nice, system, _, _, irq, softirq, ..] = fields[..] else { return None };
        Some((number, Ticks { busy: user + nice + system + irq + softirq, softirq: irq + softirq }))
    };
    text.lines().filter_map(cpu).collect()
}

/// Ticks that the switch took between two readings. CPUs that send are always busy, so where others are there, it is those that count;
/// where all send, it is only what interrupts and softirqs took.
pub fn taken(before: &Cpus, after: &Cpus, sending: &[usize]) -> u64 {
    let others = after.keys().any(|cpu| !sending.contains(cpu));
    let ticks = |(cpu, now): (&usize, &Ticks)| {
        let then = before.get(cpu).copied().unwrap_or_default();
        match (others, sending.contains(cpu)) {
            (true, true) => 0,
            (true, false) => now.busy.saturating_sub(then.busy),
            (false, _) => now.softirq.saturating_sub(then.softirq),
        }
    };
    after.iter().map(ticks).sum()
}

/// Nanoseconds for each of these frames.
pub fn each(ticks: u64, ticks_a_second: u64, frames: u64) -> Option<f64> {
    (frames > 0 && ticks_a_second > 0).then(|| ticks as f64 / ticks_a_second as f64 * 1e9 / frames as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &str = "cpu  100 0 100 100 0 0 0 0 0 0\ncpu0 10 0 20 30 5 1 2 9 0 0\ncpu1 10 0 20 30 5 1 2 9 0 0\nintr 5 0\n";
    const NOW: &str = "cpu  100 0 100 100 0 0 0 0 0 0\ncpu0 11 0 120 30 5 1 12 9 0 0\ncpu1 10 0 25 90 9 2 42 9 0 0\nintr 5 0\n";

    #[test]
    fn counts_where_nobody_sends() {
        let (then, now) = (read(THEN), read(NOW));
        assert_eq!(then[&0], Ticks { busy: 33, softirq: 3 });
        assert_eq!(taken(&then, &now, &[0]), 5 + 1 + 40);
        assert_eq!(taken(&then, &now, &[]), (1 + 100 + 10) + 46);
    }

    #[test]
    fn counts_softirqs_where_everybody_sends() {
        assert_eq!(taken(&read(THEN), &read(NOW), &[0, 1]), 10 + 41);
    }

    #[test]
    fn tells_it_by_frame() {
        assert_eq!(each(50, 100, 1_000_000), Some(500.0));
        assert_eq!(each(50, 100, 0), None);
    }
}
