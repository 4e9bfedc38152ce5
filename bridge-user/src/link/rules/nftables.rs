//! nftables, over nfnetlink.

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::registers::{self, Lookup, Seen};
use super::{Interface, Rule, Test, sets};
use crate::link::channel::{Channel, Message, Request, attributes, text, u32_at};
use crate::link::{Error, Reason, Result};

// <linux/netfilter/nfnetlink.h> and <linux/netfilter/nf_tables.h>.
const NFNL_SUBSYS_NFTABLES: u16 = 10 << 8;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_GETRULE: u16 = 7;
const NFT_MSG_GETSETELEM: u16 = 13;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_DEV: u16 = 3;
const NFTA_HOOK_DEVS: u16 = 4;
const NFTA_DEVICE_NAME: u16 = 1;
const NFTA_DEVICE_PREFIX: u16 = 2;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;

const NFPROTO_NETDEV: u8 = 5;
const NFPROTO_BRIDGE: u8 = 7;
/// What is read here.
pub const FAMILIES: [u8; 2] = [NFPROTO_NETDEV, NFPROTO_BRIDGE];
const NF_NETDEV_INGRESS: u32 = 0;

/// `struct nfgenmsg`: family, version, resource.
const NFGENMSG: usize = 4;

/// The rules of the bridge family that compare an interface.
pub fn rules() -> Result<Vec<Rule>> {
    let read = || -> Result<Vec<Rule>, Reason> {
        let Some(channel) = open()? else { return Ok(Vec::new()) };
        let found = list(&channel, &request(NFT_MSG_GETRULE, NFPROTO_BRIDGE), |message| {
            rule(message.body.get(NFGENMSG..)?)
        })?;
        found.into_iter().map(|found| resolve(&channel, found)).collect()
    };
    read().map_err(|reason| Error::Rules { reason })
}

/// The chains of the netdev family at a device's ingress, which is behind TC's. (At egress a chain comes
/// before TC, and what XDP redirects is told of the qdisc already.)
pub fn ingress_chains() -> Result<Vec<Rule>> {
    let read = || -> Result<Vec<Rule>, Reason> {
        let Some(channel) = open()? else { return Ok(Vec::new()) };
        list(&channel, &request(NFT_MSG_GETCHAIN, NFPROTO_NETDEV), |message| {
            chain(message.body.get(NFGENMSG..)?)
        })
    };
    read().map_err(|reason| Error::Rules { reason })
}

/// None where the kernel has no nfnetlink.
fn open() -> Result<Option<Channel>, Reason> {
    match Channel::open(SockProtocol::NetlinkNetFilter) {
        Err(reason) if reason.errno() == Some(Errno::EPROTONOSUPPORT) => Ok(None),
        channel => channel.map(Some),
    }
}

/// A list that is empty where the kernel has nfnetlink and no nf_tables: `nfnetlink_rcv_msg` says EINVAL for
/// a subsystem that it does not know, and a dump of ours has nothing else to be invalid.
fn list<T>(
    channel: &Channel,
    request: &Request,
    make: impl Fn(Message<'_>) -> Option<T>,
) -> Result<Vec<T>, Reason> {
    match channel.list(request, make) {
        Err(reason) if matches!(reason.errno(), Some(Errno::EINVAL | Errno::EOPNOTSUPP)) => Ok(Vec::new()),
        list => list,
    }
}

fn request(message: u16, family: u8) -> Request {
    Request::new(NFNL_SUBSYS_NFTABLES | message, &[family, 0, 0, 0]).dump()
}

/// A rule as it was read, before its sets were looked up.
pub struct Found {
    pub table: String,
    pub chain: String,
    pub handle: u64,
    pub seen: Seen,
}

/// A rule of the bridge family, if it compares an interface.
pub fn rule(body: &[u8]) -> Option<Found> {
    let find = |wanted: u16| attributes(body).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let seen = registers::run(find(NFTA_RULE_EXPRESSIONS)?);
    let handle = find(NFTA_RULE_HANDLE)?.first_chunk().map(|handle| u64::from_be_bytes(*handle))?;
    let (table, chain) = (text(find(NFTA_RULE_TABLE)?)?, text(find(NFTA_RULE_CHAIN)?)?);
    (!seen.is_empty()).then_some(Found { table, chain, handle, seen })
}

fn resolve(channel: &Channel, found: Found) -> Result<Rule, Reason> {
    let Found { table, chain, handle, seen } = found;
    let mut tests = seen.tests;
    for Lookup { key, set, offset } in seen.lookups {
        let elements = request(NFT_MSG_GETSETELEM, NFPROTO_BRIDGE)
            .text(NFTA_SET_ELEM_LIST_TABLE, &table)
            .text(NFTA_SET_ELEM_LIST_SET, &set);
        let list = channel.list(&elements, |message| Some(sets::elements(message.body.get(NFGENMSG..)?)));
        let elements: Vec<_> = match list {
            // It went away since the rule was read, and the rule with it.
            Err(reason) if reason.errno() == Some(Errno::ENOENT) => Vec::new(),
            list => list?.into_iter().flatten().collect(),
        };
        tests.extend(sets::interfaces(&elements, offset, key).into_iter().map(|with| Test { key, with }));
    }
    Ok(Rule {
        place: format!("rule {handle} of nftables chain bridge {table} {chain}"),
        see: format!("nft -a list chain bridge {table} {chain}"),
        tests,
    })
}

/// A chain of the netdev family, if it hangs on a device's ingress.
pub fn chain(body: &[u8]) -> Option<Rule> {
    let find = |wanted: u16| attributes(body).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let hook = find(NFTA_CHAIN_HOOK)?;
    let of_hook = |wanted: u16| attributes(hook).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    if u32_at(of_hook(NFTA_HOOK_HOOKNUM)?, 0).map(u32::from_be) != Some(NF_NETDEV_INGRESS) {
        return None;
    }
    let one = of_hook(NFTA_HOOK_DEV).map(|name| (NFTA_DEVICE_NAME, name));
    let several = attributes(of_hook(NFTA_HOOK_DEVS).unwrap_or_default());
    let device = |(kind, value): (u16, &[u8])| match kind {
        NFTA_DEVICE_NAME => Some(Interface::compared(value)),
        NFTA_DEVICE_PREFIX => Some(Interface::Prefix(value.strip_suffix(&[0]).unwrap_or(value).to_vec())),
        _ => None,
    };
    let devices = one.into_iter().chain(several).filter_map(device);
    let (table, chain) = (text(find(NFTA_CHAIN_TABLE)?)?, text(find(NFTA_CHAIN_NAME)?)?);
    Some(Rule {
        place: format!("nftables chain netdev {table} {chain}"),
        see: format!("nft list chain netdev {table} {chain}"),
        tests: devices.map(|with| Test { key: "device", with }).collect(),
    })
}
