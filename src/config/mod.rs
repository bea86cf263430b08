//! Every knob, by Kafka's name.
//!
//! [`TopicConfig`] has the typed setters, [`TopicConfigValues`] the getters; `change` alters it by name.
//! `entries` is the table behind them, `value` how values are read and bounded. `topic_name` has the rules
//! for names.

mod change;
mod cleanup;
mod consumed;
mod entries;
mod retention;
mod topic;
mod topic_name;
mod value;
mod values;

pub use change::{ConfigEntry, ConfigOp, ConfigSource};
pub use cleanup::CleanupPolicy;
pub use consumed::RetentionConsumed;
pub(crate) use topic::MAX_PARTITIONS;
pub use topic::TopicConfig;
pub(crate) use topic_name::{is_internal, topic_names_collide, validate_topic_name};
pub use values::TopicConfigValues;

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
