//! How a machine is, to be compared with how it was.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Namespace;

/// All that a switch could leave behind in a namespace, as lines of text: devices, addresses, routes, offloads, queueing disciplines, filters,
/// attached BPF programs, IP settings of every device, and the pins in bpffs. Counters and clocks are left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    lines: BTreeSet<String>,
}

/// Facts that change although nobody changes anything.
const VOLATILE: &[&str] = &[
    "stats",
    "tentative",
    "stats64",
    "valid_life_time",
    "preferred_life_time",
    "expires",
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "gc_timer",
    "hold_timer",
    "message_age_timer",
    "forward_delay_timer",
    "last_used",
];

impl Snapshot {
    /// The namespace as it is now.
    #[track_caller]
    pub fn take(ns: &Namespace) -> Snapshot {
        Self::with_paths(ns, &[])
    }

    /// The same, and what is under these paths: the pins of the bridge in question, its socket. Not all of bpffs,
    /// since other tests pin there at the same time.
    #[track_caller]
    pub fn with_paths(ns: &Namespace, paths: &[&Path]) -> Snapshot {
        let mut lines = Lines::default();
        let addresses = ns.output("ip -d -j addr");
        lines.json("addr", &addresses);
        for what in ["-4 route show table all", "-6 route show table all", "-4 rule", "-6 rule", "maddr"] {
            lines.json(what, &ns.output(&format!("ip -j {what}")));
        }
        lines.json("qdisc", &ns.output("tc -j qdisc show"));
        lines.text("bpftool net", &ns.output("bpftool net"));
        for dev in devices(&addresses) {
            lines.text(&format!("ethtool -k {dev}"), &ns.output(&format!("ethtool -k {dev}")));
            let programs = ns.run(|| crate::tcx::programs(&dev)).expect("BPF_PROG_QUERY");
            for (hook, ids) in programs.iter().filter(|(_, ids)| !ids.is_empty()) {
                lines.push(format!("tcx {hook} of {dev} = {ids:?}"));
            }
            for place in ["root", "ingress", "egress"] {
                let what = format!("filter show dev {dev} {place}");
                // A device without the place in question is no error worth a panic: there are no filters there.
                let filters = ns.command("tc", what.split(' ')).output().expect("tc");
                lines.text(&what, &String::from_utf8_lossy(&filters.stdout));
            }
        }
        for family in ["ipv4", "ipv6"] {
            ns.run(|| lines.settings(Path::new("/proc/sys/net").join(family).join("conf").as_path()));
        }
        for path in paths {
            lines.tree(path);
        }
        Snapshot { lines: lines.0 }
    }

    /// What differs, line by line: `-` was and is no more, `+` is new. None when nothing does.
    pub fn difference(&self, later: &Snapshot) -> Option<String> {
        let gone = self.lines.difference(&later.lines).map(|line| ('-', line));
        let new = later.lines.difference(&self.lines).map(|line| ('+', line));
        let mut all: Vec<_> = gone.chain(new).collect();
        // The two values of one fact side by side.
        all.sort_by_key(|(sign, line)| (line.split(" = ").next().unwrap_or(line), *sign == '+'));
        let text: String = all.iter().map(|(sign, line)| format!("{sign} {line}\n")).collect();
        (!text.is_empty()).then_some(text)
    }

    /// Panics with the difference when there is one.
    #[track_caller]
    pub fn assert_same(&self, later: &Snapshot) {
        if let Some(difference) = self.difference(later) {
            panic!("the machine is not as it was:\n{difference}");
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn devices(addresses: &str) -> Vec<String> {
    let list: Vec<Value> = serde_json::from_str(addresses).unwrap_or_default();
    list.iter().filter_map(|device| Some(device.get("ifname")?.as_str()?.to_owned())).collect()
}

#[derive(Default)]
struct Lines(BTreeSet<String>);

impl Lines {
    /// A second line of the same text is a fact of its own.
    fn push(&mut self, line: String) {
        let numbered = (2..).map(|n| format!("{line} (#{n})"));
        let free = std::iter::once(line.clone()).chain(numbered).find(|line| !self.0.contains(line));
        self.0.extend(free);
    }

    fn text(&mut self, what: &str, text: &str) {
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            self.push(match line.split_once(": ") {
                Some((fact, value)) => format!("{what}: {} = {value}", fact.trim_start()),
                None => format!("{what}: {line}"),
            });
        }
    }

    fn json(&mut self, what: &str, text: &str) {
        // `ip -j` prints nothing at all for an empty list.
        let mut value =
            if text.trim().is_empty() { Value::Null } else { serde_json::from_str(text).expect(what) };
        strip(&mut value);
        self.flatten(what, &value);
    }

    /// A device becomes a line per fact, so that a difference shows the fact and not the device. Other things in lists, such as
    /// routes, have no name to go by and become a line each, which keeps the facts of one together.
    fn flatten(&mut self, path: &str, value: &Value) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    self.flatten(&format!("{path}.{key}"), value);
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for item in items {
                    match item.get("ifname").and_then(Value::as_str) {
                        Some(name) => self.flatten(&format!("{path} {name}"), item),
                        None => self.push(format!("{path} = {item}")),
                    }
                }
            }
            Value::Null => {}
            other => self.push(format!("{path} = {other}")),
        }
    }

    fn settings(&mut self, dir: &Path) {
        for path in children(dir) {
            if path.is_dir() {
                self.settings(&path);
            } else if let Ok(value) = fs::read_to_string(&path) {
                // Some cannot be read before they are set, such as stable_secret.
                self.push(format!("{} = {}", path.display(), value.trim()));
            }
        }
    }

    fn tree(&mut self, path: &Path) {
        let Ok(found) = path.symlink_metadata() else { return };
        self.push(format!("exists: {}", path.display()));
        if found.is_dir() {
            children(path).iter().for_each(|child| self.tree(child));
        }
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !VOLATILE.contains(&key.as_str()));
            members.values_mut().for_each(strip);
            // A device is "unknown" until the first event of its link, whoever causes it (`rfc2863_policy`), and works all the same.
            if let Some(state) = members.get_mut("operstate").filter(|state| *state == "UNKNOWN") {
                *state = "UP".into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

fn children(dir: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}
