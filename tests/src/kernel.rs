//! What the running kernel is too old for.

use nix::sys::utsname::uname;

/// Whether TC programs can be attached by tcx links (Linux 6.6).
pub fn has_tcx() -> bool {
    at_least((6, 6))
}

/// Whether a datagram can be given to the kernel to be cut (`UDP_SEGMENT`) where the device sums no checksums: before
/// Linux 6.11 `udp_send_skb` refuses with EIO.
pub(crate) fn cuts_datagrams_without_checksum_offload() -> bool {
    at_least((6, 11))
}

fn at_least(version: (u32, u32)) -> bool {
    let uname = uname().expect("uname");
    let release = uname.release().to_str().expect("a release of ASCII");
    parse(release).unwrap_or_else(|| panic!("{release} is no release of Linux")) >= version
}

fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|word| word.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn releases_are_compared_by_number() {
        for (release, version) in
            [("6.1.0-56-cloud-amd64", (6, 1)), ("6.12.95+deb12", (6, 12)), ("7.3", (7, 3))]
        {
            assert_eq!(parse(release), Some(version));
        }
        assert!(parse("6.12.95+deb12") > parse("6.6.0") && parse("six").is_none());
    }
}
