//! Asking the controller from a verb.

use std::io;

use super::{output, which};
use crate::{
    Error, Refusal, Result,
    control::{ReadError, Reply, Request, client},
    datapath::BridgeName,
};

/// Runs one future on a small runtime of its own.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("start the runtime"))?.block_on(future)
}

/// Asks for a change and prints what the controller has to say about it.
pub fn change(bridge: &BridgeName, request: &Request) -> Result<()> {
    let reply = block_on(async { client::call(bridge, request).await.map_err(explain) })?;
    let notes = done(reply)?;
    output::print(&notes.iter().map(|note| format!("{note}\n")).collect::<String>())
}

/// The notes of a reply that says the request was carried out.
pub fn done(reply: Reply) -> Result<Vec<String>> {
    match reply {
        Reply::Done { notes } => Ok(notes),
        Reply::Refused { message, hint } => Err(Refusal { message, hint }.into()),
        Reply::Failed { message } => Err(Error::Controller(message)),
        Reply::Event(_) => Err(Error::Controller("the controller answered with an event".into())),
    }
}

/// Turns what is the user's to change into a refusal.
pub fn explain(error: client::Error) -> Error {
    match &error {
        client::Error::NoController { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            which::needs_root()
        }
        client::Error::Talk { bridge, source: ReadError::Version { .. } } => {
            let hint = format!(
                "use the xbr that runs bridge {bridge}, or start its controller anew with this one; it adopts \
                 the bridge without losing a frame"
            );
            Refusal::new(error.to_string(), hint).into()
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_exit_with_2_and_failures_with_1() {
        let refused = Reply::Refused { message: "no".into(), hint: None };
        assert_eq!(done(refused).unwrap_err().exit_code(), 2);
        assert_eq!(done(Reply::Failed { message: "no".into() }).unwrap_err().exit_code(), 1);
        let version =
            client::Error::Talk { bridge: "xbr0".parse().unwrap(), source: ReadError::Version { theirs: 7 } };
        assert_eq!(explain(version).exit_code(), 2);
    }
}
