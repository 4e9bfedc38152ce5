//! Which programs sit on a device's tcx hooks. `bpftool net` shows them from version 7.3 on only.

use std::io;

use nix::errno::Errno;

const BPF_PROG_QUERY: libc::c_long = 16;
const HOOKS: [(&str, u32); 2] = [("ingress", 46), ("egress", 47)];

/// `union bpf_attr`, the part for BPF_PROG_QUERY.
#[repr(C)]
#[derive(Default)]
struct Query {
    ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_count: u32,
    padding: u32,
    attach_flags_of_each: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// The numbers of the programs on each hook of a device of the caller's namespace.
///
/// A kernel without tcx has no such hooks.
pub(crate) fn programs(dev: &str) -> io::Result<Vec<(&'static str, Vec<u32>)>> {
    if !crate::has_tcx() {
        return Ok(Vec::new());
    }
    let ifindex = crate::device::index(dev)?;
    HOOKS.into_iter().map(|(hook, attach_type)| Ok((hook, query(ifindex, attach_type)?))).collect()
}

fn query(ifindex: u32, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; 64];
    let mut query = Query {
        ifindex,
        attach_type,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_count: ids.len() as u32,
        ..Query::default()
    };
    // SAFETY: the kernel reads and writes one attribute of the size given, and as many ids as it says.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, size_of::<Query>() as libc::c_uint)
    };
    match Errno::result(result) {
        // Nothing was ever attached there.
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        other => other?,
    };
    ids.truncate(query.prog_count as usize);
    Ok(ids)
}
