//! What tools ask of a broker: all topics, changes step by step, checks without effect.
//!
//! Elsewhere: what every program does with topics ([`Broker`]), how it is done (`topics`).

use super::Broker;
use crate::config::{ConfigOp, TopicConfig};
use crate::error::Result;
use crate::topic::Topic;

/// For tools.
impl Broker {
    /// Says what [`create_topic`](Self::create_topic) would refuse, without making the topic (Kafka's
    /// `validateOnly`).
    ///
    /// # Errors
    /// Those of `create_topic`, but for what the disk has to say.
    pub fn validate_topic(&self, name: &str, config: &TopicConfig) -> Result<()> {
        self.state.check_open()?;
        self.state.validate_topic(name, config)
    }

    /// Changes some of a topic's settings (Kafka's `incrementalAlterConfigs`): takes these steps, one
    /// after the other, or none of them if one is refused. What is not named stays as it is, also if
    /// others change it at the same time. The new configuration is in force when this returns, and after
    /// any crash.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// use streamlog::{Broker, ConfigOp, TopicConfig};
    ///
    /// let broker = Broker::in_memory();
    /// let topic = broker.create_topic("t", TopicConfig::default().segment_bytes(1 << 20))?;
    /// broker.alter_topic_config("t", &[
    ///     ConfigOp::set("retention.ms", "3600000"),
    ///     ConfigOp::delete("segment.bytes"),
    ///     ConfigOp::append("cleanup.policy", "compact"),
    /// ])?;
    /// assert_eq!(topic.config().get("cleanup.policy").as_deref(), Some("compact,delete"));
    /// assert_eq!(topic.config().values().segment_bytes(), 1 << 30);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `UnknownTopic`; `InvalidConfig`, which names the setting.
    pub fn alter_topic_config(&self, name: &str, ops: &[ConfigOp]) -> Result<()> {
        self.state.check_open()?;
        self.state.alter_topic_config(name, ops)
    }

    /// All topics by name, also [internal](Topic::is_internal) ones.
    pub fn all_topics(&self) -> Vec<Topic> {
        let all = self.state.topics().into_iter();
        all.map(|topic| self.topic_handle(topic)).collect()
    }
}
