//! libvirt's side of xbr: a hook that attaches the TAPs of guests that ask for it in their metadata.
//!
//! A hook must not call back into libvirt, which waits for it with the guest's lock held. So all that is known
//! comes from the XML that libvirt hands over.

pub mod domain;
pub mod script;
