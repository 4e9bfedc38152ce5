//! `xbr tap`: TAPs for guests.

use clap::{Args, Subcommand};

use super::{Common, controller, port_words, which};
use crate::{
    Refusal, Result,
    control::{
        Request,
        protocol::{HookChoice, TapOptions},
    },
    link::InterfaceName,
    policy::PortOptions,
    settings::{Mtu, Owner},
};

/// What to do with TAPs.
#[derive(Debug, Subcommand)]
pub enum TapVerb {
    /// Make a TAP and attach it
    Add(Box<AddArgs>),
    /// Let a TAP go and delete it; only one that xbr made
    Del {
        /// The TAP
        name: InterfaceName,
    },
}

/// What to make.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The TAP's name
    name: InterfaceName,
    /// Where to attach; auto chooses by what the TAP can do
    #[arg(long, value_enum, default_value_t)]
    hook: HookChoice,
    /// The user who may open it, by name or number
    #[arg(long, value_name = "USER")]
    owner: Option<Owner>,
    /// Make it with several queues, for a guest with more than one
    #[arg(long)]
    multi_queue: bool,
    /// Make it without the virtio header: for guests that do no offloads
    #[arg(long)]
    no_vnet_hdr: bool,
    /// Its MTU in bytes; the uplink's if not given
    #[arg(long, value_name = "BYTES")]
    mtu: Option<Mtu>,
    /// Attach it also where nftables, ebtables or tc of others have rules for it, which frames go past
    #[arg(long)]
    allow_bypass: bool,
    /// Options of the port in words, as in isolated on max-macs 64
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// The same as flags.
    #[command(flatten)]
    policy: PortOptions,
}

/// Does it.
pub fn run(common: &Common, verb: TapVerb) -> Result<()> {
    let request = match verb {
        TapVerb::Add(args) => request(*args)?,
        TapVerb::Del { name } => Request::TapDel { ifname: name },
    };
    controller::change(which::bridge(common.bridge.as_ref())?.name(), &request)
}

fn request(args: AddArgs) -> Result<Request, Refusal> {
    let options = TapOptions {
        owner: args.owner.as_ref().map(Owner::resolve).transpose()?,
        multi_queue: args.multi_queue,
        no_vnet_hdr: args.no_vnet_hdr,
        mtu: args.mtu.map(Mtu::bytes),
    };
    let policy = Box::new(port_words::options(&args.words, args.policy)?);
    let AddArgs { name: ifname, hook, allow_bypass, .. } = args;
    Ok(Request::TapAdd { ifname, hook, options, allow_bypass, policy })
}
