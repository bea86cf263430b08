//! The ways to write a batch, bare: what decided that small batches are staged (`docs/design.md`).
//!
//! ```text
//! cargo bench --bench write_paths            warm memory: pages that were freed a moment ago
//! cargo bench --bench write_paths -- --cold  after idle seconds, when a virtual machine has given free memory back
//! ```
//! Each way frames batches as the log does (a header, a CRC-32C), and writes 256 MiB of them to a new file,
//! in interleaved rounds. Medians, in nanoseconds per record. None is synced: they survive the process.
#![allow(
    unsafe_code,
    reason = "stores into a map, as a bound for what a log could do"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use memmap2::{Advice, MmapMut, MmapOptions};

#[path = "support/events.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with benches that use more of it"
)]
mod events;

const FILE: usize = 256 << 20;
const PART: usize = 64 << 10;
/// How far ahead of the writer pages are populated.
const AHEAD: usize = 16 << 20;

type Write = fn(&Path, &mut Batches) -> io::Result<u64>;

const WAYS: [(&str, Write); 4] = [
    ("one pwrite a batch", pwrite),
    ("stores into the mapped segment", mapped),
    ("the same, populated ahead by another thread", mapped_ahead),
    ("staged, one pwrite per 64 KiB", staged),
];

/// Value bytes, and records a batch.
const SHAPES: [(usize, usize); 4] = [(100, 1), (100, 100), (1024, 1), (1024, 16)];

fn main() -> io::Result<()> {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let (rounds, cold) = if has("--test") {
        (1, false)
    } else {
        (3, has("--cold"))
    };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = dir.path().join("segment");
    for (bytes, records) in SHAPES {
        let mut batches = Batches::new(bytes, records);
        let mut taken = WAYS.map(|_| Vec::new());
        for _ in 0..rounds {
            for ((_, write), taken) in WAYS.iter().zip(&mut taken) {
                if cold {
                    std::thread::sleep(Duration::from_secs(6));
                }
                let start = Instant::now();
                let written = write(&path, &mut batches)?;
                taken.push(start.elapsed().as_nanos() / u128::from(written));
                std::fs::remove_file(&path)?;
            }
        }
        println!("{records} x {bytes} B");
        for ((way, _), mut taken) in WAYS.iter().zip(taken) {
            taken.sort_unstable();
            let median = taken[taken.len() / 2];
            println!(
                "  {median:>6} ns  {way}  ({} to {})",
                taken[0],
                taken[taken.len() - 1]
            );
        }
    }
    Ok(())
}

/// Framed batches, one after the other.
struct Batches {
    values: Vec<Vec<u8>>,
    records: usize,
    next: usize,
    batch: Vec<u8>,
}

impl Batches {
    fn new(bytes: usize, records: usize) -> Self {
        Self {
            values: events::events(bytes),
            records,
            next: 0,
            batch: Vec::new(),
        }
    }

    fn next(&mut self) -> &[u8] {
        const HEADER: usize = 61;
        self.batch.clear();
        self.batch.resize(HEADER, 0);
        for _ in 0..self.records {
            self.batch.extend_from_slice(&[0; 7]);
            self.batch.extend_from_slice(&self.values[self.next]);
            self.next = (self.next + 1) % self.values.len();
        }
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &self.batch[21..]);
        self.batch[17..21].copy_from_slice(&crc.to_be_bytes()[4..]);
        &self.batch
    }

    /// Calls `write` with position and bytes until the file is full; returns the number of records.
    fn write_all(
        &mut self,
        mut write: impl FnMut(usize, &[u8]) -> io::Result<()>,
    ) -> io::Result<u64> {
        let (mut position, mut records) = (0, 0);
        loop {
            let batch = self.next();
            if position + batch.len() > FILE {
                return Ok(records);
            }
            write(position, batch)?;
            position += batch.len();
            records += self.records as u64;
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    options.open(path)
}

fn pwrite(path: &Path, batches: &mut Batches) -> io::Result<u64> {
    let file = create(path)?;
    batches.write_all(|position, batch| file.write_all_at(batch, position as u64))
}

/// The file's blocks are allocated as they are stored into: reserving them before is not counted.
fn map(path: &Path, len: usize) -> io::Result<MmapMut> {
    let file = create(path)?;
    file.set_len(len as u64)?;
    // SAFETY: the file is in a directory of this process alone.
    unsafe { MmapOptions::new().len(len).map_mut(&file) }
}

fn mapped(path: &Path, batches: &mut Batches) -> io::Result<u64> {
    let mut map = map(path, FILE)?;
    batches.write_all(|position, batch| {
        map[position..position + batch.len()].copy_from_slice(batch);
        Ok(())
    })
}

fn mapped_ahead(path: &Path, batches: &mut Batches) -> io::Result<u64> {
    const STEP: usize = 1 << 20;
    let mut stored = map(path, FILE)?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // SAFETY: as above; this map is only there to have its pages populated.
    let populated = unsafe { MmapOptions::new().len(FILE).map_mut(&file)? };
    let reached = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for start in (0..FILE).step_by(STEP) {
                while reached.load(Ordering::Relaxed).saturating_add(AHEAD) < start {
                    std::thread::sleep(Duration::from_micros(100));
                }
                // A kernel that cannot populate leaves it to the stores.
                let _ = populated.advise_range(Advice::PopulateWrite, start, STEP);
            }
        });
        let written = batches.write_all(|position, batch| {
            stored[position..position + batch.len()].copy_from_slice(batch);
            reached.store(position, Ordering::Relaxed);
            Ok(())
        });
        reached.store(usize::MAX, Ordering::Relaxed);
        written
    })
}

fn staged(path: &Path, batches: &mut Batches) -> io::Result<u64> {
    let file = create(path)?;
    let stage_path = path.with_extension("stage");
    let mut stage = map(&stage_path, PART)?;
    let mut filled = 0;
    let written = batches.write_all(|position, batch| {
        if filled + batch.len() > PART {
            file.write_all_at(&stage[..filled], (position - filled) as u64)?;
            filled = 0;
        }
        stage[filled..filled + batch.len()].copy_from_slice(batch);
        filled += batch.len();
        Ok(())
    });
    std::fs::remove_file(stage_path)?;
    written
}
