//! Who gets nothing, and why. After each the machine is as it was.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;

use bridge_user::control::VERSION;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket, socketpair};
use xbr_lab::{Namespace, Rights, Snapshot, USER, require_privileges, socket_path};

use crate::Lab;

/// Must be refused with exit code `code` and one sentence with a hint; nothing may change.
#[track_caller]
fn refused(lab: &Lab, outcome: Result<OwnedFd, String>, code: u8, says: &str, before: &Snapshot) {
    let said = outcome.expect_err(says);
    assert!(said.starts_with(&format!("{code}: xbr-bridge-helper: ")), "{said}");
    assert!(said.contains(says), "{says:?} is not said: {said}");
    assert_eq!(said.trim_end().lines().count(), 2, "not one sentence and one hint: {said}");
    assert!(said.contains("\nhint: "), "{said}");
    if let Some(difference) = before.difference(&Snapshot::take(lab.host())) {
        panic!("{says}: something changed:\n{difference}");
    }
}

#[test]
fn what_the_list_says() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    let before = Snapshot::take(lab.host());
    let name = &lab.bridge.name;
    let write = |text: &str| lab.helper.write("bridge.conf", text, 0o644);
    let denied = |text: &str| {
        write(text);
        refused(&lab, lab.ask(), 2, &format!("user 65534 may not use bridge {name}"), &before);
    };
    denied("");
    denied("# allow all\nallow xbr-other\n");
    denied(&format!("deny {name}\nallow all\n"));
    denied(&format!("allow {name}\ndeny all\n"));
    // An include of those who may read it, by group.
    let alice = lab.helper.write("alice.conf", &format!("allow {name}\n"), 0o640);
    denied("include /etc/xbr/alice.conf\n");
    chown(&alice, None, Some(USER)).unwrap();
    drop(lab.ask().expect("nobody's group may read it now"));
    refused(&lab, lab.ask_as(1), 2, "user 1 may not use bridge", &before);
    write(&format!("include /etc/xbr/alice.conf\ndeny {name}\n"));
    refused(&lab, lab.ask(), 2, "user 65534 may not use bridge", &before);
    write("include /etc/xbr/bob.conf\nallow all\n");
    refused(&lab, lab.ask(), 2, "cannot read /etc/xbr/bob.conf: No such file", &before);
    write("allow all\npermit all\n");
    refused(&lab, lab.ask(), 2, "line 2 of /etc/xbr/bridge.conf: \"permit\" is none of", &before);
    write("allow all\n");
    drop(lab.ask().expect("all are allowed"));
    lab.bridge.stop();
}

#[test]
fn a_list_that_others_can_write_allows_nothing() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    let before = Snapshot::take(lab.host());
    let list = lab.helper.write("bridge.conf", "allow all\n", 0o666);
    let mode = |mode| fs::set_permissions(&list, fs::Permissions::from_mode(mode)).unwrap();
    refused(&lab, lab.ask(), 2, "can be written by others than root (mode 0666)", &before);
    mode(0o664);
    refused(&lab, lab.ask(), 2, "can be written by others than root (mode 0664)", &before);
    mode(0o600);
    refused(&lab, lab.ask(), 2, "cannot read /etc/xbr/bridge.conf: Permission denied", &before);
    mode(0o644);
    chown(&list, Some(USER), None).unwrap();
    refused(&lab, lab.ask(), 2, "belongs to user 65534, and an access list must be root's", &before);
    chown(&list, Some(0), None).unwrap();
    drop(lab.ask().expect("now it is as it should be"));
    let include = lab.helper.write("more.conf", "allow all\n", 0o646);
    lab.helper.write("bridge.conf", "allow all\ninclude /etc/xbr/more.conf\n", 0o644);
    refused(&lab, lab.ask(), 2, "/etc/xbr/more.conf can be written by others", &before);
    fs::remove_file(&include).unwrap();
    nix::unistd::mkfifo(&include, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    refused(&lab, lab.ask(), 2, "/etc/xbr/more.conf is no file", &before);
    fs::remove_file(&list).unwrap();
    symlink("/etc/xbr/real.conf", &list).unwrap();
    lab.helper.write("real.conf", "allow all\n", 0o644);
    refused(&lab, lab.ask(), 2, "/etc/xbr/bridge.conf is a symbolic link", &before);
    fs::remove_file(&list).unwrap();
    refused(&lab, lab.ask(), 2, "cannot read /etc/xbr/bridge.conf: No such file", &before);
    lab.bridge.stop();
}

#[test]
fn junk_and_bridges_that_are_not_there() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    lab.helper.write("bridge.conf", "allow all\n", 0o644);
    let before = Snapshot::take(lab.host());
    let ask = |words: &[&str]| lab.helper.tap(lab.host(), USER, words);
    let own = format!("--br={}", lab.bridge.name);
    for (words, says) in [
        (&["--br=nosuch"][..], "there is no bridge nosuch"),
        (&["--br=../x"], "\"../x\" cannot name a bridge"),
        (&["--br=a/b"], "cannot name a bridge"),
        (&["--br="], "cannot name a bridge"),
        (&["--br=\u{1b}[31m"], "cannot name a bridge"),
        (&[], "--br=NAME is missing"),
        (&[&own, "--fd=4"], "--fd is given twice"),
        (&[&own, "--help"], "\"--help\" is no argument"),
        (&["--br", &lab.bridge.name], "\"--br\" is no argument"),
    ] {
        refused(&lab, ask(words), 2, says, &before);
    }
    let elsewhere = Namespace::new("elsewhere");
    let outcome = lab.helper.tap(&elsewhere, USER, &[&own]);
    refused(&lab, outcome, 2, "belongs to another network namespace", &before);
    assert_eq!(elsewhere.output("ip -br link").lines().count(), 1, "only lo is left there");
    lab.bridge.stop();
}

#[test]
fn descriptors_that_are_no_socket_of_qemus() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    let before = Snapshot::take(lab.host());
    let own = format!("--br={}", lab.bridge.name);
    let call = |fd: &OwnedFd| {
        let output = lab.helper.call_with(lab.host(), USER, &[&own], fd);
        Err(format!("{}: {}", output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr)))
    };
    let file: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    refused(&lab, call(&file), 2, "is no socket", &before);
    let (datagram, _other) =
        socketpair(AddressFamily::Unix, SockType::Datagram, None, SockFlag::SOCK_CLOEXEC).unwrap();
    refused(&lab, call(&datagram), 2, "is no stream socket", &before);
    let tcp = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    refused(&lab, call(&tcp), 2, "is no UNIX socket", &before);
    // A socket to which nothing can be sent: the port was there already, and goes again.
    let lonely = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let said: Result<OwnedFd, String> = call(&lonely);
    assert!(said.unwrap_err().contains("1: xbr-bridge-helper: cannot hand the TAP over: "), "exit code 1");
    assert!(xbr_lab::wait_until(std::time::Duration::from_secs(4), || !lab.has_port(crate::PORT)));
    let closed =
        lab.helper.command(lab.host(), USER, &lab.helper.program(), &[&own, "--fd=77"]).output().unwrap();
    let said = format!("2: {}", String::from_utf8_lossy(&closed.stderr));
    refused(&lab, Err(said), 2, "descriptor 77 is not open", &before);
    lab.bridge.stop();
}

#[test]
fn the_limit_is_each_users_own() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::Setuid);
    lab.helper.write("bridge.conf", "allow all\nlimit 3\n", 0o644);
    let taps: Vec<_> = (0..3).map(|_| lab.ask().unwrap()).collect();
    let before = Snapshot::take(lab.host());
    refused(&lab, lab.ask(), 2, "user 65534 has 3 TAPs on bridge", &before);
    // All at once, by another user: as many as may, get one.
    let at_once: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6).map(|_| scope.spawn(|| lab.ask_as(1))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(at_once.iter().filter(|outcome| outcome.is_ok()).count(), 3, "{at_once:?}");
    drop((taps, at_once));
    assert!(xbr_lab::wait_until(std::time::Duration::from_secs(4), || !lab.has_port(crate::PORT)));
    drop(lab.ask().expect("there is room again"));
    lab.helper.write("bridge.conf", "allow all\nlimit 0\n", 0o644);
    let said = lab.ask().unwrap_err();
    assert!(said.contains("user 65534 may have no TAP on bridge"), "{said}");
    lab.bridge.stop();
}

#[test]
fn without_rights_there_is_nothing() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::None);
    let before = Snapshot::take(lab.host());
    let said = lab.ask().unwrap_err();
    // The loader says of LD_PRELOAD, which it does not even look at where the program has rights.
    let own = said
        .lines()
        .find(|line| line.starts_with("xbr-bridge-helper"))
        .map(|line| format!("1: {line}\nhint: …"));
    refused(&lab, Err(own.unwrap_or(said)), 1, "may not connect to /run/xbr/", &before);
    drop(lab.ask_as(0).expect("root needs no rights of the helper's"));
    lab.bridge.stop();
}

/// Whoever takes the helper over has a connection to the controller, and can do no more with it than the helper.
#[test]
fn the_controller_trusts_the_helper_no_further_than_it_must() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::new(Rights::None);
    let path = socket_path(&lab.bridge.name);
    let ask = |body: &str| {
        let (path, message) = (path.clone(), format!(r#"{{"version":{VERSION},"body":{body}}}"#));
        let answer = std::thread::spawn(move || {
            // One thread becomes nobody and keeps its capabilities (SECBIT_NO_SETUID_FIXUP), which glibc's wrapper would do to all.
            // SAFETY: plain numbers.
            let changed = unsafe {
                libc::prctl(libc::PR_SET_SECUREBITS, 4) == 0
                    && libc::syscall(libc::SYS_setresuid, USER, USER, USER) == 0
            };
            assert!(changed, "{}", std::io::Error::last_os_error());
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(&(message.len() as u32).to_be_bytes()).unwrap();
            stream.write_all(message.as_bytes()).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        });
        answer.join().unwrap()
    };
    let lend = |uid| format!(r#"{{"verb":"lend","ifname":"xu{uid}-0","uid":{uid},"limit":9,"namespace":1}}"#);
    for body in [r#"{"verb":"down"}"#, r#"{"verb":"monitor"}"#, &lend(0), &lend(1)] {
        let said = ask(body);
        assert!(said.contains("user 65534 may not ask this of the controller"), "{body}: {said}");
    }
    assert!(ask(&lend(USER)).contains("belongs to another network namespace"));
    assert!(lab.bridge.process.is_running());
    lab.bridge.stop();
}
