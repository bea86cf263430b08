//! Memory that grows while it is read: with its two users, all of the crate's `unsafe`.
//!
//! A [`Map`] shows the first bytes of a file (or of a simulated file's [`Region`]) while more are
//! written behind them. One rule makes that sound: **bytes that are shown are never written**.
//! [`AppendFile`](super::AppendFile) keeps it for files: it shows only what is below its published
//! end, and writes only at or above it. A [`Stage`](super::Stage) uses the same memory again, but only
//! a map that nobody else holds. [`Region`] moves to a fresh buffer when it is asked to overwrite bytes
//! that were shown.
#![allow(
    unsafe_code,
    reason = "borrowing mapped memory is what this module exists for"
)]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;

/// A view of a file's first bytes.
pub(crate) struct Map {
    memory: Memory,
}

enum Memory {
    File(MmapRaw),
    Region(Arc<Buffer>),
    Stored {
        buffer: Arc<Buffer>,
        file: Arc<dyn StoreTarget>,
    },
}

/// A simulated file that is stored into through a map: it sees each store, as a real one does.
pub(super) trait StoreTarget: Send + Sync {
    /// Copies bytes into the file's region, which has room for them.
    fn store(&self, position: usize, bytes: &[u8]);
}

impl Map {
    /// Maps the first `capacity` bytes of a file, which may be shorter for now.
    pub(super) fn of_file(file: &File, capacity: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().len(capacity).map_raw_read_only(file)?;
        Ok(Self {
            memory: Memory::File(raw),
        })
    }

    /// Maps the first `len` bytes of a file, all of which are there, for storing too.
    pub(super) fn of_file_for_storing(file: &File, len: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().len(len).map_raw(file)?;
        Ok(Self {
            memory: Memory::File(raw),
        })
    }

    /// The same for a simulated file, whose map this is.
    pub(super) fn for_storing(self, file: Arc<dyn StoreTarget>) -> Self {
        match self.memory {
            Memory::Region(buffer) => Self {
                memory: Memory::Stored { buffer, file },
            },
            memory => Self { memory },
        }
    }

    /// How many bytes can be looked at once they are written.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        match &self.memory {
            Memory::File(raw) => raw.len(),
            Memory::Region(buffer) | Memory::Stored { buffer, .. } => buffer.capacity(),
        }
    }

    /// Copies bytes into the file, where they survive this process.
    ///
    /// # Panics
    /// If they do not fit into the capacity.
    ///
    /// # Safety
    /// The map was made for storing; nobody has borrowed those bytes, and nobody else stores.
    #[inline]
    pub(super) unsafe fn store(&self, position: usize, bytes: &[u8]) {
        let end = position.checked_add(bytes.len());
        assert!(
            end.is_some_and(|end| end <= self.capacity()),
            "store outside of the map"
        );
        match &self.memory {
            // SAFETY: inside the mapping (asserted), which the caller promises to be writable and
            // not borrowed there.
            Memory::File(raw) => unsafe {
                std::ptr::copy_nonoverlapping(
                    bytes.as_ptr(),
                    raw.as_mut_ptr().add(position),
                    bytes.len(),
                );
            },
            Memory::Stored { file, .. } => file.store(position, bytes),
            Memory::Region(_) => unreachable!("a map that was not made for storing"),
        }
    }

    /// Nobody looks any more: all of it may be stored into again.
    pub(super) fn forget_shown(&mut self) {
        if let Memory::Stored { buffer, .. } = &self.memory {
            buffer.shown.store(0, Ordering::Relaxed);
        }
    }

    /// Borrows a part.
    ///
    /// # Panics
    /// If `range` is not inside the capacity.
    ///
    /// # Safety
    /// Every byte of `range` was written, the file has not been cut below its end, and nobody
    /// writes to it while the map lives.
    #[inline]
    pub(super) unsafe fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(
            range.start <= range.end && range.end <= self.capacity(),
            "range outside of the map"
        );
        let start = match &self.memory {
            Memory::File(raw) => raw.as_ptr(),
            Memory::Region(buffer) | Memory::Stored { buffer, .. } => {
                buffer.shown.fetch_max(range.end, Ordering::Relaxed);
                buffer.memory.as_ptr()
            }
        };
        // SAFETY: the range lies inside the mapping (asserted), which lives as long as `self`; the
        // caller promises that its bytes are written and stay as they are.
        unsafe { std::slice::from_raw_parts(start.add(range.start), range.len()) }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// The content of a simulated file: bytes in memory that can be mapped like a real file's.
#[derive(Debug, Default)]
pub(crate) struct Region {
    /// Guards the length, and orders writers. Maps share the buffer without it.
    content: Mutex<Content>,
}

#[derive(Debug)]
enum Content {
    /// Never mapped so far.
    Private(Vec<u8>),
    Shared {
        buffer: Arc<Buffer>,
        len: usize,
    },
}

impl Default for Content {
    fn default() -> Self {
        Self::Private(Vec::new())
    }
}

/// Anonymous memory, never moved while someone holds it.
struct Buffer {
    memory: MmapRaw,
    /// Bytes below this have been borrowed, and must not be written again.
    shown: AtomicUsize,
}

impl Buffer {
    fn new(capacity: usize) -> io::Result<Self> {
        let memory = MmapOptions::new()
            .len(capacity.max(4096))
            .map_anon()?
            .into();
        Ok(Self {
            memory,
            shown: AtomicUsize::new(0),
        })
    }

    fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Copies bytes in. The caller holds the region's lock, so there is one writer.
    fn write(&self, position: usize, bytes: &[u8]) {
        assert!(
            position + bytes.len() <= self.capacity(),
            "write outside of the buffer"
        );
        assert!(
            position >= self.shown.load(Ordering::Relaxed),
            "write into bytes that were shown"
        );
        // SAFETY: inside the buffer, and not borrowed by anybody (both asserted above: what was
        // never shown has no borrower, and the region's lock keeps other writers out).
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.memory.as_mut_ptr().add(position),
                bytes.len(),
            );
        }
    }

    /// Copies bytes out. The caller holds the region's lock, so nobody writes meanwhile.
    fn read(&self, range: Range<usize>) -> Vec<u8> {
        assert!(range.end <= self.capacity(), "read outside of the buffer");
        // SAFETY: inside the buffer (asserted), which is initialised (anonymous memory is zeroed),
        // and the region's lock keeps writers out.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(range.start), range.len()) }
            .to_vec()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl Region {
    /// A region with this content.
    pub(crate) fn new(content: Vec<u8>) -> Self {
        Self {
            content: Mutex::new(Content::Private(content)),
        }
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        match &*self.content.lock() {
            Content::Private(bytes) => bytes.len(),
            Content::Shared { len, .. } => *len,
        }
    }

    /// A copy of the bytes in `range`, cut at the end of the region.
    pub(crate) fn read(&self, range: Range<usize>) -> Vec<u8> {
        let clip = |len: usize| range.start.min(len)..range.end.min(len).max(range.start.min(len));
        match &*self.content.lock() {
            Content::Private(bytes) => bytes[clip(bytes.len())].to_vec(),
            Content::Shared { buffer, len } => buffer.read(clip(*len)),
        }
    }

    /// Writes, growing the region as needed.
    pub(crate) fn write(&self, position: usize, bytes: &[u8]) -> io::Result<()> {
        let end = position
            .checked_add(bytes.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        match &mut *self.content.lock() {
            Content::Private(content) => {
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[position..end].copy_from_slice(bytes);
            }
            Content::Shared { buffer, len } => {
                make_writable(buffer, *len, position..end)?;
                buffer.write(position, bytes);
                *len = end.max(*len);
            }
        }
        Ok(())
    }

    /// Cuts the region, or extends it with zeros.
    pub(crate) fn set_len(&self, new_len: usize) -> io::Result<()> {
        match &mut *self.content.lock() {
            Content::Private(bytes) => bytes.resize(new_len, 0),
            Content::Shared { buffer, len } => {
                if new_len > *len {
                    // Bytes above a former cut may linger in the buffer: they must read as zeros.
                    make_writable(buffer, *len, *len..new_len)?;
                    buffer.write(*len, &vec![0; new_len - *len]);
                }
                *len = new_len;
            }
        }
        Ok(())
    }

    /// A map of the region. It follows the region's growth up to its own capacity.
    pub(crate) fn map(&self, capacity: usize) -> io::Result<Map> {
        let content = &mut *self.content.lock();
        let (old, len) = match content {
            Content::Private(bytes) => {
                let buffer = Buffer::new(capacity.max(bytes.len()))?;
                buffer.write(0, bytes);
                (Arc::new(buffer), bytes.len())
            }
            Content::Shared { buffer, len } => (Arc::clone(buffer), *len),
        };
        let buffer = if old.capacity() < capacity {
            grown(&old, len, capacity)?
        } else {
            old
        };
        *content = Content::Shared {
            buffer: Arc::clone(&buffer),
            len,
        };
        Ok(Map {
            memory: Memory::Region(buffer),
        })
    }
}

/// Makes room for a write, and leaves bytes that were shown alone.
fn make_writable(buffer: &mut Arc<Buffer>, len: usize, range: Range<usize>) -> io::Result<()> {
    if buffer.capacity() < range.end || range.start < buffer.shown.load(Ordering::Relaxed) {
        *buffer = grown(buffer, len, range.end)?;
    }
    Ok(())
}

/// A larger copy. Maps of the old one keep it alive, and go on seeing the bytes they have.
fn grown(old: &Buffer, len: usize, capacity: usize) -> io::Result<Arc<Buffer>> {
    let new = Buffer::new(capacity.max(old.capacity().saturating_mul(2)))?;
    new.write(0, &old.read(0..len));
    Ok(Arc::new(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_a_region_outlive_its_growth() {
        let region = Region::new(b"hello".to_vec());
        let map = region.map(5).unwrap();
        // SAFETY: five bytes were written, and none of them is written again.
        let shown = unsafe { map.bytes(0..5) };
        region.write(5, &vec![b'x'; 100_000]).unwrap();
        assert_eq!(shown, b"hello");
        assert_eq!(region.read(3..7), b"loxx");
        assert_eq!(region.len(), 100_005);
    }

    #[test]
    fn overwriting_shown_bytes_leaves_the_maps_alone() {
        let region = Region::new(b"hello".to_vec());
        let map = region.map(5).unwrap();
        // SAFETY: five bytes were written; the write below goes to a fresh buffer.
        let shown = unsafe { map.bytes(0..5) };
        region.write(1, b"u").unwrap();
        assert_eq!(shown, b"hello");
        assert_eq!(region.read(0..5), b"hullo");
    }

    #[test]
    fn extending_after_a_cut_shows_zeros() {
        let region = Region::new(b"hello".to_vec());
        drop(region.map(5).unwrap());
        region.set_len(2).unwrap();
        region.set_len(4).unwrap();
        assert_eq!(region.read(0..10), b"he\0\0");
    }
}
