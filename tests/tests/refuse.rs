//! Bad input: one sentence and a hint, exit code 2, and nothing changed.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bridge_user::control::VERSION;
use xbr_lab::{
    ForeignXdp, GuestKind, Namespace, Process, Segment, Snapshot, TapsBy, Xbr, bpffs_dir, require_privileges,
    socket_path, unique_name,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");

/// A namespace in which nothing may change.
struct Still<'a> {
    ns: &'a Namespace,
    before: Snapshot,
}

impl Still<'_> {
    fn now(ns: &Namespace) -> Still<'_> {
        Still { ns, before: Snapshot::take(ns) }
    }

    /// Runs a command that must be refused: `says` is a part of the sentence.
    #[track_caller]
    fn refuses(&self, command: Command, says: &str) {
        let (bridge, left) = (named(&command), left_of(&named(&command)));
        let what = format!("{command:?}");
        let process = Process::spawn(command);
        // What is not refused runs on.
        let status = process.wait(Duration::from_secs(20));
        let (said, printed) = (process.stderr_text(), process.stdout_text());
        assert_eq!(status.code(), Some(2), "{what}: {said}");
        let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(lines.len(), 2, "not one sentence and one hint: {said}");
        assert!(lines[0].starts_with("error: ") && lines[0].contains(says), "{says:?} is not said: {said}");
        assert!(lines[1].starts_with("hint: ") || lines[1].contains("try '--help'"), "no hint: {said}");
        assert!(printed.is_empty(), "{printed}");
        if let Some(difference) = self.before.difference(&Snapshot::take(self.ns)) {
            panic!("{what} changed something:\n{difference}");
        }
        assert_eq!(left, left_of(&bridge), "{what} left something");
    }

    /// The same for `xbr run`.
    #[track_caller]
    fn refuses_to_run(&self, words: &str, says: &str) {
        let all = format!("run --bridge {} {words}", unique_name());
        self.refuses(self.ns.command(XBR, all.split_whitespace()), says);
    }
}

/// The bridge that a command names.
fn named(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let all = words.join(" ");
    all.split("--bridge ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("none").to_owned()
}

/// What there is of a bridge.
fn left_of(name: &str) -> Vec<PathBuf> {
    let socket = socket_path(name);
    let paths = [bpffs_dir(name), socket.with_extension("lock"), socket];
    paths.into_iter().filter(|path| path.exists()).collect()
}

#[test]
fn devices_that_will_not_do() {
    if !require_privileges() {
        return;
    }
    let segment = Segment::builder().guests(2, GuestKind::Veth).build();
    let host = &segment.host().ns;
    host.ip_batch(&[
        "link add br0 type bridge",
        "link add member type veth peer name free",
        "link set member master br0",
        "tuntap add dev tun0 mode tun",
    ]);
    let still = Still::now(host);
    for (words, says) in [
        ("", "no uplink is given"),
        ("--uplink nope", "there is no device nope"),
        ("--uplink lo", "lo is the loopback device"),
        ("--uplink member", "member is already a member of a bridge"),
        ("--uplink tun0", "tun0 is no Ethernet device"),
        ("--uplink eth0 --port nope", "there is no device nope"),
        ("--uplink eth0 --port lo", "lo is the loopback device"),
        ("--uplink eth0 --port member", "member is already a member of a bridge"),
        ("--uplink eth0 --port vm1 --port vm1", "port vm1 is given twice"),
        ("--uplink eth0 --tap vm9 --port vm9", "port vm9 is given twice"),
        ("--uplink eth0 --port eth0", "eth0 is the uplink"),
        ("--uplink eth0 --tap eth0", "eth0 is the uplink"),
        ("--uplink eth0 --tap vm1", "vm1 exists and is no TAP"),
        ("--uplink eth0 --tap abcdefghijklmnop", "abcdefghijklmnop"),
        ("--uplink abcdefghijklmnop", "abcdefghijklmnop"),
        ("--uplink eth0 --tap vm9 --port br0 --hook br0=xdp", "br0 cannot take XDP"),
        ("--uplink eth0 --hook vm7=xdp", "vm7"),
        ("--uplink eth0 --fdb-max 0", "0"),
        ("--uplink eth0 --config /nowhere.toml", "/nowhere.toml"),
        ("--uplink eth0 --log =nonsense=", "nonsense"),
    ] {
        still.refuses_to_run(words, says);
    }
    // The hint helps with a slip of the finger.
    let output = host.command(XBR, ["run", "--bridge", &unique_name(), "--uplink", "eth1"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is it eth0?"), "{output:?}");
    for dev in ["eth0", "vm1"] {
        let foreign = ForeignXdp::attach(host, dev);
        let says = format!("sits on {dev}");
        Still::now(host).refuses_to_run("--uplink eth0 --port vm1", &says);
        drop(foreign);
    }
}

#[test]
fn what_another_bridge_has() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::Veth).build();
    let bridge = segment.start(TapsBy::Switch, |segment| {
        Xbr::run(XBR, &segment.host().ns, "--uplink eth0 --port vm1 --hook xdp")
    });
    let host = &segment.host().ns;
    host.ip("link add free type veth peer name other");
    let still = Still::now(host);
    still.refuses_to_run("--uplink eth0", &format!("eth0 is already used by bridge {}", bridge.name));
    still.refuses_to_run("--uplink free --port vm1", "vm1 is already used by bridge");
    let same = format!("run --uplink eth0 --bridge {}", bridge.name);
    still.refuses(host.command(XBR, same.split(' ')), "has a controller already");
    let elsewhere = Namespace::new("elsewhere");
    elsewhere.ip("link add eth0 type veth peer name other");
    bridge.kill();
    let there = Still::now(&elsewhere);
    there.refuses(elsewhere.command(XBR, same.split(' ')), "exists in another network namespace");
    let show = format!("fdb show --bridge {}", bridge.name);
    there.refuses(elsewhere.command(XBR, show.split(' ')), "belongs to another network namespace");
    let down = format!("down {}", bridge.name);
    there.refuses(elsewhere.command(XBR, down.split(' ')), "belongs to another network namespace");
    let other = format!("run --uplink vm2 --bridge {}", bridge.name);
    still.refuses(host.command(XBR, other.split(' ')), "has another uplink, eth0");
}

#[test]
fn who_may_not_and_where_nothing_can() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(1, GuestKind::Veth).build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, ""));
    let (host, name) = (&segment.host().ns, &bridge.name);
    // A copy, since nobody may enter a home directory.
    let copy = std::env::temp_dir().join(format!("{name}-xbr"));
    std::fs::copy(XBR, &copy).unwrap();
    let still = Still::now(host);
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"];
    for words in [
        "run --uplink eth0 --bridge",
        "fdb show --bridge",
        "down --bridge",
        "tap add t1 --bridge",
        "monitor --bridge",
    ] {
        let program = copy.to_string_lossy();
        let words = nobody.into_iter().chain([&*program]).chain(words.split(' ')).chain([name.as_str()]);
        still.refuses(host.command("setpriv", words), "xbr needs root");
    }
    std::fs::remove_file(&copy).unwrap();
    for words in ["run --uplink eth0", "fdb show", "show"] {
        let script = format!("umount -a -t bpf; exec {XBR} {words} --bridge {name}");
        let words = ["-m", "sh", "-c", &script];
        still.refuses(host.command("unshare", words), "no BPF file system is mounted");
    }
}

#[test]
fn verbs_with_words_that_make_no_sense() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(2, GuestKind::Veth).quiet().build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, ""));
    let host = &segment.host().ns;
    let own = segment.host().mac;
    let still = Still::now(host);
    let stations = bridge.json("fdb show").as_array().unwrap().len();
    for (words, says) in [
        ("fdb add 52:54:00:75:dd dev vm1".to_owned(), "52:54:00:75:dd"),
        ("fdb add 52:54:00:75:dd:1a dev vm1 vlan 5000".to_owned(), "5000"),
        ("fdb add 52:54:00:75:dd:1a dev vm9".to_owned(), "vm9 is no port"),
        ("fdb add 01:00:5e:00:00:01 dev vm1".to_owned(), "no address of one station"),
        (format!("fdb add {own} dev vm1"), "permanent"),
        ("fdb del 52:54:00:75:dd:1a".to_owned(), "there is no station"),
        ("fdb flush --port vm9".to_owned(), "vm9"),
        ("port add nope".to_owned(), "there is no device nope"),
        ("port add vm1".to_owned(), "vm1 is a port of bridge"),
        ("port add lo".to_owned(), "loopback"),
        ("port del nope".to_owned(), "nope is no port"),
        ("port del eth0".to_owned(), "eth0 is the uplink"),
        ("tap add abcdefghijklmnop".to_owned(), "abcdefghijklmnop"),
        ("tap add vm1".to_owned(), "vm1 is a port of bridge"),
        ("tap del vm1".to_owned(), "vm1 was not made by xbr"),
        ("stats vm9".to_owned(), "no port vm9"),
    ] {
        let words = format!("{words} --bridge {}", bridge.name);
        still.refuses(host.command(XBR, words.split(' ')), says);
    }
    assert_eq!(bridge.json("fdb show").as_array().unwrap().len(), stations);
    still.refuses(host.command(XBR, ["show", "--bridge", "a.b"]), "a.b");
    still.refuses(host.command(XBR, ["fdb", "show", "--bridge", "nowhere"]), "there is no bridge nowhere");
    let empty = Namespace::new("empty");
    Still::now(&empty).refuses(empty.command(XBR, ["fdb", "show"]), "has no bridge");
}

/// A message of the control protocol: its length, then JSON.
fn message(json: &str) -> Vec<u8> {
    [&(json.len() as u32).to_be_bytes()[..], json.as_bytes()].concat()
}

/// What the controller answers to these bytes before it hangs up.
fn answer(name: &str, bytes: &[u8]) -> String {
    let mut socket = UnixStream::connect(socket_path(name)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // It may hang up before it has taken all of them.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut all = Vec::new();
    let _ = socket.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn another_version_and_junk_on_the_control_socket() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(1, GuestKind::Veth).build();
    let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, ""));
    let said = answer(&bridge.name, &message(r#"{"version":99,"body":{"verb":"down"}}"#));
    assert!(said.contains("refused") && said.contains("version 99"), "{said}");
    let said =
        answer(&bridge.name, &message(&format!(r#"{{"version":{VERSION},"body":{{"verb":"explode"}}}}"#)));
    assert!(said.contains("refused") && said.contains("not a message"), "{said}");
    let said = answer(&bridge.name, &message("[1, 2"));
    assert!(said.contains("refused"), "{said}");
    // 16 MiB announced, and then random bytes; a length and nothing; nothing at all.
    answer(&bridge.name, &[&[1, 0, 0, 0], &[0xa5; 100_000][..]].concat());
    answer(&bridge.name, &[0, 0, 0, 9]);
    answer(&bridge.name, &[]);
    bridge.text("fdb add 52:54:00:75:dd:1a dev vm1");
    assert!(bridge.process.is_running());

    bridge.kill();
    std::fs::remove_file(socket_path(&bridge.name)).unwrap();
    let listener = UnixListener::bind(socket_path(&bridge.name)).unwrap();
    let fake = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut client, _) = listener.accept().unwrap();
            client.write_all(&message(r#"{"version":99,"body":"bonjour"}"#)).unwrap();
            // Until the client has read it.
            let _ = client.read_to_end(&mut Vec::new());
        }
    });
    let host = &segment.host().ns;
    let still = Still::now(host);
    for verb in ["fdb del 52:54:00:75:dd:1a", "down"] {
        let words = format!("{verb} --bridge {}", bridge.name);
        still.refuses(host.command(XBR, words.split(' ')), "speaks version 99");
    }
    fake.join().unwrap();
}

#[test]
fn another_mtu_is_taken_with_a_warning() {
    if !require_privileges() {
        return;
    }
    let segment = Segment::builder().guests(2, GuestKind::Veth).build();
    let host = &segment.host().ns;
    host.ip("link set vm1 mtu 1400");
    let bridge = Xbr::run(XBR, host, "--uplink eth0 --port vm1");
    let said = bridge.process.stdout_text();
    assert!(said.contains("warning: vm1 has MTU 1400 and eth0 has 1500"), "{said}");
    host.ip("link set vm2 mtu 9000");
    let said = bridge.text("port add vm2");
    assert!(said.contains("warning: vm2 has MTU 9000 and eth0 has 1500"), "{said}");
    bridge.stop();
}
