//! Every file of the corpus through its target, and the same files bent a little. What fuzzing
//! finds is kept in `fuzz/corpus`, so that it stays mended.
#![cfg(test)]

use std::fs;
use std::path::Path;

use klatch_fuzz::TARGETS;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).expect("every target has a corpus");
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| (file.display().to_string(), fs::read(file).unwrap());
    files.iter().map(read).collect()
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(files.len() >= 5, "{name} has a corpus of {} files", files.len());
        for (file, data) in files {
            println!("{file}");
            target(&data);
        }
    }
}

#[test]
fn bent_files_of_the_corpus_keep_the_promises() {
    let mut random = SmallRng::seed_from_u64(1);
    for (name, target) in TARGETS {
        let files = corpus(name);
        for (file, data) in &files {
            for round in 0..200 {
                let mut data = data.clone();
                bend(&mut data, &files, &mut random);
                println!("{file}, round {round}: {data:x?}");
                target(&data);
            }
        }
    }
}

/// A few of: a bit turned, a byte set, a piece cut out or doubled, the end cut off, another file.
fn bend(data: &mut Vec<u8>, files: &[(String, Vec<u8>)], random: &mut SmallRng) {
    for _ in 0..random.random_range(1..4) {
        if data.is_empty() {
            data.push(random.random());
        }
        let at = random.random_range(0..data.len());
        let end = random.random_range(at..=data.len());
        match random.random_range(0..6) {
            0 => data[at] ^= 1 << random.random_range(0..8),
            1 => data[at] = random.random(),
            2 => drop(data.drain(at..end)),
            3 => {
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            4 => data.truncate(at),
            _ => data.extend_from_slice(&files[random.random_range(0..files.len())].1),
        }
    }
}
