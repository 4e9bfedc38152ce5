//! What is known of drivers, under ethtool's names of them. A driver that is not here may still have native
//! XDP: only the trial of attaching tells.

/// Drivers with native XDP in kernels since 6.1 (`ndo_bpf` with XDP_SETUP_PROG).
const NATIVE: [&str; 34] = [
    "virtio_net",
    "veth",
    "tun",
    "ixgbe",
    "ixgbevf",
    "i40e",
    "ice",
    "igb",
    "igc",
    "mlx4_en",
    "mlx5_core",
    "bnxt_en",
    "nfp",
    "qede",
    "sfc",
    "sfc_ef100",
    "nicvf",
    "ena",
    "mvneta",
    "mvpp2",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "st_gmac",
    "tsnep",
    "cpsw",
    "am65-cpsw-nuss",
    "netsec",
    "hv_netvsc",
    "vif",
    "gve",
    "mana",
    "rvu_nicpf",
    "vmxnet3",
    "lan966x-switch",
];

/// Drivers that reset the link or rebuild their rings when an XDP program comes or goes, so that frames are
/// lost for a moment.
const RESETS: [&str; 13] = [
    "ixgbe",
    "i40e",
    "ice",
    "igb",
    "igc",
    "mlx4_en",
    "mlx5_core",
    "bnxt_en",
    "nfp",
    "qede",
    "ena",
    "st_gmac",
    "vmxnet3",
];

/// Whether the driver is known to have native XDP.
pub fn has_native_xdp(driver: &str) -> bool {
    NATIVE.contains(&driver)
}

/// What attaching native XDP costs with this driver; a sentence each.
pub fn costs(driver: &str) -> Vec<&'static str> {
    let mut costs = Vec::new();
    if RESETS.contains(&driver) {
        costs.push("attaching XDP resets the link or its rings: frames are lost for a moment");
    }
    match driver {
        "virtio_net" => costs.push(
            "attaching XDP turns the guest receive offloads off, and wants a transmit queue of its own for \
             each CPU",
        ),
        "veth" => costs.push("attaching XDP turns TSO off at the peer: TCP from sockets falls to a fraction"),
        // A guest's frames were never merged.
        "tun" => {}
        driver if has_native_xdp(driver) => costs.push("frames that XDP redirects are not merged by GRO"),
        _ => {}
    }
    costs
}

/// What becomes of `rx-gro-hw` when XDP comes, with this driver; `fixed` when it cannot be changed.
pub fn merging(driver: &str, fixed: bool) -> &'static str {
    match (driver, fixed) {
        // `virtnet_xdp_set` asks the device for it by VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, without which the feature is fixed and
        // XDP is refused.
        ("virtio_net", false) => "the driver turns that off while it has XDP, and on again after",
        ("virtio_net", true) => "it cannot be changed, and the driver refuses XDP with it",
        // `bnxt_xdp_set` and `qede_fix_features` turn it off; `mlx5e_xdp_allowed` refuses.
        (_, false) => "should the driver refuse XDP because of that, ethtool -K turns it off",
        (_, true) => "it cannot be changed, and the driver may refuse XDP with it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_resets_has_native_xdp() {
        assert!(RESETS.iter().all(|driver| has_native_xdp(driver)));
        assert!(!has_native_xdp("e1000e") && costs("e1000e").is_empty());
    }
}
