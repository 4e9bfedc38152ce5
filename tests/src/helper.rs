//! The bridge helper, installed as an administrator does it and called as QEMU does it.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, setsockopt, socketpair,
    sockopt,
};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::Namespace;

/// The user for whom the helper is called, unless a test says otherwise: nobody.
pub const USER: u32 = 65534;

/// How a program gets more rights than its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rights {
    /// `chmod u+s`, and root's.
    Setuid,
    /// `setcap cap_net_admin,cap_dac_override+ep`.
    Capabilities,
    /// Not at all.
    None,
}

/// A copy of the helper, and an `/etc` of its own with the access list. Gone when dropped.
pub struct Helper {
    folder: PathBuf,
}

impl Helper {
    /// Installs `program` with this access list.
    #[track_caller]
    pub fn install(program: &str, rights: Rights, list: &str) -> Helper {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("xbr-helper-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let helper = Helper { folder: std::env::temp_dir().join(name) };
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        fs::create_dir_all(helper.folder.join("etc/xbr")).unwrap();
        for folder in ["", "etc", "etc/xbr"] {
            mode(&helper.folder.join(folder), 0o755);
        }
        let copy = helper.program();
        fs::copy(program, &copy).unwrap();
        chown(&copy, Some(0), Some(0)).unwrap();
        mode(&copy, if rights == Rights::Setuid { 0o4755 } else { 0o755 });
        if rights == Rights::Capabilities {
            set_capabilities(&copy);
        }
        helper.write("bridge.conf", list, 0o644);
        helper
    }

    /// Where the copy is.
    pub fn program(&self) -> PathBuf {
        self.folder.join("xbr-bridge-helper")
    }

    /// Writes a file of `/etc/xbr`, and returns where it is really.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.folder.join("etc/xbr").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A command that runs in the namespace as an ordinary user, with the helper's `/etc`.
    pub fn command<A: AsRef<OsStr>>(
        &self,
        ns: &Namespace,
        user: u32,
        program: &Path,
        words: &[A],
    ) -> Command {
        let mut command = ns.command(program.to_str().expect("a path in UTF-8"), words);
        let own = CString::new(self.folder.join("etc").as_os_str().as_bytes()).expect("no zero in a path");
        let none = None::<&str>;
        // SAFETY: between fork and exec only system calls are made, on strings that are there already.
        unsafe {
            command.pre_exec(move || {
                unshare(CloneFlags::CLONE_NEWNS)?;
                mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
                mount(Some(own.as_c_str()), "/etc", none, MsFlags::MS_BIND, none)?;
                let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
                setgroups(&[gid])?;
                setresgid(gid, gid, gid)?;
                setresuid(uid, uid, uid)?;
                Ok(())
            })
        };
        command
    }

    /// Calls it with these words and the descriptor, which it inherits as `--fd` says.
    pub fn call_with(&self, ns: &Namespace, user: u32, words: &[&str], fd: &OwnedFd) -> Output {
        let raw = fd.as_raw_fd();
        let fd = format!("--fd={raw}");
        let words: Vec<_> = words.iter().copied().chain([fd.as_str()]).collect();
        let mut command = self.command(ns, user, &self.program(), &words);
        // What a caller may think of to lead it astray.
        for (name, value) in [
            ("XBR_BRIDGE_CONF", "/dev/null"),
            ("XBR_RUN", "/tmp"),
            ("XBR_BIN", "/bin/false"),
            ("LD_PRELOAD", "/nonexistent.so"),
            ("RUST_BACKTRACE", "full"),
        ] {
            command.env(name, value);
        }
        // SAFETY: one system call on a descriptor that is the child's own copy.
        unsafe {
            command.pre_exec(move || {
                let fd = std::os::fd::BorrowedFd::borrow_raw(raw);
                Ok(fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)?)
            })
        };
        command.output().expect("the helper can be started")
    }

    /// Asks for a TAP as QEMU does. What it said where there is none.
    pub fn tap(&self, ns: &Namespace, user: u32, words: &[&str]) -> Result<OwnedFd, String> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .expect("a socket pair");
        let output = self.call_with(ns, user, words, &theirs);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => Ok(received(&ours)),
            Some(code @ (1 | 2)) => Err(format!("{code}: {said}")),
            _ => panic!("{}: {said}", output.status),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What QEMU's side of the pair receives: one byte, and one descriptor.
#[track_caller]
fn received(socket: &OwnedFd) -> OwnedFd {
    setsockopt(socket, sockopt::ReceiveTimeout, &nix::sys::time::TimeVal::new(1, 0)).expect("SO_RCVTIMEO");
    let (mut bytes, mut space) = ([0; 8], nix::cmsg_space!([i32; 4]));
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).expect("a message");
    assert_eq!(message.bytes, 1, "exactly one byte comes along");
    let fds: Vec<_> = message
        .cmsgs()
        .expect("control messages")
        .flat_map(|message| match message {
            ControlMessageOwned::ScmRights(fds) => fds,
            other => panic!("{other:?}"),
        })
        .collect();
    let [fd] = fds[..] else { panic!("{fds:?} came instead of one descriptor") };
    // SAFETY: it was just received and nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// `setcap cap_net_admin,cap_dac_override+ep`: `struct vfs_cap_data` of version 2, little-endian.
#[track_caller]
fn set_capabilities(path: &Path) {
    const REVISION_2_EFFECTIVE: u32 = 0x0200_0001;
    let permitted: u32 = 1 << 12 | 1 << 1;
    let words = [REVISION_2_EFFECTIVE, permitted, 0, 0, 0];
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let path = CString::new(path.as_os_str().as_bytes()).expect("no zero in a path");
    // SAFETY: the strings end with zeroes and the data has the length that is told.
    let result = unsafe {
        libc::setxattr(path.as_ptr(), c"security.capability".as_ptr(), data.as_ptr().cast(), data.len(), 0)
    };
    assert_eq!(result, 0, "setcap: {}", std::io::Error::last_os_error());
}
