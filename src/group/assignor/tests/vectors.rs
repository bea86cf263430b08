//! `tests/vectors/assignors.json`: cases that Kafka's assignor classes decided (see `tests/interop`).

use serde_json::Value;

use super::{ALL, Assignment, Counts, MemberSubscription, TopicPartition};

const VECTORS: &str = include_str!("../../../../tests/vectors/assignors.json");

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// In Kafka's notation, topic-number.
fn partitions(list: &Value) -> Vec<TopicPartition> {
    let list = list.as_array().into_iter().flatten();
    list.map(|name| {
        let (topic, number) = text(name).rsplit_once('-').unwrap();
        TopicPartition::new(topic, number.parse().unwrap())
    })
    .collect()
}

fn member(described: &Value) -> MemberSubscription {
    let topics = described["topics"].as_array().unwrap().iter().map(text);
    let generation = described["generation"].as_i64().unwrap_or(-1);
    let mut member = MemberSubscription::new(text(&described["id"]), topics).owned(
        partitions(&described["owned"]),
        i32::try_from(generation).unwrap(),
    );
    member.instance_id = described["instance"].as_str().map(str::to_owned);
    member
}

fn count(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn every_assignor_gives_what_kafkas_gives() {
    let cases: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 500);
    let mut differences = Vec::new();
    for case in cases {
        let topics = case["partitions"].as_object().unwrap();
        let topics: Counts = topics
            .iter()
            .map(|(name, value)| (name.clone(), count(value)))
            .collect();
        let members: Vec<_> = case["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(member)
            .collect();
        for assignor in ALL {
            let expected: Assignment = case[assignor.name()]
                .as_object()
                .unwrap()
                .iter()
                .map(|(id, list)| (id.clone(), partitions(list)))
                .collect();
            if assignor.assign(&members, &topics) != expected {
                differences.push(format!("{}: {}", assignor.name(), text(&case["name"])));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} cases differ: {:?}",
        differences.len(),
        cases.len(),
        &differences[..differences.len().min(10)]
    );
}
