//! Every knob, by Kafka's name.

mod topic;

pub use topic::TopicConfig;

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The record is in the kernel's cache: it survives the death of the process, not of the machine.
    #[default]
    Written,
    /// The record is on the device: it survives power loss. All who wait share one sync.
    Synced,
}

pub(crate) fn validate_topic_name(_n: &str) -> crate::Result<()> {
    Ok(())
}
pub(crate) fn topic_names_collide(a: &str, b: &str) -> bool {
    a == b
}
