//! What a device does to frames by itself: ethtool's features, under the kernel's names
//! (`netdev_features_strings`), such as `rx-vlan-hw-parse`, `rx-vlan-filter`, `rx-lro`, `tx-vlan-hw-insert`
//! and `rx-gro`.

use serde::{Deserialize, Serialize};

use super::ioctl::{ethtool, text};
use super::{Error, InterfaceName, Reason, Result};

// <linux/ethtool.h>
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETH_SS_FEATURES: u32 = 4;
/// Words of a name (ETH_GSTRING_LEN is 32 bytes).
const NAME_WORDS: usize = 8;
/// Words of `struct ethtool_get_features_block`: available, requested, active, never changed.
const BLOCK_WORDS: usize = 4;

/// One feature of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// The kernel's name.
    pub name: String,
    /// Whether it is at work.
    pub active: bool,
    /// Whether user space wants it at work. It may not be, while another feature that it builds on is off.
    pub requested: bool,
    /// Whether nobody can change it (ethtool's `[fixed]`).
    pub fixed: bool,
}

/// All features of a device.
pub fn features(name: &InterfaceName) -> Result<Vec<Feature>> {
    let read = || -> Result<Vec<Feature>, Reason> {
        let names = names(name)?;
        let blocks = names.len().div_ceil(32);
        let mut command = vec![0; 2 + blocks * BLOCK_WORDS];
        command[..2].copy_from_slice(&[ETHTOOL_GFEATURES, blocks as u32]);
        ethtool(name, &mut command)?;
        let feature = |(bit, feature): (usize, String)| {
            let block = &command[2 + bit / 32 * BLOCK_WORDS..][..BLOCK_WORDS];
            let is = |word: usize| block[word] >> (bit % 32) & 1 == 1;
            Feature { name: feature, requested: is(1), active: is(2), fixed: !is(0) || is(3) }
        };
        // Bits without a name are not in use.
        Ok(names.into_iter().enumerate().map(feature).filter(|feature| !feature.name.is_empty()).collect())
    };
    read().map_err(|reason| Error::Features { name: name.clone(), reason })
}

/// Whether a feature is at work; none where this kernel has no such feature.
pub fn get(name: &InterfaceName, feature: &str) -> Result<Option<bool>> {
    Ok(features(name)?.into_iter().find(|found| found.name == feature).map(|found| found.active))
}

/// Turns a feature on or off, and sees that it is.
pub fn set(name: &InterfaceName, feature: &str, on: bool) -> Result<()> {
    let names = names(name).map_err(|reason| Error::Features { name: name.clone(), reason })?;
    let no_feature = || Error::NoFeature { name: name.clone(), feature: feature.into() };
    let bit = names.iter().position(|found| found == feature).ok_or_else(no_feature)?;
    let blocks = names.len().div_ceil(32);
    // struct ethtool_set_features_block: valid, requested.
    let mut command = vec![0; 2 + blocks * 2];
    command[..2].copy_from_slice(&[ETHTOOL_SFEATURES, blocks as u32]);
    command[2 + bit / 32 * 2] = 1 << (bit % 32);
    command[3 + bit / 32 * 2] = u32::from(on) << (bit % 32);
    let set = ethtool(name, &mut command);
    set.map_err(|reason| Error::SetFeature { name: name.clone(), feature: feature.into(), on, reason })?;
    // The kernel ignores what the driver does not let change, and says so only in the ioctl's return value
    // (ETHTOOL_F_UNSUPPORTED, ETHTOOL_F_WISH), also where other features stand in the way.
    if get(name, feature)? == Some(on) {
        Ok(())
    } else {
        Err(Error::FixedFeature { name: name.clone(), feature: feature.into(), on })
    }
}

/// The names of the feature bits, from bit 0; empty for a bit not in use.
fn names(name: &InterfaceName) -> Result<Vec<String>, Reason> {
    let count = name_count(name)?;
    let mut command = vec![0; 3 + count * NAME_WORDS];
    command[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count as u32]);
    ethtool(name, &mut command)?;
    Ok(command[3..].chunks(NAME_WORDS).map(text).collect())
}

fn name_count(name: &InterfaceName) -> Result<usize, Reason> {
    // struct ethtool_sset_info: command, reserved, a 64-bit mask of string sets, and a count for each bit of it.
    let mask = (1u64 << ETH_SS_FEATURES).to_ne_bytes();
    let [low, high] =
        [0, 4].map(|at| u32::from_ne_bytes([mask[at], mask[at + 1], mask[at + 2], mask[at + 3]]));
    let mut command = [ETHTOOL_GSSET_INFO, 0, low, high, 0];
    ethtool(name, &mut command)?;
    Ok(command[4] as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testing::{in_new_namespace, links_with_veth, name, run};

    /// What `ethtool -k` says of a feature. A few have another name there.
    fn ethtools_word(interface: &str, feature: &str) -> Option<String> {
        let all = run(&["ethtool", "-k", interface]);
        all.lines().find_map(|line| line.trim().strip_prefix(&format!("{feature}: ")).map(str::to_string))
    }

    #[test]
    fn features_read_as_ethtool_reads_them() {
        in_new_namespace(|| {
            let _links = links_with_veth();
            let features = features(&name("a")).unwrap();
            let mut compared = 0;
            for feature in &features {
                let Some(truth) = ethtools_word("a", &feature.name) else { continue };
                let mut word = if feature.active { "on" } else { "off" }.to_string();
                if feature.fixed {
                    word += " [fixed]";
                } else if feature.requested != feature.active {
                    word += if feature.requested { " [requested on]" } else { " [requested off]" };
                }
                assert_eq!(word, truth, "{}", feature.name);
                compared += 1;
            }
            assert!(compared > 30, "{compared}");
            for known in ["rx-vlan-hw-parse", "rx-vlan-filter", "rx-lro", "tx-vlan-hw-insert", "rx-gro"] {
                assert!(features.iter().any(|feature| feature.name == known), "{known}");
            }
        });
    }

    #[test]
    fn a_feature_goes_off_and_on() {
        in_new_namespace(|| {
            let _links = links_with_veth();
            let a = name("a");
            for (feature, word) in [
                ("rx-vlan-hw-parse", "rx-vlan-offload"),
                ("tx-vlan-hw-insert", "tx-vlan-offload"),
                ("rx-gro", "generic-receive-offload"),
            ] {
                for on in [false, true, false] {
                    set(&a, feature, on).unwrap();
                    assert_eq!(get(&a, feature).unwrap(), Some(on));
                    assert_eq!(ethtools_word("a", word).unwrap(), if on { "on" } else { "off" });
                }
            }
        });
    }

    #[test]
    fn what_cannot_be_is_said() {
        in_new_namespace(|| {
            let _links = links_with_veth();
            let a = name("a");
            let sentence = |result: Result<()>| result.unwrap_err().to_string();
            assert_eq!(
                sentence(set(&a, "rx-lro", true)),
                "cannot turn rx-lro of a on: the driver does not let it change"
            );
            assert_eq!(sentence(set(&a, "warp-drive", true)), "a has no offload warp-drive");
            assert_eq!(get(&a, "warp-drive").unwrap(), None);
            let error = features(&name("nope")).unwrap_err();
            assert_eq!(error.to_string(), "cannot read the offloads of nope: No such device");
            assert!(error.is_gone());
            set(&a, "rx-lro", false).unwrap();
        });
    }
}
