//! `xbr doctor`: what this machine and its devices can do, in plain words.

use clap::Args;
use serde::Serialize;

use super::{Common, output};
use crate::{
    Result,
    doctor::{self, Finding, Level},
    link::InterfaceName,
};

/// What to look at.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Only this device; all of the network namespace if not given
    #[arg(value_name = "IFACE")]
    name: Option<InterfaceName>,
}

/// What was found, as `xbr doctor -j` has it.
#[derive(Debug, Serialize)]
struct Report {
    machine: Vec<Finding>,
    interfaces: Vec<Interface>,
}

#[derive(Debug, Serialize)]
struct Interface {
    ifname: String,
    findings: Vec<Finding>,
}

/// Looks and tells.
pub fn run(common: &Common, args: &DoctorArgs) -> Result<()> {
    let (machine, devices) = doctor::look(args.name.as_ref())?;
    let interface = |device: &doctor::Device| Interface {
        ifname: device.link.name.to_string(),
        findings: doctor::device(device),
    };
    let report =
        Report { machine: doctor::machine(&machine), interfaces: devices.iter().map(interface).collect() };
    output::print(&if common.json { output::json(&report)? } else { text(&report) })
}

fn text(report: &Report) -> String {
    let mut text = section("this machine", &report.machine);
    for interface in &report.interfaces {
        text.push('\n');
        text += &section(&interface.ifname, &interface.findings);
    }
    text
}

/// A mark before each line tells its level without colours.
fn section(title: &str, findings: &[Finding]) -> String {
    let mut text = format!("{title}\n");
    for finding in findings {
        let mark = match finding.level {
            Level::Good => "ok",
            Level::Note => "--",
            Level::Problem => "!!",
        };
        text += &format!("  {mark} {:<13} {}\n", finding.subject, finding.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_marks() {
        let finding = |level, subject| Finding { level, subject, text: "said".into() };
        let findings = vec![finding(Level::Good, "kernel"), finding(Level::Problem, "bpffs")];
        let interfaces =
            vec![Interface { ifname: "eth0".into(), findings: vec![finding(Level::Note, "XDP")] }];
        insta::assert_snapshot!(text(&Report { machine: findings, interfaces }), @r"
        this machine
          ok kernel        said
          !! bpffs         said

        eth0
          -- XDP           said
        ");
    }
}
