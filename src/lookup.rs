//! Finds a record by its timestamp.
//!
//! The log knows batches; from the first one whose largest timestamp is late enough, this looks at the
//! records themselves.

use crate::consumer::run::RecordRun;
use crate::error::Result;
use crate::partition::{Cursor, PartitionState};
use crate::record::{Offset, Timestamp};

/// The first record at or behind `offset` whose timestamp is `timestamp` or later.
pub(crate) fn first_at_or_after(
    partition: &PartitionState,
    offset: Offset,
    timestamp: Timestamp,
) -> Result<Option<Offset>> {
    let mut cursor = Cursor::at(offset);
    while let Some(batch) = partition.fetch(&mut cursor)? {
        if batch.header.attributes.is_control() || batch.header.max_timestamp < timestamp {
            continue;
        }
        let run = RecordRun::new(partition.id(), batch)?;
        let found = run
            .iter()
            .find(|record| record.offset() >= offset && record.timestamp() >= timestamp);
        if let Some(record) = found {
            return Ok(Some(record.offset()));
        }
    }
    Ok(None)
}
