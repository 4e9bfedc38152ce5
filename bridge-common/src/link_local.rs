//! Frames for link-local groups.

use crate::{Decision, DropReason, Port, PortId, Ports, Question, Verdict};

/// The protocols of one link stay on it: the host speaks with the wire, and guests with neither.
#[inline(always)]
pub(crate) fn link_local(question: &Question<'_>, decision: &mut Decision, ports: &impl Ports) {
    let egress = match question.ingress {
        PortId::HOST => PortId::UPLINK,
        PortId::UPLINK => PortId::HOST,
        guest => {
            // Spanning tree's own, which a guest's bridge would send.
            let bpdu = question.frame.dst.is_spanning_tree();
            let reason = if bpdu { DropReason::Bpdu } else { DropReason::LinkLocal };
            decision.verdict = Verdict::Drop(reason, guest);
            return;
        }
    };
    decision.to = ports.port(egress).unwrap_or(Port::NONE);
    decision.verdict = if !decision.to.is_up() {
        Verdict::Drop(DropReason::PortDown, egress)
    } else if !decision.to.fits(question.frame.frames.longest) {
        Verdict::Drop(DropReason::TooBig, egress)
    } else {
        Verdict::Forward(egress)
    };
}
