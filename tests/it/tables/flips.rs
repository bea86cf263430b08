//! A flipped bit in a segment, compacted or not: readers get an error, or what was written.

use std::path::{Path, PathBuf};

use streamlog::sim::SimDisk;
use streamlog::{Broker, Error, Position};

use super::follower::{WithHistory, check_record, said};
use super::world::{Book, World};
use super::{Check, require};
use crate::random::Random;
use crate::support::past_damage;

/// Fields of a batch in front of those that its CRC covers.
const FRAME: u64 = 21;

/// Flips a bit of a copy of the disk, opens that, and reads all of it.
pub fn check_flip(world: &World, disk: &SimDisk, random: &mut Random) -> Check {
    let disk = disk.duplicate();
    let open = || {
        let builder = Broker::builder("data")
            .storage(disk.clone())
            .background(false);
        said(builder.clock(world.clock.clone()).open())
    };
    // Closed: all of it is synced and sealed, so nothing may be cut.
    said(open()?.close())?;
    let Some((path, at)) = place(&disk, random) else {
        return Ok(());
    };
    let mut bytes = disk.read(&path).expect("it is there");
    let bit = random.below(8);
    bytes[usize::try_from(at).expect("small")] ^= 1 << bit;
    disk.write(&path, &bytes).expect("it can be written");
    let broker = open()?;
    for (number, book) in (0..).zip(&world.books) {
        read(&broker, number, book).map_err(|wrong| {
            format!(
                "bit {bit} of byte {at} of {} flipped: {wrong}",
                path.display()
            )
        })?;
    }
    Ok(())
}

/// A byte of a segment, most often of the frame of a batch.
fn place(disk: &SimDisk, random: &mut Random) -> Option<(PathBuf, u64)> {
    let mut logs: Vec<_> = disk.files();
    logs.retain(|(path, len)| *len > 0 && path.starts_with("data") && is_log(path));
    let (path, len) = logs.get(random.index(logs.len().max(1)))?.clone();
    if random.one_in(4) {
        return Some((path, random.below(len)));
    }
    let bytes = disk.read(&path)?;
    let mut batches = Vec::new();
    let mut at = 0;
    while let Some(length) = bytes.get(at + 8..at + 12) {
        batches.push(at as u64);
        let length = u32::from_be_bytes(length.try_into().ok()?);
        at += 12 + usize::try_from(length).ok()?;
    }
    let batch = *random.pick(&batches);
    Some((path, batch + random.below(FRAME)))
}

fn is_log(path: &Path) -> bool {
    let in_table = path
        .parent()
        .and_then(Path::file_name)
        .and_then(|it| it.to_str());
    path.extension().is_some_and(|it| it == "log")
        && in_table.is_some_and(|it| it.starts_with("table-"))
}

fn read(broker: &Broker, number: u32, book: &Book) -> Check {
    let partition = said(said(broker.topic("table"))?.partition(number))?;
    let mut reader = said(partition.reader(Position::Earliest))?;
    let mut next = reader.position();
    loop {
        match reader.next() {
            Ok(Some(record)) => {
                book.history(|history, now| check_record(&record, next, history, now))?;
                next = record.offset() + 1;
            }
            Ok(None) => break,
            Err(error) => {
                let past = past_damage(&error).filter(|past| *past > next);
                require!(
                    past.is_some() || is_damage(&error),
                    "a reader at {next}: {error}"
                );
                if next >= partition.high_watermark() {
                    return Ok(());
                }
                next = past.unwrap_or(next + 1);
                said(reader.seek(Position::Offset(next)))?;
            }
        }
    }
    book.history(|history, now| {
        let missing = history.missing(next..history.end(), now);
        require!(missing.is_none(), "{missing:?} was skipped at the end");
        Ok(())
    })
}

fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. } | Error::MissingSegment { .. })
}
