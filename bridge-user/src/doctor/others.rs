//! Who else has to do with a device's frames.

use super::{Device, Finding};
use crate::plan::bypass::Bypassed;

/// Who else sits on it.
pub fn on(device: &Device) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(bridge) = &device.bridge {
        findings.push(Finding::note("in use", format!("a port of bridge {bridge} of xbr")));
    }
    for program in &device.link.xdp {
        let mode = format!("{:?}", program.mode).to_lowercase();
        let whose = if device.bridge.is_some() { "of this bridge, most likely" } else { "of somebody else" };
        findings
            .push(Finding::note("XDP", format!("a {mode} program is attached (id {}), {whose}", program.id)));
    }
    let classifiers: Vec<_> =
        device.qdiscs.iter().filter(|qdisc| qdisc.is_for_filters()).map(|qdisc| qdisc.kind.clone()).collect();
    if !classifiers.is_empty() {
        let kinds = classifiers.join(", ");
        findings
            .push(Finding::note("TC", format!("{kinds} is there: filters of others see frames after xbr")));
    }
    if classifiers.iter().any(|kind| kind == "ingress") {
        let text = "beside an ingress qdisc no clsact qdisc can be, which an uplink needs before Linux 6.6";
        findings.push(Finding::note("TC", text));
    }
    findings
}

/// What frames go past because xbr is there, or would go past.
pub fn bypassed(device: &Device) -> Vec<Finding> {
    let bypassed = match &device.bypassed {
        Ok(bypassed) => bypassed,
        Err(why) => return vec![Finding::problem("bypass", why)],
    };
    let port = device.bridge.is_some();
    let finding = |Bypassed { what, see, by_xdp_only }: &Bypassed| {
        let would = if port { "" } else { "would " };
        let goes = if port { "goes" } else { "go" };
        let (which, end) = match by_xdp_only {
            true => ("what XDP redirects to it", ""),
            false => {
                ("what xbr forwards from it", if port { "" } else { " (refused without --allow-bypass)" })
            }
        };
        let text = format!("{what}: {which} {would}{goes} past that{end}; see it with `{see}`");
        if port && !by_xdp_only { Finding::problem("bypass", text) } else { Finding::note("bypass", text) }
    };
    bypassed.iter().map(finding).collect()
}
