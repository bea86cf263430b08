//! The JSON lines that all parts of the interop check exchange; `README.md` describes them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use streamlog::{Offset, Timestamp};

/// A record as it was sent, or as it was read.
#[derive(Debug, Clone, Default)]
pub struct Line {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp: Timestamp,
}

impl Line {
    pub fn json(&self, topic: &str, partition: u32, offset: Offset) -> Value {
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(key, value)| json!([key, base64(value.as_deref())]))
            .collect();
        json!({
            "topic": topic, "partition": partition, "offset": offset, "timestamp": self.timestamp,
            "key": base64(self.key.as_deref()), "value": base64(self.value.as_deref()), "headers": headers,
        })
    }
}

/// A group without members.
pub fn empty_group(group: &str, protocol_type: &str, generation: i32) -> Value {
    json!({
        "group": group, "state": "Empty", "protocol_type": protocol_type, "members": 0,
        "generation": generation,
    })
}

pub fn committed(group: &str, topic: &str, partition: u32, offset: Offset) -> Value {
    json!({ "group": group, "topic": topic, "partition": partition, "offset": offset })
}

/// Where a partition begins.
pub fn start(topic: &str, partition: u32, start: Offset) -> Value {
    json!({ "topic": topic, "partition": partition, "start": start })
}

fn base64(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| BASE64_STANDARD.encode(bytes))
}
