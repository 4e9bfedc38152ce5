//! Which subjects a run is to measure, beside xbr.

use super::subject::Subject;

/// What xbr is measured against.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Against {
    /// The kernel's bridge.
    Bridge,
    /// Open vSwitch, with the kernel's datapath.
    Ovs,
    /// A bare redirect in tcx.
    Tc,
    /// A bare redirect in XDP.
    Ceiling,
}

impl Against {
    /// Whether a subject is to be measured; xbr always is, and nothing named means everything.
    pub(super) fn takes(all: &[Against], subject: &Subject) -> bool {
        let kind = match subject {
            Subject::LinuxBridge => Against::Bridge,
            Subject::Ovs => Against::Ovs,
            Subject::BareTcx => Against::Tc,
            Subject::BareXdp => Against::Ceiling,
            _ => return true,
        };
        all.is_empty() || all.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xbr_always_runs() {
        let takes = |all: &[Against]| {
            [Subject::xbr(""), Subject::LinuxBridge, Subject::Ovs, Subject::BareTcx, Subject::BareXdp]
                .map(|subject| Against::takes(all, &subject))
        };
        assert_eq!(takes(&[]), [true; 5]);
        assert_eq!(takes(&[Against::Ceiling]), [true, false, false, false, true]);
        assert_eq!(takes(&[Against::Bridge, Against::Tc]), [true, true, false, true, false]);
        assert_eq!(takes(&[Against::Ovs]), [true, false, true, false, false]);
    }
}
