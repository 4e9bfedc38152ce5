//! Where the packets of a capture go.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
};

use super::{super::output, CaptureArgs};
use crate::{
    Error, Refusal, Result,
    capture::{self, Packet, PcapNg},
    error::words,
};

type Out = BufWriter<Box<dyn Write>>;

/// A file of packets, or lines for people or programs.
pub struct Sink {
    form: Form,
    /// What the operator calls it.
    name: String,
}

enum Form {
    PcapNg(PcapNg<Out>),
    Lines(Out),
    Json(Out),
}

/// What can be refused before anything is asked for.
pub fn check(args: &CaptureArgs) -> Result<(), Refusal> {
    if args.write.as_deref() == Some("-") && io::stdout().is_terminal() {
        let hint =
            "pipe it, as in xbr capture vm1 -w - | tcpdump -r -, or leave -w away to read packets here";
        return Err(Refusal::new("standard output is a terminal, and pcapng is not for reading there", hint));
    }
    Ok(())
}

impl Sink {
    /// Makes the file, if it is to be one.
    pub fn open(args: &CaptureArgs, json: bool) -> Result<Self> {
        let stdout = || Out::new(Box::new(io::stdout()));
        let (name, out) = match args.write.as_deref() {
            None | Some("-") => ("standard output".into(), stdout()),
            Some(path) => (path.to_string(), Out::new(Box::new(create(path)?))),
        };
        let form = match args.write {
            Some(_) => {
                let begun = PcapNg::begin(out, &args.ports, args.snaplen);
                Form::PcapNg(begun.map_err(Error::io(format!("write to {name}")))?)
            }
            None if json => Form::Json(out),
            None => Form::Lines(out),
        };
        let mut sink = Self { form, name };
        // A reader of a pipe wants the head at once.
        sink.flush()?;
        Ok(sink)
    }

    /// Writes one packet.
    pub fn write(&mut self, packet: &Packet) -> Result<()> {
        let written = match &mut self.form {
            Form::PcapNg(file) => file.write(packet),
            Form::Lines(out) => out.write_all(capture::line(packet).as_bytes()),
            Form::Json(out) => out.write_all(output::json(&capture::json(packet))?.as_bytes()),
        };
        written.map_err(|source| self.failed(source))
    }

    /// Hands on what was written.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = match &mut self.form {
            Form::PcapNg(file) => file.flush(),
            Form::Lines(out) | Form::Json(out) => out.flush(),
        };
        flushed.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::io(format!("write to {}", self.name))(source)
    }
}

fn create(path: &str) -> Result<File, Refusal> {
    File::create(path).map_err(|error| {
        let hint = "name a file in a folder that exists and that you may write to, or - for standard output";
        Refusal::new(format!("cannot make {path}: {}", words(&error)), hint)
    })
}
