//! Which hook a port uses. (temporary)
use crate::{control::protocol::HookChoice, error::Refusal, link::Link};

/// chosen
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// xdp
    pub xdp: bool,
    /// guard
    pub guard: bool,
    /// frags
    pub frags: bool,
    /// why
    pub why: String,
}

/// choose
pub fn choose(choice: HookChoice, link: &Link, _driver: Option<&str>) -> Result<Chosen, Refusal> {
    let veth = link.is_kind("veth");
    let vnet = link.tun.as_ref().is_some_and(|t| t.vnet_hdr);
    let xdp = match choice {
        HookChoice::Auto => link.is_tap() && !vnet,
        HookChoice::Xdp => true,
        HookChoice::Tc => false,
    };
    Ok(Chosen { xdp, guard: veth || vnet, frags: veth || link.mtu > 3000, why: "temp".into() })
}

/// uplink
pub fn uplink(choice: HookChoice, link: &Link, any: bool) -> Result<Chosen, Refusal> {
    let mut chosen = choose(choice, link, None)?;
    if choice == HookChoice::Auto {
        chosen.xdp = any && !link.is_kind("veth");
    }
    Ok(chosen)
}
