//! Frames, and what they say.

use std::net::Ipv6Addr;

use bridge_common::Mac;

use super::{
    Malformed, Message, Query, Question, RecordKind, frame, parse,
    parse::Old,
    tests::{ip, old, record},
};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

#[test]
fn built_queries_are_read_as_they_were_meant() {
    let from: Ipv6Addr = "fe80::7".parse().unwrap();
    for (group, sources) in [
        ("0.0.0.0", &[][..]),
        ("239.1.2.3", &[]),
        ("239.1.2.3", &["192.0.2.1", "192.0.2.2"]),
        ("::", &[]),
        ("ff05::1:3", &[]),
        ("ff05::1:3", &["2001:db8::1"]),
    ] {
        for vlan in [None, Some(10)] {
            let sources: Vec<_> = sources.iter().map(|source| ip(source)).collect();
            let question =
                Question { vlan, group: ip(group), sources: sources.clone(), response: 1000, interval: 125 };
            let frame = frame(&question, MAC, from);
            assert!(frame.len() >= 60 && frame[0] & 1 == 1);
            let sender = if ip(group).is_ipv4() { ip("0.0.0.0") } else { from.into() };
            let group = Some(ip(group)).filter(|group| !group.is_unspecified());
            let query = Query { from: sender, group, sources, response: 1000, suppressed: false };
            assert_eq!(parse(&frame), Ok(Message::Query(query)), "{question:?}");
            for at in 0..frame.len() {
                // Whatever is cut off, nothing else is read.
                let cut = parse(&frame[..at]);
                assert!(cut.is_err() || at >= 46, "{at}: {cut:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_right_says_nothing() {
    let question =
        Question { vlan: None, group: ip("ff05::1:3"), sources: Vec::new(), response: 1000, interval: 125 };
    let mld = frame(&question, MAC, "fe80::7".parse().unwrap());
    let igmp = frame(&Question { group: ip("239.1.2.3"), ..question }, MAC, Ipv6Addr::UNSPECIFIED);
    let changed = |frame: &[u8], at: usize, to: u8| {
        let mut frame = frame.to_vec();
        frame[at] = to;
        parse(&frame)
    };
    assert_eq!(changed(&igmp, 16, 1), Err(Malformed::Short), "longer than the frame");
    assert_eq!(changed(&igmp, 14, 0x44), Err(Malformed::Header));
    assert_eq!(changed(&igmp, 22, 2), Err(Malformed::Checksum), "of the IP header");
    assert_eq!(changed(&igmp, 45, 9), Err(Malformed::Checksum), "of the message");
    assert_eq!(changed(&igmp, 12, 9), Err(Malformed::Other));
    assert_eq!(changed(&mld, 21, 64), Err(Malformed::Sender), "not from this link");
    assert_eq!(changed(&mld, 63, 9), Err(Malformed::Checksum));
    assert_eq!(changed(&mld, 20, 17), Err(Malformed::Other));
}

#[test]
fn old_and_new_reports_are_told_alike() {
    let sum = |message: &mut Vec<u8>| {
        let sum = !super::bytes::sum(message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    };
    let packet = |mut message: Vec<u8>| {
        sum(&mut message);
        let mut header =
            vec![0x45, 0, 0, 20 + message.len() as u8, 0, 0, 0, 0, 1, 2, 0, 0, 10, 0, 0, 1, 239, 1, 2, 3];
        let check = !super::bytes::sum(&header);
        header[10..12].copy_from_slice(&check.to_be_bytes());
        [&[1, 0, 0x5e, 1, 2, 3, 2, 0, 0, 0, 0, 1, 8, 0][..], &header, &message].concat()
    };
    let said = |message: &[u8]| match parse(&packet(message.to_vec())) {
        Ok(Message::Report(records)) => records,
        other => panic!("{other:?}"),
    };
    let group = "239.1.2.3";
    assert_eq!(said(&[0x12, 0, 0, 0, 239, 1, 2, 3]), [old(RecordKind::IsEx, Old::First, group)]);
    assert_eq!(said(&[0x16, 0, 0, 0, 239, 1, 2, 3]), [old(RecordKind::IsEx, Old::Second, group)]);
    assert_eq!(said(&[0x17, 0, 0, 0, 239, 1, 2, 3]), [old(RecordKind::ToIn, Old::Second, group)]);
    let mut three = vec![0x22, 0, 0, 0, 0, 0, 0, 3];
    three.extend([4, 0, 0, 0, 239, 1, 2, 3]);
    // A kind of the future is passed over, with its auxiliary words.
    three.extend([9, 1, 0, 1, 239, 1, 2, 3, 192, 0, 2, 1, 0, 0, 0, 0]);
    three.extend([5, 0, 0, 2, 239, 1, 2, 4, 192, 0, 2, 1, 192, 0, 2, 2]);
    let allow = record(RecordKind::Allow, "239.1.2.4", &["192.0.2.1", "192.0.2.2"]);
    assert_eq!(said(&three), [record(RecordKind::ToEx, group, &[]), allow]);
    // More records, or sources, than there are.
    three[7] = 4;
    assert_eq!(parse(&packet(three.clone())), Err(Malformed::Short));
    assert_eq!(parse(&packet(vec![0x16, 0, 0, 0, 10, 0, 0, 1])), Err(Malformed::Group));
    // Sources that cannot be any are passed over: the programs know 0.0.0.0 as the group itself.
    let mut odd = vec![0x22, 0, 0, 0, 0, 0, 0, 1, 5, 0, 0, 4, 239, 1, 2, 4];
    odd.extend([0, 0, 0, 0, 192, 0, 2, 1, 239, 1, 1, 1, 0, 1, 2, 3]);
    assert_eq!(said(&odd), [record(RecordKind::Allow, "239.1.2.4", &["192.0.2.1"])]);
    // A query of 8 bytes, or of 12 and more, and none between.
    let query = |length: usize| {
        let mut message = vec![0x11, 10, 0, 0, 239, 1, 2, 3, 8, 0, 0, 0];
        message.truncate(length);
        parse(&packet(message))
    };
    for (length, suppressed) in [(8, false), (12, true)] {
        let Ok(Message::Query(query)) = query(length) else { panic!("{:?}", query(length)) };
        assert_eq!((query.group, query.suppressed), (Some(ip("239.1.2.3")), suppressed));
    }
    assert!((9..12).all(|length| query(length) == Err(Malformed::Short)));
    // 128 and above are floating-point numbers.
    let max = |code: u8| match parse(&packet(vec![0x11, code, 0, 0, 0, 0, 0, 0])) {
        Ok(Message::Query(query)) => query.response,
        other => panic!("{other:?}"),
    };
    assert_eq!([max(0), max(100), max(128), max(255)], [10_000, 10_000, 12_800, 3_174_400]);
}
