//! What figures were measured on: two runs are compared only by ratios, and those too move with the kernel and the machine.

use std::{fmt, fs};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A machine at the moment at which a measurement began.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// RFC 3339, UTC.
    pub date: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's model.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Processes that wanted a CPU in the minute before (`/proc/loadavg`).
    pub load: f64,
    /// What `xbr --version` says.
    pub xbr: String,
    /// Of xbr's repository, if there is one.
    pub commit: Option<String>,
    /// How often each subject has its turn.
    pub rounds: usize,
}

impl Machine {
    /// This one, now. What it does not tell is left empty: the figures are worth as much without it.
    pub fn here(xbr: &str, commit: Option<String>, rounds: usize) -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let version = std::process::Command::new(xbr).arg("--version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let now = OffsetDateTime::now_utc();
        Machine {
            date: now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: model(&read("/proc/cpuinfo")),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            load: first_number(&read("/proc/loadavg")),
            xbr: version.unwrap_or_default(),
            commit,
            rounds,
        }
    }

    /// What makes figures of the other incomparable with ours, if anything, as part of a sentence.
    pub fn differs(&self, other: &Machine) -> Option<String> {
        let pairs = [
            ("kernel", self.kernel.clone(), other.kernel.clone()),
            ("processor", self.cpu.clone(), other.cpu.clone()),
            ("number of CPUs", self.cpus.to_string(), other.cpus.to_string()),
        ];
        let said: Vec<String> = pairs
            .iter()
            .filter(|(_, ours, theirs)| ours != theirs)
            .map(|(what, ours, theirs)| format!("{what} {ours}, the baseline's {theirs}"))
            .collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { date, kernel, cpu, cpus, load, xbr, rounds, .. } = self;
        let commit = self.commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
        write!(
            f,
            "{date}: {xbr}{commit}, Linux {kernel}, {cpus} CPUs ({cpu}), load {load:.2} at the start, {rounds} rounds."
        )
    }
}

/// The first processor's model, by whichever name the architecture has for it.
fn model(cpuinfo: &str) -> String {
    let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
    let named = |name: &str| cpuinfo.lines().find(|line| line.starts_with(name)).and_then(value);
    ["model name", "Model", "CPU part", "uarch"].into_iter().find_map(named).unwrap_or_default()
}

fn first_number(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_this_machine() {
        let here = Machine::here("/bin/true", None, 3);
        assert!(here.date.ends_with('Z') && here.date.len() == 20, "{}", here.date);
        assert!(!here.kernel.is_empty() && here.cpus > 0, "{here:?}");
        assert_eq!(here.differs(&here.clone()), None);
        let other = Machine { kernel: "5.4".into(), ..here.clone() };
        assert_eq!(here.differs(&other), Some(format!("kernel {}, the baseline's 5.4", here.kernel)));
    }

    #[test]
    fn finds_the_model() {
        assert_eq!(model("processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: other\n"), "AMD EPYC");
        assert_eq!(model("processor : 0\nCPU part\t: 0xd40\n"), "0xd40");
        assert_eq!(model(""), "");
    }
}
