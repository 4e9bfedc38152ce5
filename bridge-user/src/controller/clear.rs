//! Taking a bridge down whose controller is dead.

use super::{filters, hands::Hands, lock};
use crate::{
    Refusal, Result,
    datapath::{Error as DatapathError, PinDir, Slot, Tables, Way},
    link::{InterfaceName, Links, namespace},
    plan::steps::Member,
};
use bridge_common::{port::MAX_PORTS, record::Origin};

/// Lets every port go by what is written down in the kernel, and removes the bridge's pins.
pub fn clear(pins: &PinDir) -> Result<()> {
    let _lock = lock::lock(pins.bridge())?;
    match Tables::open(pins) {
        Ok(tables) => release(pins, tables)?,
        // A start that died before it had made its maps, or another version's: nothing is known to undo.
        Err(error @ (DatapathError::NoBridge(_) | DatapathError::OtherLayout { .. })) => {
            tracing::warn!(%error, "only the pins and what they hold are removed");
            if pins.way()? == Some(Way::Clsact) {
                filters::remove_all(&Links::open()?, pins.bridge())?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    pins.remove()?;
    lock::unlink(pins.bridge())
}

fn release(pins: &PinDir, tables: Tables) -> Result<()> {
    let home = tables.bridge()?.namespace;
    // 0: the controller died before it wrote anything down.
    if home != 0 && home != namespace::cookie()? {
        return Err(Refusal::new(
            format!("bridge {} belongs to another network namespace", pins.bridge()),
            "run this command in that namespace (`nsenter --net=…`), where its devices are",
        )
        .into());
    }
    let links = Links::open()?;
    let records = tables.records()?;
    let mut hands = Hands {
        pins: pins.clone(),
        tables,
        links,
        programs: None,
        untouched: MAX_PORTS as u16,
        #[cfg(feature = "lab")]
        fail_after: None,
    };
    for (id, record) in records.into_iter().rev() {
        let ifindex = hands.tables.port(id)?.ifindex;
        let link = match (ifindex, record.name().parse::<InterfaceName>()) {
            // A start died before it wrote down more than the name.
            (0, Ok(name)) if !record.origin.has(Origin::COMPLETE) => hands.links.get(&name)?,
            (0, _) => None,
            (index, _) => hands.links.by_index(index)?,
        };
        // Whatever has the name now is not what we changed.
        let Some(link) = link else { continue };
        let member = Member::found(id, &link, &record, pins.is_attached(id, Slot::Xdp));
        hands.take_back(member.release());
    }
    Ok(())
}
