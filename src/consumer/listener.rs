//! What an application is told when partitions come and go.

use super::Consumer;
use crate::error::Result;
use crate::record::TopicPartition;

/// Is told when a member of a group gets partitions or loses them. Set with
/// [`Consumer::on_rebalance`].
///
/// Its methods run inside [`poll`](Consumer::poll), [`unsubscribe`](Consumer::unsubscribe) and
/// [`close`](Consumer::close), on the caller's thread; a consumer that is dropped tells nobody. They
/// may use the consumer: commit, seek, pause, look at positions. Polling and subscribing from inside
/// is [`IllegalState`](crate::Error::IllegalState).
///
/// An error that a method returns comes out of that call once the rebalance is done; it stops
/// nothing. All methods do nothing by default, except that [`lost`](Self::lost) calls
/// [`revoked`](Self::revoked), as in Kafka's `ConsumerRebalanceListener`.
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// use std::time::Duration;
/// use streamlog::{Broker, Consumer, RebalanceListener, Result, TopicConfig, TopicPartition};
///
/// struct Commit;
///
/// impl RebalanceListener for Commit {
///     fn revoked(&mut self, consumer: &mut Consumer, _: &[TopicPartition]) -> Result<()> {
///         consumer.commit() // the next owner goes on right behind what was processed
///     }
///
///     fn lost(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
///         println!("too late to commit {partitions:?}");
///         Ok(())
///     }
/// }
///
/// let broker = Broker::in_memory();
/// broker.create_topic("clicks", TopicConfig::default().partitions(3))?;
/// let mut consumer = broker.group("dashboard").join(["clicks"])?;
/// consumer.on_rebalance(Commit);
/// consumer.poll(Duration::ZERO)?;
/// consumer.close()
/// # }
/// ```
pub trait RebalanceListener: Send {
    /// These partitions were added to the assignment; the others stay. A seek from here is where
    /// reading starts.
    ///
    /// # Errors
    /// Whatever it wants `poll` to return.
    fn assigned(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let _ = (consumer, partitions);
        Ok(())
    }

    /// These partitions are about to go to another member, which starts when this has returned. They
    /// are still owned: committing works.
    ///
    /// # Errors
    /// Whatever it wants `poll` to return.
    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let _ = (consumer, partitions);
        Ok(())
    }

    /// These partitions are gone already: the consumer did not poll within `max.poll.interval.ms`, or
    /// their topic was deleted. Committing for them fails.
    ///
    /// # Errors
    /// Whatever it wants `poll` to return.
    fn lost(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self.revoked(consumer, partitions)
    }
}
