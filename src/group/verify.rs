//! Looks whether what is stored of groups can be read, and makes sense. Changes nothing.

use std::path::Path;

use super::offsets::CONSUMER_OFFSETS;
use super::replay::{Replayed, read_log};
use crate::broker::BrokerState;
use crate::error::{Error, Result};
use crate::log::verify::Finding;
use crate::partition::PartitionState;

/// Reads all parts of the offsets topic from their files, whatever is in memory.
pub(crate) fn verify(broker: &BrokerState) -> Result<Vec<Finding>> {
    let topic = match broker.topic(CONSUMER_OFFSETS) {
        Err(Error::UnknownTopic { .. }) => return Ok(Vec::new()),
        topic => topic?,
    };
    let mut findings = Vec::new();
    for log in topic.partitions.load().iter() {
        let dir = log.log().dir().to_path_buf();
        match read_log(log, broker.clock().wall()) {
            Ok(Ok(replayed)) => findings.extend(beyond_the_end(broker, log, &dir, &replayed)),
            Ok(Err(error)) | Err(error @ Error::MissingSegment { .. }) => {
                findings.push(Finding::of_error(&error, &dir).of(log.id()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}

/// Commits beyond the end of their partition: an open after a crash moves them back.
fn beyond_the_end<'a>(
    broker: &'a BrokerState,
    log: &'a PartitionState,
    dir: &'a Path,
    replayed: &'a Replayed,
) -> impl Iterator<Item = Finding> + 'a {
    let committed = replayed.groups.iter().flat_map(|(group, stored)| {
        let offsets = stored.offsets.iter();
        offsets.map(move |(partition, committed)| (group, partition, committed.offset))
    });
    committed.filter_map(|(group, partition, offset)| {
        // Those of a topic that was deleted are on their way out.
        let topic = broker.topic(partition.topic()).ok()?;
        let end = topic
            .partition(partition.partition())
            .ok()?
            .log()
            .end_offset();
        (offset > end).then(|| {
            let reason = format!(
                "group `{group}` committed offset {offset} of {partition}, which ends at {end}"
            );
            Finding::derived(dir, reason).of(log.id())
        })
    })
}
