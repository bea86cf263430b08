//! A topic: a name, a configuration, and its partitions.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::TopicConfig;
use crate::partition::PartitionState;

/// What everybody who uses a topic shares.
#[derive(Debug)]
pub(crate) struct TopicState {
    pub(crate) name: Arc<str>,
    pub(crate) config: ArcSwap<TopicConfig>,
    /// Grows with `add_partitions`; a snapshot, so that looking costs no lock.
    pub(crate) partitions: ArcSwap<Vec<Arc<PartitionState>>>,
}
