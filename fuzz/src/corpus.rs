//! The inputs that mutations start from: read from `corpus/`, and made from the test vectors, from
//! directories that the library writes, and by hand where it writes nothing of the kind yet.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::directory;
use crate::random::Random;

/// Longest file that is kept: small ones mutate faster and find as much.
const LONGEST: usize = 8 << 10;
/// Most files of a target.
const MOST: usize = 20;

/// All files of a folder, in the order of their names; none if it is not there.
pub fn read(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().flat_map(fs::read).collect()
}

/// Makes the corpus.
pub fn write(root: &Path) {
    let vectors = read_vectors();
    let batches: Vec<_> = vectors.iter().map(|(_, bytes)| bytes.clone()).collect();
    put(root, "batch", batches);
    let plain = |name: &str| !["gzip", "snappy", "lz4", "zstd", "transactional"].contains(&name);
    let sections = vectors
        .iter()
        .filter(|(name, _)| plain(name))
        .map(|(_, bytes)| records_section(bytes));
    put(root, "record", sections.collect());
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let of_codec = vectors.iter().filter(|(name, _)| name == codec);
        put(
            root,
            codec,
            of_codec.map(|(_, bytes)| records_section(bytes)).collect(),
        );
    }
    put(root, "varint", varints());
    put(root, "control", control_records());
    put(root, "txn-index", vec![txn_index(1), txn_index(3)]);

    let files = directory::files();
    for (target, is_of) in FILES {
        let of_target = files.iter().filter(|(path, _)| is_of(path));
        put(
            root,
            target,
            of_target.map(|(_, bytes)| bytes.clone()).collect(),
        );
    }
    let (keys, values): (Vec<_>, Vec<_>) = directory::offsets_records().into_iter().unzip();
    put(root, "offsets-key", [keys, vec![group_key()]].concat());
    put(
        root,
        "offsets-value",
        [values, vec![group_value()]].concat(),
    );

    let mut random = Random::new(5);
    let mut noise = |count: usize, length: usize| -> Vec<Vec<u8>> {
        (0..count)
            .map(|_| {
                (0..length)
                    .map(|_| random.number().to_le_bytes()[3])
                    .collect()
            })
            .collect()
    };
    put(root, "operations", noise(MOST, 240));
    put(root, "directory", noise(MOST, 16));
}

type IsOf = fn(&str) -> bool;

/// Which files of a data directory are of which target.
const FILES: [(&str, IsOf); 11] = [
    ("offset-index", |path| path.ends_with(".index")),
    ("time-index", |path| path.ends_with(".timeindex")),
    ("producer-snapshot", |path| path.ends_with(".snapshot")),
    ("offset-checkpoint", |path| {
        path.ends_with("-offset-checkpoint")
    }),
    ("epoch-checkpoint", |path| {
        path.ends_with("leader-epoch-checkpoint")
    }),
    ("partition-metadata", |path| {
        path.ends_with("partition.metadata")
    }),
    ("meta-properties", |path| path.ends_with("meta.properties")),
    ("manifest", |path| path.ends_with("topics.manifest")),
    ("durable-end", |path| path.ends_with("durable-ends")),
    ("seal", |path| path.ends_with(".seal")),
    ("waypoint", |path| path.ends_with(".waypoint")),
];

fn put(root: &Path, target: &str, inputs: Vec<Vec<u8>>) {
    let folder = root.join(target);
    fs::create_dir_all(&folder).expect("the folder can be made");
    let mut seen = BTreeSet::new();
    for input in inputs {
        let input = input[..input.len().min(LONGEST)].to_vec();
        if seen.len() < MOST && !input.is_empty() && seen.insert(input.clone()) {
            let path = folder.join(format!("{:02}", seen.len()));
            fs::write(path, input).expect("the corpus can be written");
        }
    }
    println!("{target}: {} inputs", seen.len());
}

/// Batches that other clients made, by name.
fn read_vectors() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/record-batches");
    let mut vectors: Vec<_> = fs::read_dir(folder)
        .expect("the vectors are in the repository")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .map(|path| {
            let name = path
                .file_stem()
                .expect("it has one")
                .to_string_lossy()
                .into_owned();
            (name, fs::read(path).expect("it can be read"))
        })
        .collect();
    vectors.sort();
    vectors
}

/// What follows the header of the first batch.
fn records_section(batches: &[u8]) -> Vec<u8> {
    const HEADER: usize = 61;
    let length = batches[8..12]
        .iter()
        .fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    batches[HEADER..12 + length].to_vec()
}

fn varints() -> Vec<Vec<u8>> {
    vec![
        vec![0],
        vec![1],
        vec![0x7f],
        vec![0x80, 1],
        vec![0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        vec![0x80; 12],
    ]
}

/// Length of the key, key (version, type), value (version, coordinator epoch).
fn control_records() -> Vec<Vec<u8>> {
    (0..3)
        .map(|kind| vec![4, 0, 0, 0, kind, 0, 0, 0, 0, 0, 9])
        .collect()
}

/// Entries of version, producer id, first and last offset, last stable offset.
fn txn_index(entries: u64) -> Vec<u8> {
    let entry = |number: u64| {
        let numbers = [4_711, number * 100, number * 100 + 7, number * 100];
        let mut bytes = vec![0, 0];
        bytes.extend(numbers.into_iter().flat_map(u64::to_be_bytes));
        bytes
    };
    (0..entries).flat_map(entry).collect()
}

/// Version 2, and the group's name.
fn group_key() -> Vec<u8> {
    [&[0, 2, 0, 5][..], b"group"].concat()
}

/// Version 3 of a group's metadata: no protocol, no members.
fn group_value() -> Vec<u8> {
    let mut bytes = vec![0, 3, 0, 8];
    bytes.extend(b"consumer");
    // Generation; protocol and leader null; state timestamp; no members.
    bytes.extend([0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
    bytes.extend(1_700_000_000_000_u64.to_be_bytes());
    bytes.extend([0, 0, 0, 0]);
    bytes
}
