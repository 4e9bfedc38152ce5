//! What the fuzzer began with, and every crash that it found, replayed.

use std::{fs, path::Path, vec::Vec};

use super::{neigh_witness, witness};
use crate::model::laws;

fn replay(target: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} holds next to nothing", folder.display());
    for file in files {
        // Seen only when the body panics.
        std::eprintln!("{}", file.display());
        body(&fs::read(&file).unwrap());
    }
}

#[test]
fn sequences_of_the_corpus_keep_the_laws() {
    replay("sequence", |bytes| {
        laws::sequence(bytes);
    });
}

#[test]
fn frames_of_the_corpus_are_read_lawfully() {
    replay("guard", laws::reading);
}

#[test]
fn frames_of_the_corpus_speak_for_themselves_or_are_refused() {
    replay("inspect", witness::looking);
}

#[test]
fn frames_of_the_corpus_speak_of_the_neighbours_that_they_name() {
    replay("neigh", neigh_witness::neighbours);
}
