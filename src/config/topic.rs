//! A topic's configuration.

/// How a topic stores its records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicConfig {}
