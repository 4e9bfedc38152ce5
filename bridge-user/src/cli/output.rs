//! Standard output. A reader that goes away is an error like another, never a panic as with `println!`.

use std::io::{self, BufWriter, StdoutLock, Write as _};

use serde::Serialize;

use crate::{Error, Result};

/// Prints text as it is.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io("write to standard output"))
}

/// Prints what may be much, as it is made.
pub fn stream(write: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> io::Result<()>) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).map_err(Error::io("write to standard output"))
}

/// A value as one line of JSON.
pub fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value).map_err(io::Error::from).map_err(Error::io("write JSON"))?;
    Ok(text + "\n")
}
