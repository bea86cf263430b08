//! The file `durable-ends`: for each partition, a lower bound of what is on the device.
//!
//! A slot is rewritten after each sync of its partition, without a sync of its own: whichever value a
//! crash leaves was true when it was written, and bounds only rise. That tells recovery which bytes
//! may be torn and which must be there. Each partition has a pair of slots, written in turn, so that
//! a torn write leaves the other. Slots name their partition, so nothing depends on their place.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, OpenMode, read_full_at, write_all_at};
use crate::error::{Error, Result};
use crate::format::durable_end::{self, PAIR_LEN, SLOT_LEN, Slot, latest};
use crate::format::metadata::TopicId;
use crate::format::seal::FrameDigest;

/// The file's name, in the data directory.
pub(crate) const FILE_NAME: &str = "durable-ends";

/// The open file. Partitions hold a [`DurableEnd`] each.
#[derive(Debug)]
pub(crate) struct DurableEnds {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    /// What the file said when it was opened, until a partition claims it.
    found: HashMap<(TopicId, u32), Found>,
    /// Pairs that belong to nobody.
    free: Vec<usize>,
    /// Pairs in the file.
    count: usize,
}

/// A pair of slots in use.
#[derive(Debug)]
struct Found {
    pair: usize,
    /// The newer of the two, and which it is.
    slot: Slot,
    index: usize,
    claimed: bool,
}

impl DurableEnds {
    /// Opens the file, or makes it, and reads what it says.
    pub(crate) fn open(disk: &dyn Disk, root: &Path) -> Result<Self> {
        let path = root.join(FILE_NAME);
        let at = |action| {
            let path = path.clone();
            move |error| Error::io(action, &path, error)
        };
        let file = disk.open(&path, OpenMode::Create).map_err(at("open"))?;
        let len = usize::try_from(file.len().map_err(at("look at"))?).unwrap_or(usize::MAX);
        // The file has a pair for each partition that ever lived at once; a stray giant is cut here.
        let mut bytes = vec![0; len.min(LARGEST_FILE)];
        let count = read_full_at(&*file, &mut bytes, 0).map_err(at("read"))?;
        let mut places = Places {
            count: count.div_ceil(PAIR_LEN),
            ..Places::default()
        };
        for (pair, bytes) in bytes[..count].chunks(PAIR_LEN).enumerate() {
            match latest(bytes) {
                Some((slot, index)) => places.note(pair, slot, index),
                None => places.free.push(pair),
            }
        }
        Ok(Self {
            path,
            file,
            places: Mutex::new(places),
        })
    }

    /// What the file says about a partition.
    pub(crate) fn find(&self, topic: TopicId, partition: u32) -> Option<Slot> {
        self.places
            .lock()
            .found
            .get(&(topic, partition))
            .map(|found| found.slot)
    }

    /// Gives a partition its pair of slots, the one it had before if there is one.
    pub(crate) fn claim(self: &Arc<Self>, topic: TopicId, partition: u32) -> Result<DurableEnd> {
        let mut places = self.places.lock();
        let known = places.found.get_mut(&(topic, partition));
        let mut written = None;
        let (pair, generation, last_index) = if let Some(found) = known {
            found.claimed = true;
            written = Some((DurablePoint::of(&found.slot), found.slot.is_quiet()));
            (found.pair, found.slot.generation, found.index)
        } else {
            let pair = places.take_free();
            // Room is made here, so that a sync never fails for want of it.
            self.write(&[0; PAIR_LEN], pair, 0)?;
            (pair, 0, 1)
        };
        let turn = Mutex::new(Turn {
            generation,
            written,
            end_offset: 0,
            next_index: 1 - last_index,
            syncs: 0,
            in_doubt: false,
            retired: false,
        });
        Ok(DurableEnd {
            ends: Arc::clone(self),
            pair,
            topic,
            partition,
            turn,
        })
    }

    /// Forgets slots of partitions that are no more. Call once all that exist have claimed theirs.
    pub(crate) fn free_unclaimed(&self) {
        let mut places = self.places.lock();
        let found = std::mem::take(&mut places.found);
        let unclaimed = found.values().filter(|found| !found.claimed);
        let unclaimed: Vec<usize> = unclaimed.map(|found| found.pair).collect();
        places.free.extend(unclaimed);
    }

    /// Makes all slots durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file
            .sync()
            .map_err(|error| Error::io("sync", &self.path, error))
    }

    fn write(&self, bytes: &[u8], pair: usize, offset: usize) -> Result<()> {
        let position = (pair * PAIR_LEN + offset) as u64;
        write_all_at(&*self.file, bytes, position)
            .map_err(|error| Error::io("write", &self.path, error))
    }
}

/// 64 MiB: half a million partitions.
const LARGEST_FILE: usize = 64 << 20;

impl Places {
    /// Keeps the higher generation if two pairs name the same partition.
    fn note(&mut self, pair: usize, slot: Slot, index: usize) {
        let key = (slot.topic_id, slot.partition);
        let older = self
            .found
            .get(&key)
            .is_some_and(|known| known.slot.generation >= slot.generation);
        let freed = if older {
            Some(pair)
        } else {
            let found = Found {
                pair,
                slot,
                index,
                claimed: false,
            };
            self.found.insert(key, found).map(|former| former.pair)
        };
        self.free.extend(freed);
    }

    fn take_free(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }
}

/// One partition's pair of slots.
#[derive(Debug)]
pub(crate) struct DurableEnd {
    ends: Arc<DurableEnds>,
    pair: usize,
    topic: TopicId,
    partition: u32,
    turn: Mutex<Turn>,
}

#[derive(Debug)]
struct Turn {
    generation: u64,
    /// What the newer slot says, by whichever process, and whether it is quiet.
    written: Option<(DurablePoint, bool)>,
    /// The highest bound of this process.
    end_offset: u64,
    next_index: usize,
    /// Syncs of the log under way.
    syncs: u32,
    /// A sync failed: what is in the kernel's cache need not be on the device, ever.
    in_doubt: bool,
    /// The log is closed: the file may be another broker's by now.
    retired: bool,
}

/// A place in the log up to which everything is on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurablePoint {
    pub(crate) segment_base: u64,
    pub(crate) position: u64,
    pub(crate) end_offset: u64,
    /// Frame digest of the segment up to `position`.
    pub(crate) digest: u32,
    /// Given at an orderly close: the segment ends exactly here, and its stored index has this digest.
    pub(crate) clean: Option<u32>,
}

impl DurablePoint {
    /// The start of a segment, of which nothing is known.
    pub(crate) fn start_of(segment_base: u64) -> Self {
        Self {
            segment_base,
            position: 0,
            end_offset: segment_base,
            digest: FrameDigest::new().value(),
            clean: None,
        }
    }

    fn of(slot: &Slot) -> Self {
        Self {
            segment_base: slot.segment_base,
            position: slot.position.into(),
            end_offset: slot.end_offset,
            digest: slot.digest,
            clean: slot.is_clean().then_some(slot.index_digest),
        }
    }

    /// The bound of a slot, in a log that is in use.
    pub(super) fn unclosed(slot: &Slot) -> Self {
        Self {
            clean: None,
            ..Self::of(slot)
        }
    }
}

/// What comes after a sync, as far as one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another sync soon: somebody waits for each. The bound says nothing of syncs, and so the next
    /// one costs no note; what little an open after a kill finds behind it is written again.
    Sync,
    /// Appends, perhaps many: the bound says that no sync began since. Before the next one that is
    /// taken back.
    Appends,
}

impl DurableEnd {
    /// The topic whose partition it is of.
    pub(crate) fn topic(&self) -> TopicId {
        self.topic
    }

    /// Writes a bound that holds from now on. Not synced: see the module's description.
    pub(crate) fn advance(&self, point: DurablePoint, next: Next) -> Result<()> {
        let mut turn = self.turn.lock();
        // A sync that began before a roll may end after it, with less to say.
        if point.end_offset < turn.end_offset {
            return Ok(());
        }
        let quiet = next == Next::Appends && turn.syncs == 0 && !turn.in_doubt;
        // Opening again finds what is there already, and changes no byte.
        let is_there = matches!(turn.written, Some((known, known_quiet))
            if known == point && (known_quiet || !quiet));
        if !is_there {
            self.write(&mut turn, point, quiet)?;
        }
        turn.end_offset = point.end_offset;
        Ok(())
    }

    /// To be called before each sync of the log: if the process dies while it is under way, nobody
    /// knows how it ended. The bound must not say then that there was none.
    ///
    /// # Errors
    /// If that cannot be written down; then there must be no sync.
    pub(crate) fn begin_sync(&self) -> Result<SyncNote<'_>> {
        let mut turn = self.turn.lock();
        if let Some((point, true)) = turn.written {
            self.write(&mut turn, point, false)?;
        }
        turn.syncs += 1;
        Ok(SyncNote {
            of: self,
            succeeded: false,
        })
    }

    fn write(&self, turn: &mut Turn, point: DurablePoint, quiet: bool) -> Result<()> {
        if turn.retired {
            return Ok(());
        }
        let clean = point.clean.map_or(0, |_| Slot::CLEAN);
        let slot = Slot {
            generation: turn.generation + 1,
            topic_id: self.topic,
            partition: self.partition,
            segment_base: point.segment_base,
            // A segment that is longer cannot be written; a lower bound is one in any case.
            position: u32::try_from(point.position).unwrap_or(0),
            end_offset: point.end_offset,
            flags: clean | if quiet { Slot::QUIET } else { 0 },
            digest: point.digest,
            index_digest: point.clean.unwrap_or(0),
        };
        self.ends.write(
            &durable_end::encode(&slot),
            self.pair,
            turn.next_index * SLOT_LEN,
        )?;
        turn.generation += 1;
        turn.written = Some((point, quiet));
        turn.next_index = 1 - turn.next_index;
        Ok(())
    }

    /// Makes this and every other partition's bound durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.ends.sync()
    }

    /// Nothing is written here any more.
    pub(crate) fn retire(&self) {
        self.turn.lock().retired = true;
    }

    /// Gives the pair back when the partition is deleted.
    pub(crate) fn release(&self) -> Result<()> {
        // Held until the pair is given back: what comes later must not write to another's.
        let mut turn = self.turn.lock();
        turn.retired = true;
        self.ends.write(&[0; PAIR_LEN], self.pair, 0)?;
        self.ends.places.lock().free.push(self.pair);
        Ok(())
    }
}

/// A sync of the log that is under way. Dropped without [`succeeded`](Self::succeeded), it failed.
#[derive(Debug)]
#[must_use = "a note that is dropped says that the sync failed"]
pub(crate) struct SyncNote<'a> {
    of: &'a DurableEnd,
    succeeded: bool,
}

impl SyncNote<'_> {
    pub(crate) fn succeeded(mut self) {
        self.succeeded = true;
    }
}

impl Drop for SyncNote<'_> {
    fn drop(&mut self) {
        let mut turn = self.of.turn.lock();
        turn.syncs -= 1;
        turn.in_doubt |= !self.succeeded;
    }
}
