//! Numbers with units: frames, bits, bytes. Frames and bits count in thousands and bytes in 1024, as in tc(8).

use crate::settings::InvalidValue;

/// A segment of 64 KiB, and the headers of the frames that it becomes.
pub const LEAST_BURST: u64 = 72 * 1024;
const MOST_BURST: u64 = 1 << 30;

/// The number, times what its unit says; `None` if it is none, or too large.
fn number(text: &str, units: &[(&str, u64)]) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let (_, factor) = units.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(&text[digits.len()..]))?;
    digits.parse::<f64>().ok().filter(|_| plain).map(|number| number * *factor as f64)
}

/// Frames a second, or 0 for `off`.
pub fn frames(text: &str) -> Result<u64, InvalidValue> {
    let units = [("pps", 1), ("kpps", 1_000), ("mpps", 1_000_000), ("", 1)];
    match number(text, &units) {
        _ if text == "off" => Ok(0),
        Some(frames) if (1.0..=1e9).contains(&frames) => Ok(frames as u64),
        _ => Err(InvalidValue::new(format!(
            "{text:?} is no number of frames a second: write it as in 1000pps or 10kpps, or off"
        ))),
    }
}

/// Bits a second.
pub fn bits(text: &str) -> Result<u64, InvalidValue> {
    let units = [
        ("bit", 1),
        ("kbit", 1_000),
        ("mbit", 1_000_000),
        ("gbit", 1_000_000_000),
        ("tbit", 1_000_000_000_000),
    ];
    match number(text, &units) {
        Some(bits) if (8e3..=1e12).contains(&bits) => Ok(bits as u64),
        _ => Err(InvalidValue::new(format!(
            "{text:?} is no rate: write it as in 500mbit, from 8kbit to 1tbit, or off"
        ))),
    }
}

/// Bytes at once.
pub fn burst(text: &str) -> Result<u64, InvalidValue> {
    let units = [("", 1), ("b", 1), ("k", 1 << 10), ("kb", 1 << 10), ("m", 1 << 20), ("mb", 1 << 20)];
    match number(text, &units).map(|bytes| bytes as u64) {
        Some(bytes @ LEAST_BURST..=MOST_BURST) => Ok(bytes),
        Some(bytes @ 0..LEAST_BURST) => Err(InvalidValue::new(format!(
            "a burst of {bytes} bytes never lets a segment of 64 KiB through: write {LEAST_BURST} or more"
        ))),
        _ => Err(InvalidValue::new(format!("{text:?} is no burst: write bytes as in 256k, at most 1024m"))),
    }
}

/// Bits a second with the largest unit that leaves no fraction.
pub fn bits_text(bits: u64) -> String {
    let units = [(1_000_000_000_000, "tbit"), (1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
    let fits = units.into_iter().find(|(factor, _)| bits >= *factor && bits.is_multiple_of(*factor));
    fits.map_or(format!("{bits}bit"), |(factor, unit)| format!("{}{unit}", bits / factor))
}
