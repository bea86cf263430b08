//! A topic's configuration.

/// How a topic stores its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig { pub(crate) max_message_bytes: usize, pub(crate) compression: crate::Compression }
