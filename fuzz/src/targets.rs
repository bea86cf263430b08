//! What is fed, and with how much.

use streamlog::fuzzing;

use crate::{directory, operations};

/// Something that takes any bytes, and panics only if a promise breaks.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Longest input, in bytes.
    pub longest: usize,
    /// How many runs go between two looks at the clock.
    pub runs_a_look: u32,
}

const fn decoder(name: &'static str, run: fn(&[u8])) -> Target {
    Target {
        name,
        run,
        longest: 64 << 10,
        runs_a_look: 100,
    }
}

const fn stateful(name: &'static str, run: fn(&[u8])) -> Target {
    Target {
        name,
        run,
        longest: 400,
        runs_a_look: 1,
    }
}

pub const TARGETS: [Target; 24] = [
    decoder("batch", fuzzing::batch),
    decoder("record", fuzzing::record),
    decoder("varint", fuzzing::varint),
    decoder("control", fuzzing::control),
    decoder("gzip", fuzzing::decompress_gzip),
    decoder("snappy", fuzzing::decompress_snappy),
    decoder("lz4", fuzzing::decompress_lz4),
    decoder("zstd", fuzzing::decompress_zstd),
    decoder("offset-index", fuzzing::offset_index),
    decoder("time-index", fuzzing::time_index),
    decoder("txn-index", fuzzing::txn_index),
    decoder("producer-snapshot", fuzzing::producer_snapshot),
    decoder("offset-checkpoint", fuzzing::offset_checkpoint),
    decoder("epoch-checkpoint", fuzzing::epoch_checkpoint),
    decoder("partition-metadata", fuzzing::partition_metadata),
    decoder("meta-properties", fuzzing::meta_properties),
    decoder("manifest", fuzzing::manifest),
    decoder("durable-end", fuzzing::durable_end),
    decoder("seal", fuzzing::seal),
    decoder("waypoint", fuzzing::waypoint),
    decoder("offsets-key", fuzzing::offsets_key),
    decoder("offsets-value", fuzzing::offsets_value),
    stateful("directory", directory::directory),
    stateful("operations", operations::operations),
];
