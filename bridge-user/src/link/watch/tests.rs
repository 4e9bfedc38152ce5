use std::time::Duration;

use futures::{FutureExt, StreamExt};

use super::*;
use crate::link::Links;
use crate::link::tap::{self, TapOptions, tests::reopen};
use crate::link::testing::{
    Elsewhere, block_on, in_new_namespace, index, links_with_veth, name, next_event, run,
};
use bridge_common::mac::Mac;

/// After this long without an event there will be none.
const QUIET: Duration = Duration::from_millis(200);

/// The events until one satisfies, which must come.
async fn wait_for(watch: &mut LinkWatch, satisfies: impl Fn(&LinkEvent) -> bool) -> LinkEvent {
    loop {
        match next_event(watch, Duration::from_secs(10)).await {
            Some(event) if satisfies(&event) => return event,
            Some(_) => {}
            None => panic!("the event never came"),
        }
    }
}

/// Waits until the interface is told to satisfy.
async fn wait_for_link(watch: &mut LinkWatch, interface: &str, satisfies: impl Fn(&Link) -> bool) {
    let matches = |event: &LinkEvent| matches!(event, LinkEvent::Changed(link) if link.name == name(interface) && satisfies(link));
    wait_for(watch, matches).await;
}

#[test]
fn each_change_is_told() {
    in_new_namespace(|| {
        block_on(async {
            let links = Links::open().unwrap();
            let mut watch = links.watch().unwrap();
            run(&["ip", "link", "add", "name", "a", "type", "veth", "peer", "name", "b"]);
            let a = index(&links, "a");
            wait_for_link(&mut watch, "a", |link| !link.up && link.index == a).await;
            links.set_up(a).unwrap();
            wait_for_link(&mut watch, "a", |link| link.up && !link.carrier).await;
            links.set_up(index(&links, "b")).unwrap();
            wait_for_link(&mut watch, "a", |link| link.carrier).await;
            links.set_mtu(a, 9000).unwrap();
            wait_for_link(&mut watch, "a", |link| link.mtu == 9000).await;
            let mac = Mac([2, 0, 0, 0, 0, 7]);
            links.set_address(a, mac).unwrap();
            wait_for_link(&mut watch, "a", |link| link.mac == Some(mac)).await;
            links.set_promiscuous(a, true).unwrap();
            wait_for_link(&mut watch, "a", |link| link.promiscuous).await;
            run(&["ip", "link", "set", "dev", "a", "name", "c"]);
            wait_for_link(&mut watch, "c", |link| link.index == a && link.mac == Some(mac)).await;
            links.set_down(a).unwrap();
            wait_for_link(&mut watch, "c", |link| !link.up).await;
            links.delete(a).unwrap();
            let gone = LinkEvent::Gone { index: a, name: name("c") };
            wait_for(&mut watch, |event| *event == gone).await;
        });
    });
}

#[test]
fn leaving_a_bridge_is_not_being_gone() {
    in_new_namespace(|| {
        block_on(async {
            let links = links_with_veth();
            run(&["ip", "link", "add", "name", "br", "type", "bridge"]);
            let mut watch = links.watch().unwrap();
            run(&["ip", "link", "set", "dev", "a", "master", "br"]);
            wait_for_link(&mut watch, "a", |link| link.master.is_some()).await;
            run(&["ip", "link", "set", "dev", "a", "nomaster"]);
            let mut last = None;
            while let Some(event) = next_event(&mut watch, QUIET).await {
                assert!(!matches!(event, LinkEvent::Gone { .. }), "{event:?}");
                last = Some(event)
                    .filter(|event| matches!(event, LinkEvent::Changed(link) if link.name == name("a")))
                    .or(last);
            }
            assert!(matches!(last, Some(LinkEvent::Changed(link)) if link.master.is_none()));
        });
    });
}

#[test]
fn moving_away_is_being_gone() {
    in_new_namespace(|| {
        block_on(async {
            let links = links_with_veth();
            let mut watch = links.watch().unwrap();
            let a = index(&links, "a");
            let elsewhere = Elsewhere::new();
            elsewhere.take("a");
            wait_for(&mut watch, |event| matches!(event, LinkEvent::Gone { index, .. } if *index == a)).await;
        });
    });
}

#[test]
fn a_guest_that_changes_its_tap_is_told_only_while_it_is_up() {
    in_new_namespace(|| {
        block_on(async {
            let links = Links::open().unwrap();
            tap::create(&name("t"), &TapOptions::default()).unwrap();
            let t = index(&links, "t");
            let vnet_hdr = || links.by_index(t).unwrap().unwrap().tun.unwrap().vnet_hdr;
            let with_header = TapOptions { vnet_hdr: true, ..TapOptions::default() };

            let mut watch = links.watch().unwrap();
            drop(reopen("t", &with_header));
            let told = |event: &LinkEvent| matches!(event, LinkEvent::Changed(link) if link.tun.as_ref().is_some_and(|tun| tun.vnet_hdr));
            let mut heard = false;
            while let Some(event) = next_event(&mut watch, QUIET).await {
                heard |= told(&event);
            }
            assert!(vnet_hdr() && !heard, "heard while down: {heard}");

            drop(reopen("t", &TapOptions::default()));
            links.set_up(t).unwrap();
            wait_for_link(&mut watch, "t", |link| {
                link.up && link.tun.as_ref().is_some_and(|tun| !tun.vnet_hdr)
            })
            .await;
            let guest = reopen("t", &with_header);
            wait_for(&mut watch, told).await;
            wait_for_link(&mut watch, "t", |link| {
                link.carrier && link.tun.as_ref().is_some_and(|tun| tun.vnet_hdr)
            })
            .await;
            drop(guest);
            wait_for_link(&mut watch, "t", |link| !link.carrier).await;
            assert!(vnet_hdr());
        });
    });
}

#[test]
fn what_is_lost_is_said_and_nothing_after_it_is_lost() {
    in_new_namespace(|| {
        block_on(async {
            let links = links_with_veth();
            let a = index(&links, "a");
            let mut watch = links.watch().unwrap();
            // Each round fills the socket's buffer (about 200 KiB) more than once.
            for round in 0..3 {
                for change in 0..600 {
                    links.set_mtu(a, 1000 + change % 2).unwrap();
                }
                let first = watch.next().await.unwrap();
                assert_eq!(first, LinkEvent::Overrun);
                assert_eq!(watch.next().now_or_never(), None, "stale events after an overrun");
                links.set_mtu(a, 2000 + round).unwrap();
                wait_for_link(&mut watch, "a", |link| link.mtu == 2000 + round).await;
                while watch.next().now_or_never().is_some() {}
            }
        });
    });
}
