//! Help for tests that need root: each runs on a thread with a network namespace of its own.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use futures::StreamExt;
use nix::sched::{CloneFlags, unshare};

use super::{InterfaceName, LinkEvent, LinkWatch, Links};

/// Runs `test` in an empty network namespace. Without root it is skipped loudly, and in CI it fails.
pub fn in_new_namespace(test: impl FnOnce() + Send + 'static) {
    let root = nix::unistd::geteuid().is_root();
    if !root || std::env::var_os("XBR_SKIP_PRIVILEGED").is_some() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must run the tests that need root");
        eprintln!("SKIPPED: needs root (or XBR_SKIP_PRIVILEGED is set)");
        return;
    }
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        test();
    };
    if let Err(panic) = std::thread::spawn(inside).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a command in the namespace of this thread; whether it succeeded.
pub fn try_run(command: &[&str]) -> bool {
    Command::new(command[0]).args(&command[1..]).output().expect(command[0]).status.success()
}

/// Runs a command in the namespace of this thread and returns what it printed.
pub fn run(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output().expect(command[0]);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The name, which must be valid.
pub fn name(text: &str) -> InterfaceName {
    text.parse().expect("a valid name")
}

/// A new connection, and the veth pair `a`, `b`.
pub fn links_with_veth() -> Links {
    run(&["ip", "link", "add", "name", "a", "type", "veth", "peer", "name", "b"]);
    Links::open().expect("netlink")
}

/// The index of an interface that must exist.
pub fn index(links: &Links, text: &str) -> u32 {
    links.get(&name(text)).expect("an answer").unwrap_or_else(|| panic!("no interface {text}")).index
}

/// A process in a network namespace of its own, to which interfaces can be moved. Both end with this value.
pub struct Elsewhere(Child);

impl Elsewhere {
    pub fn new() -> Self {
        let process = Command::new("unshare").args(["--net", "sleep", "60"]).spawn().expect("unshare");
        let here = fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
        while fs::read_link(format!("/proc/{}/ns/net", process.id())).expect("a namespace") == here {
            std::thread::sleep(Duration::from_millis(2));
        }
        Self(process)
    }

    /// Moves an interface there.
    pub fn take(&self, interface: &str) {
        run(&["ip", "link", "set", "dev", interface, "netns", &self.0.id().to_string()]);
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // The child is ours; that it has ended already is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a future on a runtime of this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// The next event, or none within this time.
pub async fn next_event(watch: &mut LinkWatch, patience: Duration) -> Option<LinkEvent> {
    let next = tokio::time::timeout(patience, watch.next()).await;
    next.ok().map(|event| event.expect("the watch goes on"))
}

/// Waits until something is so, which must come soon.
pub fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to be");
        std::thread::sleep(Duration::from_millis(5));
    }
}
