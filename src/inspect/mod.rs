//! Looks into the files of a data directory, for tools: no broker, no lock, nothing is changed.
//!
//! [`SegmentReader`] walks the batches of a `.log` file, damaged ones too: it says where the damage
//! is and goes on behind it. [`offset_index`], [`time_index`], [`aborted_transactions`] and
//! [`producer_snapshot`] read the small files beside it. Files that Apache Kafka wrote read the same.
//!
//! The files may belong to a broker that is running: what it has not finished writing shows as damage
//! at the end. The example `dump_log` prints all of this.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! use streamlog::inspect::{Entry, SegmentReader};
//! use streamlog::{Broker, Record, TopicConfig};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! let broker = Broker::open(dir.path())?;
//! let topic = broker.create_topic("clicks", TopicConfig::default())?;
//! topic.partition(0)?.append(&[Record::value_only("/home"), Record::value_only("/about")])?;
//! broker.close()?;
//!
//! let mut values = Vec::new();
//! for entry in SegmentReader::open(dir.path().join("clicks-0/00000000000000000000.log"))? {
//!     match entry? {
//!         Entry::Batch(batch) => {
//!             assert!(batch.crc_matches());
//!             values.extend(batch.records()?.iter().map(|record| record.value().map(<[u8]>::to_vec)));
//!         }
//!         Entry::Damage(damage) => println!("byte {}: {}", damage.position, damage.reason),
//!     }
//! }
//! assert_eq!(values, [Some(b"/home".to_vec()), Some(b"/about".to_vec())]);
//! # Ok(())
//! # }
//! ```
//!
//! Elsewhere: what bytes mean (`format`), what a broker does about damage (`log::recovery`).

mod batch;
mod segment;
mod side_files;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Marker};
pub use segment::{Damage, Entry, SegmentReader};
pub use side_files::{
    AbortedTransaction, OffsetIndexEntry, ProducerState, TimeIndexEntry, aborted_transactions,
    offset_index, producer_snapshot, time_index,
};
