//! pktgen's language: what is said to it of a stream of frames, and what it says of one.

use crate::Mac;

/// What one thread sends out of one device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stream {
    /// The device.
    pub device: String,
    /// The thread's CPU.
    pub cpu: usize,
    /// The first of its source addresses, and how many there are.
    pub sources: (Mac, u32),
    /// The first of its destination addresses, and how many there are.
    pub destinations: (Mac, u32),
    /// Of a frame, in bytes with FCS.
    pub size: u32,
    /// How often a frame is sent before the next is made.
    pub clone: u32,
    /// Frames handed to the driver at once.
    pub burst: u32,
}

impl Stream {
    /// Its name in pktgen's folder: a device that several threads use has one for each.
    pub fn name(&self) -> String {
        format!("{}@{}", self.device, self.cpu)
    }

    /// The commands that describe it. Addresses are of the range for measurements (RFC 2544, C.2.2); source ports differ, so that
    /// the switch's card spreads the frames over its queues.
    pub fn commands(&self) -> Vec<String> {
        let mut all = vec![
            "count 0".into(),
            format!("pkt_size {}", self.size - 4),
            format!("clone_skb {}", self.clone),
            format!("burst {}", self.burst),
            format!("src_mac {}", self.sources.0),
            format!("src_mac_count {}", self.sources.1),
            format!("dst_mac {}", self.destinations.0),
            format!("dst_mac_count {}", self.destinations.1),
            "src_min 198.18.0.1".into(),
            "src_max 198.18.0.1".into(),
            "dst_min 198.19.0.1".into(),
            "dst_max 198.19.0.1".into(),
            "udp_src_min 1024".into(),
            "udp_src_max 33791".into(),
            "udp_dst_min 9".into(),
            "udp_dst_max 9".into(),
            "flag UDPSRC_RND".into(),
            "flag QUEUE_MAP_CPU".into(),
        ];
        for (count, flag) in [(self.sources.1, "MACSRC_RND"), (self.destinations.1, "MACDST_RND")] {
            if count > 1 {
                all.push(format!("flag {flag}"));
            }
        }
        all
    }

    /// The command for a share of `rate` frames a second that `streams` send together; as fast as it goes if there is none.
    pub fn pace(&self, rate: Option<f64>, streams: usize) -> String {
        match rate {
            // pktgen_xmit waits once for a whole burst.
            Some(rate) => {
                let bursts = rate / streams as f64 / f64::from(self.burst);
                format!("ratep {}", bursts.round().max(1.0) as u64)
            }
            None => "delay 0".into(),
        }
    }
}

/// Each CPU gets a device, and each device a CPU.
pub fn assign(devices: &[String], cpus: &[usize]) -> Vec<(usize, String)> {
    let pairs = devices.len().max(cpus.len());
    let pair = |number: usize| (cpus[number % cpus.len()], devices[number % devices.len()].clone());
    if cpus.is_empty() || devices.is_empty() { Vec::new() } else { (0..pairs).map(pair).collect() }
}

/// What pktgen says of a stream that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sent {
    /// Frames that the driver took.
    pub frames: u64,
    /// Those that it did not take.
    pub errors: u64,
    /// From the first to the last, in microseconds.
    pub micros: u64,
}

/// Reads the file of a stream.
pub fn sent(text: &str) -> Option<Sent> {
    let number = |name: &str| -> Option<u64> {
        let rest = text.split(&format!(" {name}: ")).nth(1)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let micros = number("stopped")?.checked_sub(number("started")?)?;
    Some(Sent { frames: number("pkts-sofar")?, errors: number("errors")?, micros })
}

/// What pktgen answered to the last command, if that was not OK: it takes unknown flags without an error.
pub fn complaint(text: &str) -> Option<&str> {
    let answer = text.lines().rev().find_map(|line| line.trim_start().strip_prefix("Result:"))?.trim();
    (!answer.starts_with("OK") && answer != "Idle" && answer != "NA").then_some(answer)
}

/// The devices that a thread's file names.
pub fn devices(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim_start);
    let lists = lines.filter_map(|line| line.strip_prefix("Running:").or(line.strip_prefix("Stopped:")));
    lists.flat_map(str::split_whitespace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream {
            device: "eth1".into(),
            cpu: 3,
            sources: (Mac([2, 0x78, 0x62, 0, 0, 0]), 1),
            destinations: (Mac([2, 0x78, 0x62, 0xff, 0, 0]), 1000),
            size: 64,
            clone: 0,
            burst: 1,
        }
    }

    #[test]
    fn says_what_pktgen_understands() {
        let stream = stream();
        assert_eq!(stream.name(), "eth1@3");
        let all = stream.commands();
        // Without FCS.
        for words in [
            "pkt_size 60",
            "src_mac 02:78:62:00:00:00",
            "dst_mac 02:78:62:ff:00:00",
            "dst_mac_count 1000",
            "flag MACDST_RND",
        ] {
            assert!(all.contains(&words.to_string()), "{words}: {all:?}");
        }
        assert!(!all.contains(&"flag MACSRC_RND".to_string()), "{all:?}");
        // `name[16]` and `valstr[32]` of pktgen_if_write.
        assert!(all.iter().all(|words| words.split(' ').all(|word| word.len() < 16 + 16)), "{all:?}");
    }

    #[test]
    fn a_rate_is_shared_by_streams_and_bursts() {
        let stream = stream();
        assert_eq!(stream.pace(Some(1e6), 4), "ratep 250000");
        assert_eq!(Stream { burst: 8, ..stream.clone() }.pace(Some(1e6), 4), "ratep 31250");
        // A rate of 0 would be none at all, and pktgen ignores it.
        assert_eq!(stream.pace(Some(0.1), 4), "ratep 1");
        assert_eq!(stream.pace(None, 4), "delay 0");
    }

    #[test]
    fn every_cpu_and_every_device_has_work() {
        let devices = ["a", "b"].map(String::from);
        let pair = |cpu: usize, device: &str| (cpu, device.to_string());
        assert_eq!(assign(&devices, &[0, 1, 2]), [pair(0, "a"), pair(1, "b"), pair(2, "a")]);
        assert_eq!(assign(&devices, &[5]), [pair(5, "a"), pair(5, "b")]);
        assert_eq!(assign(&devices, &[]), []);
    }

    const SAID: &str = "Params: count 0  min_pkt_size: 60  max_pkt_size: 60\n     frags: 0  delay: 0  clone_skb: 0  ifname: eth1@3\n     \
        flows: 0 flowlen: 0\nCurrent:\n     pkts-sofar: 123456  errors: 7\n     started: 5000000us  stopped: 6250000us idle: 12us\n     \
        seq_num: 123464  cur_dst_mac_offset: 0  cur_src_mac_offset: 0\nResult: OK: 1250000(c1249988+d12) usec, 123456 (60byte,0frags)\n  \
        98764pps 47Mb/sec (47406720bps) errors: 7\n";

    #[test]
    fn reads_what_pktgen_says() {
        assert_eq!(sent(SAID), Some(Sent { frames: 123_456, errors: 7, micros: 1_250_000 }));
        assert_eq!(complaint(SAID), None);
        assert_eq!(sent("Result: Idle\n"), None);
        // One that never ran.
        let idle = SAID.replace("started: 5000000us  stopped: 6250000us", "started: 0us  stopped: 0us");
        assert_eq!(sent(&idle).map(|sent| sent.micros), Some(0));
    }

    #[test]
    fn hears_complaints() {
        let said = SAID.replace("Result: OK: 1250000", "Result: Flag -:NOSUCH:- unknown");
        assert!(complaint(&said).is_some_and(|said| said.contains("NOSUCH")));
        assert_eq!(
            complaint("Running: \nStopped: eth1@0 \nResult: ERROR: can not add device eth1"),
            Some("ERROR: can not add device eth1")
        );
        assert_eq!(complaint("Running: \nStopped: \nResult: NA\n"), None);
    }

    #[test]
    fn reads_what_threads_have() {
        assert_eq!(
            devices("Running: eth1@0 \nStopped: eth2@0 eth3@0 \nResult: NA"),
            ["eth1@0", "eth2@0", "eth3@0"]
        );
        assert!(devices("Running: \nStopped: \nResult: OK: max_before_softirq=10000\n").is_empty());
    }
}
