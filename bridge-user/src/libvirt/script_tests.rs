use std::process::{Command, Stdio};

use super::*;

/// A folder of libvirt's that vanishes with the test.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let home = std::env::temp_dir().join(format!("xbr-hooks-{}-{name}", std::process::id()));
        fs::create_dir(&home).unwrap();
        Self(home)
    }

    fn hooks(&self) -> PathBuf {
        self.0.join("hooks")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn it_comes_and_goes_and_twice_is_once() {
    let home = Home::new("twice");
    let hooks = home.hooks();
    for xbr in ["/usr/sbin/xbr", "/opt/xbr"] {
        assert_eq!(install(&hooks, Path::new(xbr)).unwrap(), Outcome::Done, "another xbr takes its place");
        assert_eq!(install(&hooks, Path::new(xbr)).unwrap(), Outcome::AsBefore);
        assert!(is_executable(&path(&hooks)));
        assert_eq!(fs::read_dir(hooks.join("qemu.d")).unwrap().count(), 1);
    }
    assert_eq!(remove(&hooks).unwrap(), Outcome::Done);
    assert_eq!(remove(&hooks).unwrap(), Outcome::AsBefore);
    assert_eq!(fs::read_dir(&hooks).unwrap().count(), 0, "the folder that was made for it is gone");
}

#[test]
fn what_others_have_there_stays() {
    let home = Home::new("others");
    let hooks = home.hooks();
    fs::create_dir_all(hooks.join("qemu.d")).unwrap();
    install(&hooks, Path::new("/usr/sbin/xbr")).unwrap();
    remove(&hooks).unwrap();
    assert!(hooks.join("qemu.d").is_dir(), "it was there before");
    fs::write(path(&hooks), "#!/bin/sh\n").unwrap();
    for outcome in [install(&hooks, Path::new("/usr/sbin/xbr")), remove(&hooks)] {
        let error = outcome.unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("qemu.d/xbr is there and was not made by xbr\nhint: "), "{error}");
    }
    assert_eq!(fs::read_to_string(path(&hooks)).unwrap(), "#!/bin/sh\n");
}

#[test]
fn without_libvirt_nothing_is_made() {
    let home = Home::new("none");
    let error = install(&home.0.join("libvirt/hooks"), Path::new("/usr/sbin/xbr")).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert_eq!(fs::read_dir(&home.0).unwrap().count(), 0);
}

/// Runs the script with this XML, and gives its exit code and what it said.
fn call(hooks: &Path, operation: &str, xml: &str) -> (Option<i32>, String) {
    // By the shell: a program that was written this moment may still be open in a child of another test.
    let mut command = Command::new("sh");
    command
        .arg(path(hooks))
        .args(["guest", operation, "begin", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // A script that has ended does not read it.
    let _ = child.stdin.take().unwrap().write_all(xml.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn it_runs_xbr_with_libvirts_words() {
    let home = Home::new("run");
    let hooks = home.hooks();
    let xbr = home.0.join("it's xbr");
    std::os::unix::fs::symlink("/bin/echo", &xbr).unwrap();
    install(&hooks, &xbr).unwrap();
    let said = "libvirt hook -- guest start begin -\n".to_string();
    assert_eq!(call(&hooks, "start", "<domain/>"), (Some(0), said));
}

#[test]
fn when_xbr_was_deleted_only_its_own_guests_are_refused() {
    let home = Home::new("deleted");
    let hooks = home.hooks();
    install(&hooks, Path::new("/nowhere/xbr")).unwrap();
    assert_eq!(call(&hooks, "start", "<domain/>"), (Some(0), String::new()));
    let ours = format!("<domain><metadata><bridge xmlns='{NAMESPACE}' name='xbr0'/></metadata></domain>");
    let (code, said) = call(&hooks, "start", &ours);
    assert_eq!(code, Some(1));
    assert!(said.contains("/nowhere/xbr is not there"), "{said}");
    assert_eq!(call(&hooks, "reconnect", &ours).0, Some(0), "a guest that runs is left alone");
}
