//! The acknowledgement of a commit.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::error::Result;
use crate::partition::PartitionState;
use crate::record::Offset;

/// The acknowledgement of a commit that is in force already: when it is as safe as the broker's
/// durability says. To be waited for by blocking or as a future, or dropped. From
/// [`Consumer::commit_async`](crate::Consumer::commit_async).
#[derive(Debug, Default)]
pub struct CommitReceipt {
    /// What has to be on the device, records before the offsets that lie behind them.
    pending: Vec<(Arc<PartitionState>, Offset)>,
}

impl CommitReceipt {
    pub(crate) fn new(pending: Vec<(Arc<PartitionState>, Offset)>) -> Self {
        Self { pending }
    }

    /// Blocks until the commit is as safe as the broker's durability says: at once with
    /// [`Durability::Written`](crate::Durability::Written).
    ///
    /// # Errors
    /// [`StorageFailed`](crate::Error::StorageFailed): a sync failed. Whether a power loss would
    /// take the commit back is not known.
    pub fn wait(self) -> Result<()> {
        for (partition, end) in &self.pending {
            partition.wait_durable(*end)?;
        }
        Ok(())
    }

    /// True if [`wait`](Self::wait) would not block.
    pub fn is_done(&self) -> bool {
        let mut pending = self.pending.iter();
        pending.all(|(partition, end)| {
            partition.durable_end() >= *end || partition.log().check_failure().is_err()
        })
    }
}

impl Future for CommitReceipt {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some((partition, end)) = self.pending.first() {
            ready!(partition.poll_durable(*end, context))?;
            self.pending.remove(0);
        }
        Poll::Ready(Ok(()))
    }
}
