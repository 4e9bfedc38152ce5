//! Bulk TCP by turns, for guests.
//!
//! `xbr-lab-bulk serve PORT` takes it in, until it is killed. `xbr-lab-bulk FIRST SECOND LEAST MOST ERROR` compares the second address and
//! port to the first, in so many rounds, and prints what it found as JSON.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use xbr_lab::{Enough, bulk, serve_bulk};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xbr-lab-bulk: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["serve", port] => {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.parse()?))?;
            println!("listening");
            Ok(serve_bulk(&listener)?)
        }
        [first, second, least, most, error] => {
            let enough = Enough { least: least.parse()?, most: most.parse()?, error: error.parse()? };
            let connect = |to: &str| TcpStream::connect(to).with_context(|| to.to_owned());
            let found = bulk(&connect(first)?, &connect(second)?, enough)?;
            println!("{}", serde_json::to_string(&found)?);
            Ok(())
        }
        _ => bail!("write `serve PORT`, or FIRST SECOND LEAST MOST ERROR"),
    }
}
