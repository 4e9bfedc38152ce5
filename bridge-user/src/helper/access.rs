//! The access list: who may use which bridge. The lines are those of QEMU's `bridge.conf`, and `limit`:
//!
//! ```text
//! # a comment
//! allow xbr0
//! deny all
//! include /etc/xbr/alice.conf
//! limit 8
//! ```
//!
//! What is not allowed is denied, and a `deny` wins over every `allow`, wherever either stands. Of several limits the one read last
//! counts. A list that contains a line which cannot be understood allows nothing: it may have been a `deny`.

use std::path::{Path, PathBuf};

use crate::datapath::BridgeName;

/// The most TAPs that one user has at a time on one bridge, where the list says nothing.
pub const DEFAULT_LIMIT: u32 = 32;

/// More than a bridge has ports.
const LARGEST_LIMIT: u32 = 254;
/// How deep lists may include each other.
const DEEPEST: usize = 8;
/// How many lists are read, so that lists which include each other many times end soon.
const MOST_FILES: usize = 64;

/// What the list says of one bridge and the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    allowed: bool,
    denied: bool,
    limit: u32,
    files: usize,
}

/// Why a list cannot be used. `E` is why a file cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    /// The first list is not for the caller's eyes.
    #[error("cannot read {}: Permission denied", .0.display())]
    Unreadable(PathBuf),
    /// A file that is not there, or that others can write.
    #[error("{0}")]
    File(E),
    /// Not text.
    #[error("{} is no text in UTF-8", .0.display())]
    NoText(PathBuf),
    /// A line that is none.
    #[error("line {number} of {}: {why}", file.display())]
    Line {
        /// Where.
        file: PathBuf,
        /// From 1.
        number: usize,
        /// What is wrong with it.
        why: BadLine,
    },
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Another word at its begin.
    #[error("{0:?} is none of allow, deny, include and limit")]
    Word(String),
    /// Nothing behind it.
    #[error("{0} of what?")]
    Bare(&'static str),
    /// Neither `all` nor a name.
    #[error("{0:?} is neither all nor the name of a bridge")]
    Bridge(String),
    /// Not from 0 to 254.
    #[error("a limit is a number from 0 to {LARGEST_LIMIT}, and not {0:?}")]
    Limit(String),
    /// It would depend on where the caller stands.
    #[error("include wants a path that begins with /, and not {0:?}")]
    Relative(String),
    /// Probably a list that includes itself.
    #[error("lists include each other deeper than {DEEPEST} times")]
    TooDeep,
    /// Probably lists that include each other.
    #[error("more than {MOST_FILES} lists are included")]
    TooMany,
}

/// A line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line<'a> {
    Allow(Whom),
    Deny(Whom),
    Include(&'a Path),
    Limit(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    All,
    Bridge(BridgeName),
}

/// How a list's content is had: `None` where the caller may not read it.
pub type Open<'a, E> = &'a dyn Fn(&Path) -> Result<Option<Vec<u8>>, E>;

impl Access {
    /// Reads the list at `path` and what it includes. An included list that the caller may not read is passed over: that is how
    /// something is allowed to some users only.
    pub fn read<E>(bridge: &BridgeName, path: &Path, open: Open<'_, E>) -> Result<Self, Error<E>> {
        let mut access = Self { allowed: false, denied: false, limit: DEFAULT_LIMIT, files: 0 };
        if access.take(bridge, path, open, 0)? { Ok(access) } else { Err(Error::Unreadable(path.into())) }
    }

    /// Whether the bridge may be used.
    pub fn is_allowed(&self) -> bool {
        self.allowed && !self.denied
    }

    /// The most TAPs that the caller may have at a time.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes one file's lines in; false if it may not be read.
    fn take<E>(
        &mut self,
        bridge: &BridgeName,
        path: &Path,
        open: Open<'_, E>,
        depth: usize,
    ) -> Result<bool, Error<E>> {
        self.files += 1;
        let Some(bytes) = open(path).map_err(Error::File)? else { return Ok(false) };
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::NoText(path.into()))?;
        for (line, number) in text.lines().zip(1..) {
            let bad = |why| Error::Line { file: path.into(), number, why };
            let means = |whom: &Whom| matches!(whom, Whom::All) || *whom == Whom::Bridge(bridge.clone());
            match parse(line).map_err(bad)? {
                None => {}
                Some(Line::Allow(whom)) => self.allowed |= means(&whom),
                Some(Line::Deny(whom)) => self.denied |= means(&whom),
                Some(Line::Limit(limit)) => self.limit = limit,
                Some(Line::Include(_)) if depth == DEEPEST => return Err(bad(BadLine::TooDeep)),
                Some(Line::Include(_)) if self.files > MOST_FILES => return Err(bad(BadLine::TooMany)),
                Some(Line::Include(other)) => {
                    self.take(bridge, other, open, depth + 1)?;
                }
            }
        }
        Ok(true)
    }
}

/// One line; `None` where it says nothing.
fn parse(line: &str) -> Result<Option<Line<'_>>, BadLine> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim_start();
    let of = |word| if rest.is_empty() { Err(BadLine::Bare(word)) } else { Ok(rest) };
    Ok(Some(match word {
        "allow" => Line::Allow(whom(of("allow")?)?),
        "deny" => Line::Deny(whom(of("deny")?)?),
        "include" => match Path::new(of("include")?) {
            path if path.is_absolute() => Line::Include(path),
            _ => return Err(BadLine::Relative(rest.into())),
        },
        "limit" => Line::Limit(limit(of("limit")?)?),
        other => return Err(BadLine::Word(other.into())),
    }))
}

fn whom(text: &str) -> Result<Whom, BadLine> {
    match text {
        "all" => Ok(Whom::All),
        name => name.parse().map(Whom::Bridge).map_err(|_| BadLine::Bridge(name.into())),
    }
}

fn limit(text: &str) -> Result<u32, BadLine> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number <= LARGEST_LIMIT);
    number.ok_or_else(|| BadLine::Limit(text.into()))
}
