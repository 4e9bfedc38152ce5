//! Devices of this machine, borrowed for a measurement and given back as they were.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{Namespace, bench::Refusal};

/// What `ip` says of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The most payload that it carries, in bytes.
    pub mtu: u32,
    /// Whether somebody has taken it up.
    pub up: bool,
    /// Its addresses but those that it gives itself, with their prefix.
    pub addresses: Vec<String>,
    /// The bridge or bond that it is in.
    pub master: Option<String>,
    /// Whether a default route leads out of it.
    pub default_route: bool,
}

impl Facts {
    /// Asks for a device of this namespace.
    pub fn of(ns: &Namespace, device: &str) -> Result<Facts> {
        if !ns.run(|| known(device)) {
            return Err(Refusal::NoDevice(device.into()).into());
        }
        let said: Value = serde_json::from_str(&ip(ns, &format!("-j addr show dev {device}"))?)?;
        let mut routes = String::new();
        for family in ["-4", "-6"] {
            routes += &ip(ns, &format!("{family} route show default"))?;
        }
        Ok(Self::read(&said[0], &routes, device))
    }

    fn read(said: &Value, routes: &str, device: &str) -> Facts {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        // Link-local ones come by themselves.
        let kept = |address: &&Value| address["scope"] != "link" && address["scope"] != "host";
        let text = |address: &Value| {
            format!("{}/{}", address["local"].as_str().unwrap_or_default(), address["prefixlen"])
        };
        Facts {
            mtu: said["mtu"].as_u64().unwrap_or_default() as u32,
            up: list(&said["flags"]).iter().any(|flag| flag == "UP"),
            addresses: list(&said["addr_info"]).iter().filter(kept).map(text).collect(),
            master: said["master"].as_str().map(String::from),
            default_route: routes.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.windows(2).any(|pair| pair == ["dev", device])
            }),
        }
    }

    /// Why the device is not free to be used, if it is not.
    pub fn used(&self) -> Option<String> {
        if self.default_route {
            return Some("carries the default route".into());
        }
        if let Some(master) = &self.master {
            return Some(format!("is in {master}"));
        }
        self.addresses.first().map(|address| format!("has the address {address}"))
    }
}

/// Whether this thread's namespace has such a device.
fn known(device: &str) -> bool {
    let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    text.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name.trim() == device))
}

/// `ip` with these words.
pub fn ip(ns: &Namespace, words: &str) -> Result<String> {
    let output = ns.command("ip", words.split_whitespace()).output().context("cannot run ip")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`ip {words}`: {}", said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// A device that is up and quiet while this lives.
pub struct Borrowed {
    ns: Namespace,
    device: String,
    was_up: bool,
    /// The setting, and what it was.
    ipv6: Option<(String, String)>,
}

impl Borrowed {
    /// Takes it up, and keeps IPv6 from saying anything there: what the machine sends by itself would be counted as forwarded.
    pub fn take(ns: &Namespace, device: &str) -> Result<Borrowed> {
        let facts = Facts::of(ns, device)?;
        let mut taken = Borrowed { ns: ns.clone(), device: device.into(), was_up: facts.up, ipv6: None };
        // With the setting its addresses would go, and those that it does not give itself would not come back.
        let path = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
        if facts.addresses.is_empty()
            && let Ok(was) = ns.run(|| fs::read_to_string(&path))
        {
            ns.run(|| fs::write(&path, "1")).with_context(|| format!("cannot write {path}"))?;
            taken.ipv6 = Some((path, was));
        }
        if !facts.up {
            ip(ns, &format!("link set {device} up"))?;
        }
        Ok(taken)
    }

    /// Waits until there is a carrier: a card negotiates for seconds.
    pub fn wait_carrier(&self) -> Result<()> {
        let ready = crate::wait_until(std::time::Duration::from_secs(15), || {
            ip(&self.ns, &format!("-j link show dev {}", self.device))
                .is_ok_and(|text| text.contains("LOWER_UP"))
        });
        if !ready {
            bail!("{} has no carrier: is its cable plugged in, and is the other end up?", self.device);
        }
        Ok(())
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if !self.was_up
            && let Err(error) = ip(&self.ns, &format!("link set {} down", self.device))
        {
            eprintln!("{} stays up: {error:#}", self.device);
        }
        if let Some((path, was)) = &self.ipv6
            && let Err(error) = self.ns.run(|| fs::write(path, was))
        {
            eprintln!("{path} was {}, and stays 1: {error}", was.trim());
        }
    }
}

/// What a device has received.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Count {
    /// Frames.
    pub frames: u64,
    /// Frames that its card or driver had no room for.
    pub lost: u64,
}

impl Count {
    /// Of a device of this namespace, now.
    pub fn now(ns: &Namespace, device: &str) -> Result<Count> {
        let said: Value = serde_json::from_str(&ip(ns, &format!("-j -s -s link show dev {device}"))?)?;
        Self::read(&said[0]).with_context(|| format!("`ip` does not say what {device} has received"))
    }

    fn read(said: &Value) -> Option<Count> {
        let rx = &said["stats64"]["rx"];
        // Not `dropped`, in which the kernel counts what no protocol of this machine wants.
        let lost = ["missed_errors", "fifo_errors", "over_errors"].map(|name| rx[name].as_u64().unwrap_or(0));
        Some(Count { frames: rx["packets"].as_u64()?, lost: lost.iter().sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_uses_a_device() {
        let said: Value = serde_json::from_str(
            r#"{"ifname": "eth1", "flags": ["BROADCAST", "UP"], "mtu": 1500, "addr_info": [
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"}]}"#,
        )
        .unwrap();
        let facts = Facts::read(&said, "", "eth1");
        assert!(facts.up && facts.mtu == 1500 && facts.used().is_none(), "{facts:?}");
        let routes = "default via 192.0.2.1 dev eth1 proto dhcp\n";
        assert_eq!(Facts::read(&said, routes, "eth1").used().as_deref(), Some("carries the default route"));
        assert_eq!(Facts::read(&said, routes, "eth10").used(), None);
        assert_eq!(Facts::read(&said, routes, "eth").used(), None);
        let master = Facts { master: Some("br0".into()), ..facts.clone() };
        assert_eq!(master.used().as_deref(), Some("is in br0"));
        let mut said = said;
        said["addr_info"][0]["scope"] = "global".into();
        assert_eq!(Facts::read(&said, "", "eth1").used().as_deref(), Some("has the address fe80::1/64"));
    }

    #[test]
    fn reads_what_a_device_has_counted() {
        let said = r#"{"ifname": "eth1", "stats64": {"rx": {"bytes": 100, "packets": 5, "errors": 9, "dropped": 9, "over_errors": 1,
            "multicast": 9, "fifo_errors": 2, "missed_errors": 4, "nohandler": 9}, "tx": {"packets": 9}}}"#;
        let said: Value = serde_json::from_str(said).unwrap();
        assert_eq!(Count::read(&said), Some(Count { frames: 5, lost: 7 }));
        assert_eq!(Count::read(&Value::Null), None);
    }
}
