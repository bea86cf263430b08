//! Lower bounds: no format, no index, no checksum. One `pwrite` a call, and stores into a mapped file.

use std::cell::UnsafeCell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapMut, MmapOptions};

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, Follow, InFlight, Log, Outcome, Place, Replay, Survives, Tail, Wait,
};

/// One `pwrite` a call, into a growing file; where it is to be durable, into blocks of zeros that are on disk, and
/// `fdatasync`, which then has no new length to write down.
pub struct RawWrite {
    file: File,
    end: Mutex<u64>,
    durable: bool,
}

/// More than a thread can write and sync one by one in a measurement.
const ZEROED: usize = 64 << 20;

impl Log for RawWrite {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = WriteWriter<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let path = place.dir.join("raw");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        if place.durable() {
            file.write_all_at(&vec![0; ZEROED], 0)?;
            file.sync_data()?;
        }
        Ok(Self {
            file,
            end: Mutex::new(0),
            durable: place.durable(),
        })
    }

    fn writer(&self) -> Outcome<WriteWriter<'_>> {
        Ok(WriteWriter {
            log: self,
            buffer: Vec::new(),
            in_flight: InFlight::default(),
        })
    }
}

impl RawWrite {
    fn write(&self, bytes: &[u8]) -> Outcome {
        let mut end = self.end.lock().map_err(|_| "poisoned")?;
        self.file.write_all_at(bytes, *end)?;
        *end += bytes.len() as u64;
        Ok(())
    }

    fn sync_if_durable(&self) -> Outcome {
        if self.durable {
            Ok(self.file.sync_data()?)
        } else {
            Ok(())
        }
    }
}

pub struct WriteWriter<'a> {
    log: &'a RawWrite,
    buffer: Vec<u8>,
    in_flight: InFlight,
}

impl AppendOne for WriteWriter<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.log.write(event.value)?;
        self.log.sync_if_durable()
    }
}

impl AppendBatch for WriteWriter<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        self.buffer.clear();
        for event in events {
            self.buffer.extend_from_slice(event.value);
        }
        self.log.write(&self.buffer)?;
        self.log.sync_if_durable()
    }
}

impl AppendPipelined for WriteWriter<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        self.buffer.extend_from_slice(event.value);
        if self.in_flight.is_full_after_one() {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Outcome {
        self.in_flight.clear();
        self.log.write(&self.buffer)?;
        self.buffer.clear();
        Ok(self.log.file.sync_data()?)
    }
}

/// Stores into a file that is allocated, mapped and populated beforehand: a length, then the value.
pub struct RawMap {
    map: UnsafeCell<MmapMut>,
    /// What readers may see. Stored (Release) after the bytes below it.
    end: AtomicU64,
}

// SAFETY: bytes below `end` are never written again, bytes at and above it are never read; one thread writes.
unsafe impl Sync for RawMap {}

/// More than one measurement writes.
const MAPPED: u64 = 640 << 20;

const LENGTH: usize = 4;

impl Log for RawMap {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = MapWriter<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let path = place.dir.join("raw");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        allocate(&file)?;
        // SAFETY: the file is this run's own, and nobody shortens it.
        let map = unsafe { MmapOptions::new().map_mut(&file)? };
        // A bound: what fresh pages cost belongs to those who use them.
        map.advise(Advice::PopulateWrite)?;
        Ok(Self {
            map: UnsafeCell::new(map),
            end: AtomicU64::new(0),
        })
    }

    fn writer(&self) -> Outcome<MapWriter<'_>> {
        Ok(MapWriter(self))
    }
}

fn allocate(file: &File) -> Outcome {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open; the call touches no memory of ours.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, MAPPED as i64) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

impl RawMap {
    /// By the one thread that writes.
    fn store(&self, values: &[Event]) -> Outcome {
        let mut at = self.end.load(Ordering::Relaxed) as usize;
        // SAFETY: see `Sync`; a raw pointer, since readers look at the bytes below `at` meanwhile.
        let start = unsafe { (*self.map.get()).as_mut_ptr() };
        for Event { value, .. } in values {
            let after = at + LENGTH + value.len();
            if after as u64 > MAPPED {
                return Err("the mapped file is full".into());
            }
            // SAFETY: `at..after` lies inside the map (checked above) and above `end`, so nobody reads it.
            unsafe {
                start
                    .add(at)
                    .cast::<[u8; LENGTH]>()
                    .write((value.len() as u32).to_le_bytes());
                start
                    .add(at + LENGTH)
                    .copy_from_nonoverlapping(value.as_ptr(), value.len());
            }
            at = after;
        }
        self.end.store(at as u64, Ordering::Release);
        Ok(())
    }

    /// Values from `at` to the end; how many, and where they end.
    fn read(&self, mut at: usize, visit: &mut impl FnMut(&[u8])) -> (usize, usize) {
        let end = self.end.load(Ordering::Acquire) as usize;
        // SAFETY: bytes below `end` do not change any more.
        let bytes = unsafe { std::slice::from_raw_parts((*self.map.get()).as_ptr(), end) };
        let mut count = 0;
        while at < end {
            let length = u32::from_le_bytes(bytes[at..at + LENGTH].try_into().expect("it is four bytes"));
            visit(&bytes[at + LENGTH..][..length as usize]);
            at += LENGTH + length as usize;
            count += 1;
        }
        (count, at)
    }
}

pub struct MapWriter<'a>(&'a RawMap);

impl AppendOne for MapWriter<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.0.store(&[event])
    }
}

impl AppendBatch for MapWriter<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        self.0.store(events)
    }
}

impl Replay for RawMap {
    const CHECKS: &'static str = "nobody";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        Ok(self.read(0, &mut visit).0 as u64)
    }
}

impl Tail for RawMap {
    type Tailer<'a> = MapTailer<'a>;

    fn tailer(&self, _: Wait) -> Outcome<MapTailer<'_>> {
        Ok(MapTailer { log: self, at: 0 })
    }

    fn append_shared(&self, event: Event) -> Outcome {
        self.store(&[event])
    }
}

pub struct MapTailer<'a> {
    log: &'a RawMap,
    at: usize,
}

impl Follow for MapTailer<'_> {
    fn next(&mut self, mut visit: impl FnMut(&[u8])) -> Outcome<usize> {
        let (count, at) = self.log.read(self.at, &mut visit);
        self.at = at;
        Ok(count)
    }
}
