//! Zeros behind the end of a log whose appends are synced, so that most syncs write data only.
//!
//! A sync of a file that has grown has to commit its new length as well, which takes twice as long. So
//! a partition with durable appends grows its file in steps, by zeros that the next appends overwrite:
//!
//! ```text
//!   0 ............ end of the log ............ multiple of 4 KiB
//!   batches                       zeros
//! ```
//! Invariants:
//! * Zeros lie above the published end, and only in the active segment: they are cut off, durably,
//!   before it is sealed, and at an orderly close.
//! * A file that ends with zeros ends on a border of 4 KiB, at most [`LARGEST_STEP`] behind its batches:
//!   that is how recovery tells them from what is torn. It leaves them, and the log goes on in them.
//! * Nothing depends on their being there, or on the device.

use super::Log;
use super::writer::Writer;
use crate::config::{Durability, TopicConfig};
use crate::error::Result;

/// The first step. A partition that is hardly used takes no more space than this for nothing; then
/// steps grow with the file.
const SMALLEST_STEP: u64 = 16 << 10;

/// Syncing a step that is written takes some 300 us; larger ones save little, and take longer.
const LARGEST_STEP: u64 = 256 << 10;

/// Steps end on a border between pages, which a kill leaves whole.
const BORDER: u64 = 4 << 10;

/// So many small synced appends in a row are written before a step: many partitions see no more.
const FIRST_APPENDS: u32 = 4;

/// Larger batches take longer to sync than the file's length, and zeros for them would double that.
const LARGEST_BATCH: usize = 16 << 10;

/// What the writer knows of the zeros in its file.
#[derive(Debug, Default)]
pub(super) struct ZeroAhead {
    /// The file reaches up to here, at most; it ends at the log's end if that is higher.
    end: u64,
    /// Small synced appends since the last large one, up to [`FIRST_APPENDS`].
    appends: u32,
    /// There was no space for it in this segment.
    unavailable: bool,
}

impl ZeroAhead {
    /// For a file that was found with zeros up to `end`.
    pub(super) fn up_to(end: u64) -> Self {
        Self {
            end,
            ..Self::default()
        }
    }

    /// The file was cut at the end of the log.
    pub(super) fn was_cut(&mut self) {
        self.end = 0;
    }

    /// A new file, of the same partition.
    pub(super) fn begin_segment(&mut self) {
        self.end = 0;
        self.unavailable = false;
    }

    /// Where zeros behind a log that ends at `position` should reach, after a batch was written.
    fn next_end(&mut self, position: u64, batch: usize, segment_bytes: u64) -> Option<u64> {
        if batch > LARGEST_BATCH {
            self.appends = 0;
            return None;
        }
        if self.appends < FIRST_APPENDS {
            self.appends += 1;
            return None;
        }
        if position < self.end || self.unavailable {
            return None;
        }
        let step = position.clamp(SMALLEST_STEP, LARGEST_STEP);
        let end = (position + step).min(segment_bytes) / BORDER * BORDER;
        (end > position).then_some(end)
    }
}

/// True if zeros from `position` to the end of a file, at `len`, are as a log writes them ahead.
pub(crate) fn is_ahead(position: u64, len: u64) -> bool {
    len.is_multiple_of(BORDER) && len.saturating_sub(position) <= LARGEST_STEP
}

impl Writer {
    /// After a batch was written: writes zeros behind it if they are due. Without space for them the
    /// log goes on as it is.
    pub(super) fn write_ahead(
        &mut self,
        batch: usize,
        config: &TopicConfig,
        durability: Durability,
    ) {
        if durability < Durability::Synced {
            return;
        }
        let segment_bytes = u64::from(config.segment_bytes);
        let Some(end) = self.ahead.next_end(self.position, batch, segment_bytes) else {
            return;
        };
        let zeros = vec![0; usize::try_from(end - self.position).unwrap_or(0)];
        self.ahead.end = end;
        if self.active.file().write(&zeros, self.position).is_err() {
            self.ahead.unavailable = true;
            // Others may need what space it took. If this fails, too, zeros are in nobody's way.
            if self.active.file().truncate(self.position).is_ok() {
                self.ahead.was_cut();
            }
        }
    }

    /// Cuts the file at the end of the log if it may be longer; true if so. The caller syncs it.
    pub(super) fn cut_ahead(&mut self, log: &Log) -> Result<bool> {
        if self.ahead.end <= self.position {
            return Ok(false);
        }
        self.cut_at_end(log)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_with_the_file_and_end_on_borders_inside_the_segment() {
        let mut ahead = ZeroAhead::default();
        for _ in 0..FIRST_APPENDS {
            assert_eq!(ahead.next_end(100, 100, 1 << 30), None);
        }
        assert_eq!(ahead.next_end(100, 100, 1 << 30), Some(16 << 10));
        assert_eq!(ahead.next_end(40_000, 100, 1 << 30), Some(77_824));
        assert_eq!(ahead.next_end(1 << 20, 100, 1 << 30), Some(1_310_720));
        assert_eq!(ahead.next_end(100, 100, 10_000), Some(8192));
        assert_eq!(ahead.next_end(8192, 100, 10_000), None);
        ahead.end = 200;
        assert_eq!(ahead.next_end(199, 100, 1 << 30), None);
        assert!(ahead.next_end(200, 100, 1 << 30).is_some());
        // A large batch among them says that zeros would be in vain.
        assert_eq!(ahead.next_end(200, LARGEST_BATCH + 1, 1 << 30), None);
        assert_eq!(ahead.next_end(200, 100, 1 << 30), None);
    }

    #[test]
    fn zeros_are_told_from_what_is_torn_by_where_they_end() {
        assert!(is_ahead(100, 16 << 10) && is_ahead(4096, 4096 + LARGEST_STEP));
        assert!(!is_ahead(100, 5100) && !is_ahead(100, LARGEST_STEP + BORDER));
    }
}
