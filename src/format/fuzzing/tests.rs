//! The fuzz targets on known batches, whole and damaged, so that their promises hold in every test
//! run and not only under a fuzzer.

use super::*;
use crate::format::random::{Random, small_batch};
use crate::format::vectors;

const TARGETS: [fn(&[u8]); 8] = [
    batch,
    record,
    varint,
    control,
    decompress_gzip,
    decompress_snappy,
    decompress_lz4,
    decompress_zstd,
];

/// The vectors that are small enough to damage often, and what our own writer makes.
fn small_inputs() -> Vec<Vec<u8>> {
    let vectors = vectors::files().into_iter().map(|(_, bytes)| bytes);
    let mut inputs: Vec<_> = vectors.filter(|bytes| bytes.len() < 1_500).collect();
    inputs.push(small_batch(&mut BatchBuilder::new(0, Compression::None)));
    inputs
}

#[test]
fn known_batches_keep_every_promise() {
    for (_, bytes) in vectors::files() {
        for target in TARGETS {
            target(&bytes);
            target(bytes.get(HEADER_LEN..).unwrap_or_default());
        }
    }
}

#[test]
fn damaged_batches_keep_every_promise() {
    let inputs = small_inputs();
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let mut bytes = inputs[random.below(inputs.len())].clone();
        for _ in 0..=random.below(6) {
            random.damage(&mut bytes);
        }
        println!("seed {seed}"); // Shown if an assertion below fails.
        batch(&bytes);
        let records = bytes.get(HEADER_LEN..).unwrap_or_default();
        record(records);
        for target in TARGETS {
            target(&records[..records.len().min(200)]);
        }
    }
}
