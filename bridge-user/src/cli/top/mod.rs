//! `xbr top`: the live table of ports, rates, drops and stations.
//!
//! On a terminal it fills the screen; elsewhere it prints the same table again and again.

mod draw;
mod rows;

use std::{
    io::{self, IsTerminal as _},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::rows::Rows;
use super::{Common, output, which};
use crate::{Error, Refusal, Result, link::Links, snapshot::Snapshot};

/// How to show it.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECS", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=3600))]
    delay: u32,
    /// End after so many looks; never if not given
    #[arg(short = 'n', long, value_name = "N")]
    looks: Option<u32>,
}

/// Shows it until told to stop.
pub fn run(common: &Common, args: &TopArgs) -> Result<()> {
    if common.json {
        let message = "top has no JSON";
        return Err(Refusal::new(message, "xbr stats -j -w has the same numbers").into());
    }
    let bridge = which::bridge(common.bridge.as_ref())?;
    let links = Links::open()?;
    let mut looks = Looks::new(|| Snapshot::read(bridge.name(), &bridge.tables, &links));
    let delay = Duration::from_secs(args.delay.into());
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        screen(&mut looks, delay, args.looks)
    } else {
        lines(&mut looks, delay, args.looks)
    }
}

/// Looks again and again, and compares each look with the one before.
struct Looks<Read> {
    read: Read,
    last: Option<(Instant, Snapshot)>,
}

impl<Read: FnMut() -> Result<Snapshot>> Looks<Read> {
    fn new(read: Read) -> Self {
        Self { read, last: None }
    }

    fn next(&mut self) -> Result<Rows> {
        let now = Instant::now();
        let snapshot = (self.read)()?;
        let before = self.last.as_ref().map(|(then, snapshot)| (now - *then, snapshot));
        let rows = Rows::new(before, &snapshot);
        self.last = Some((now, snapshot));
        Ok(rows)
    }
}

/// The table again and again.
fn lines<Read>(looks: &mut Looks<Read>, delay: Duration, count: Option<u32>) -> Result<()>
where
    Read: FnMut() -> Result<Snapshot>,
{
    let mut left = count;
    loop {
        output::print(&(looks.next()?.text() + "\n"))?;
        left = left.map(|left| left.saturating_sub(1));
        if left == Some(0) {
            return Ok(());
        }
        thread::sleep(delay);
    }
}

/// The table on the whole screen. The terminal is as it was afterwards, whatever happens.
fn screen<Read>(looks: &mut Looks<Read>, delay: Duration, count: Option<u32>) -> Result<()>
where
    Read: FnMut() -> Result<Snapshot>,
{
    let terminal = |error| Error::io("use the terminal")(error);
    let mut display = ratatui::try_init().map_err(terminal)?;
    let mut show = || {
        let (mut first, mut left) = (0, count);
        let mut rows = looks.next()?;
        let mut due = Instant::now() + delay;
        loop {
            display.draw(|frame| draw::draw(frame, &rows, first)).map_err(terminal)?;
            let wait = due.saturating_duration_since(Instant::now());
            if event::poll(wait).map_err(terminal)? {
                match key(&event::read().map_err(terminal)?) {
                    Key::Quit => return Ok(()),
                    Key::Move(by) => first = rows.scroll(first, by),
                    Key::None => {}
                }
            } else {
                left = left.map(|left| left.saturating_sub(1));
                if left == Some(0) {
                    return Ok(());
                }
                rows = looks.next()?;
                first = rows.scroll(first, 0);
                due = Instant::now() + delay;
            }
        }
    };
    let outcome = show();
    ratatui::restore();
    outcome
}

/// What a key means.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    Quit,
    /// So many lines down; up if negative.
    Move(isize),
    None,
}

fn key(event: &Event) -> Key {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) =
        event
    else {
        return Key::None;
    };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Down | KeyCode::Char('j') => Key::Move(1),
        KeyCode::Up | KeyCode::Char('k') => Key::Move(-1),
        KeyCode::PageDown | KeyCode::Char(' ') => Key::Move(10),
        KeyCode::PageUp => Key::Move(-10),
        _ => Key::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::sample;

    #[test]
    fn keys_mean_what_they_mean_elsewhere() {
        let press = |code, modifiers| key(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE), Key::Quit);
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Key::Quit);
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), Key::None);
        assert_eq!(press(KeyCode::Up, KeyModifiers::NONE), Key::Move(-1));
        assert_eq!(key(&Event::Resize(1, 1)), Key::None);
    }

    #[test]
    fn a_look_is_compared_with_the_one_before() {
        let mut count = 0;
        let mut looks = Looks::new(|| {
            count += 1;
            let mut snapshot = sample();
            snapshot.ports[2].counters.rx_packets += 1000 * count;
            Ok(snapshot)
        });
        assert!(looks.next().unwrap().text().contains('-'), "there are no rates yet");
        thread::sleep(Duration::from_millis(5));
        assert!(!looks.next().unwrap().ports[2].cells[4].starts_with('-'));
    }
}
