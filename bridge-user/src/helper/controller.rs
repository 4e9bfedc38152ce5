//! Asking the bridge's controller, without a runtime.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use super::{Error, Result};
use crate::{
    control::{
        Reply, Request, VERSION,
        protocol::{Envelope, Loan, MAX_MESSAGE},
        socket_path,
    },
    datapath::{BridgeName, PinDir},
};

/// A controller that carries out what others asked for, one after the other, may need a while.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the controller of a bridge.
pub struct Controller {
    bridge: BridgeName,
    stream: UnixStream,
}

impl Controller {
    /// Connects. The kernel tells the controller who did, so it must happen as the caller.
    pub fn connect(bridge: &BridgeName) -> Result<Self> {
        let (bridge, path) = (bridge.clone(), socket_path(bridge));
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Self { bridge, stream }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Error::NotPrivileged(path)),
            // A controller that was killed leaves its socket, one that ended does not, and either may have left its bridge.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_there(&bridge) => {
                Err(Error::NoBridge(bridge))
            }
            Err(source) => Err(Error::NoController { bridge, source }),
        }
    }

    /// Has the TAP attached.
    pub fn attach(mut self, loan: Loan) -> Result<()> {
        let answer = self.talk(&Request::Lend(loan));
        match answer.map_err(|source| Error::Talk { bridge: self.bridge, source })? {
            Reply::Done { .. } => Ok(()),
            Reply::Refused { message, hint } => Err(Error::Refused { message, hint }),
            Reply::Failed { message } => Err(Error::Failed(message)),
            Reply::Event(_) => Err(Error::Failed("the controller answered with an event".into())),
        }
    }

    fn talk(&mut self, request: &Request) -> io::Result<Reply> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.stream.set_write_timeout(Some(PATIENCE))?;
        let message = serde_json::to_vec(&Envelope { version: VERSION, body: request })?;
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        self.stream.write_all(&[&length.to_be_bytes(), &*message].concat())?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_MESSAGE {
            return Err(io::Error::other("its answer is too long"));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        understand(&answer)
    }
}

fn is_there(bridge: &BridgeName) -> bool {
    PinDir::of(bridge).is_ok_and(|pins| pins.exists())
}

/// The version first: the body of another one need not make sense to us.
fn understand(answer: &[u8]) -> io::Result<Reply> {
    let message: Envelope<serde_json::Value> = serde_json::from_slice(answer)?;
    if message.version != VERSION {
        let theirs = message.version;
        return Err(io::Error::other(format!(
            "it speaks version {theirs} of the control protocol, not {VERSION}"
        )));
    }
    Ok(serde_json::from_value(message.body)?)
}
