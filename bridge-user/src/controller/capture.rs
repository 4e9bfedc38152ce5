//! Turning the capture of a bridge on and off. What it shows goes past the controller, by the client's own rings.

use bridge_common::{
    Mac, PortId,
    capture::{Capture, SNAPLEN_MAX, Wanted},
};

use super::Bridge;
use crate::{Refusal, Result, control::protocol::CaptureOptions, datapath::CaptureSwitch, snapshot::HOST};

impl Bridge {
    /// Turns it on, for one client at a time.
    pub(super) fn begin_capture(&mut self, options: &CaptureOptions) -> Result<()> {
        if self.capturing {
            let message = format!("somebody captures on bridge {} already", self.settings.bridge);
            let hint = "end that capture first; one can have several ports: xbr capture vm1 vm2";
            return Err(Refusal::new(message, hint).into());
        }
        let ports = options.ports.iter().map(|name| self.captured_port(name));
        let ports = ports.collect::<Result<Vec<_>, Refusal>>()?;
        let capture = plan(options, &ports)?;
        CaptureSwitch::open(&self.hands.pins)?.set(&capture);
        self.capturing = true;
        tracing::info!(ports = ?options.ports, "capturing");
        Ok(())
    }

    /// Turns it off.
    pub(super) fn end_capture(&mut self) -> Result<()> {
        self.capturing = false;
        CaptureSwitch::open(&self.hands.pins)?.off();
        Ok(())
    }

    /// A port's number is free now, and must not be captured under the name of the next one that has it.
    pub(super) fn forget_in_capture(&mut self, id: PortId) -> Result<()> {
        if !self.capturing {
            return Ok(());
        }
        let mut switch = CaptureSwitch::open(&self.hands.pins)?;
        let mut capture = switch.get();
        capture.set(id, false);
        switch.set(&capture);
        Ok(())
    }

    fn captured_port(&self, name: &str) -> Result<PortId, Refusal> {
        if name == HOST {
            return Ok(PortId::HOST);
        }
        self.port_named(name).ok_or_else(|| {
            Refusal::new(
                format!("{name} is no port of bridge {}", self.settings.bridge),
                "xbr port show lists the ports; the host itself is the port host",
            )
        })
    }
}

/// What the programs are told.
fn plan(options: &CaptureOptions, ports: &[PortId]) -> Result<Capture, Refusal> {
    let mut capture = Capture { wanted: Wanted::FRAMES, ..Capture::default() };
    capture.snaplen = options.snaplen.min(SNAPLEN_MAX);
    for port in ports {
        capture.set(*port, true);
    }
    if let Some(mac) = &options.mac {
        capture.wanted.0 |= Wanted::MAC.0;
        capture.mac = mac.parse::<Mac>().map_err(|_| {
            Refusal::new(format!("{mac} is no MAC address"), "write one as 52:54:00:12:34:56")
        })?;
    }
    if let Some(vlan) = options.vlan {
        capture.wanted.0 |= Wanted::VLAN.0;
        capture.vlan = vlan;
    }
    if let Some(ether_type) = options.ether_type {
        capture.wanted.0 |= Wanted::ETHER_TYPE.0;
        capture.ether_type = ether_type;
    }
    Ok(capture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_no_filter() {
        let options = CaptureOptions { snaplen: 1 << 20, ..CaptureOptions::default() };
        let capture = plan(&options, &[PortId(3)]).unwrap();
        assert_eq!((capture.wanted, capture.snaplen), (Wanted::FRAMES, SNAPLEN_MAX));
        assert!(capture.has(PortId(3)) && !capture.has(PortId::HOST));
        let options = CaptureOptions { vlan: Some(0), mac: Some("2:0:0:0:0:1".into()), ..options };
        let capture = plan(&options, &[]).unwrap();
        assert!(capture.wanted.has(Wanted::VLAN) && capture.wanted.has(Wanted::MAC));
        assert!(!capture.wanted.has(Wanted::ETHER_TYPE));
        assert!(plan(&CaptureOptions { mac: Some("x".into()), ..options }, &[]).is_err());
    }
}
