//! The handle of a group: names, joining, describing, listing.

use super::*;
use crate::{ConsumerGroup, Error, GroupState, Position};

fn is_shared<T: Clone + Send + Sync + std::fmt::Debug>(_: &T) {}

#[test]
fn a_handle_is_shared_and_names_its_group() {
    let broker = broker_on(&SimDisk::new());
    let group: ConsumerGroup = broker.group("dashboard");
    is_shared(&group);
    assert_eq!(group.name(), "dashboard");
    assert!(format!("{group:?}").contains("dashboard"));
}

#[test]
fn a_name_is_checked_when_it_is_used() {
    let broker = broker_on(&SimDisk::new());
    for name in [String::new(), "n".repeat(32_768)] {
        let group = broker.group(name);
        let refused = [
            group.join(["t"]).map(drop),
            group.describe().map(drop),
            group.export().map(drop),
            group.commit_offsets(&[]),
            group.reset_offsets("t", Position::Earliest).map(drop),
            group.plan_reset("t", Position::Earliest).map(drop),
            group.delete(),
            group.delete_offsets("t"),
        ];
        for refused in refused {
            assert!(
                matches!(&refused, Err(Error::InvalidConfig { key, .. }) if key == "group.id"),
                "{refused:?}"
            );
        }
    }
    let longest = broker.group("n".repeat(32_767));
    longest.commit_offsets(&[(id(0), 1)]).unwrap();
    assert_eq!(longest.export().unwrap(), [(id(0), 1)]);
}

#[test]
fn a_closed_broker_has_no_groups() {
    let broker = broker_on(&SimDisk::new());
    let group = broker.group("g");
    broker.clone().close().unwrap();
    assert!(matches!(broker.groups(), Err(Error::Closed(_))));
    assert!(matches!(group.describe(), Err(Error::Closed(_))));
    assert!(matches!(group.delete(), Err(Error::Closed(_))));
}

#[test]
fn joining_is_subscribing_as_a_member_of_the_group() {
    let broker = broker_on(&SimDisk::new());
    let group = broker.group("g");
    let consumer = group.join(["t"]).unwrap();
    assert_eq!(consumer.group(), Some("g"));
    assert_eq!(consumer.assignment(), [id(0), id(1)]);
    assert!(matches!(
        group.join(["nothing"]),
        Err(Error::UnknownTopic { .. })
    ));
}

#[test]
fn a_description_tells_how_far_the_group_has_come() {
    let broker = broker_on(&SimDisk::new());
    let store = state(&broker);
    let noted = OffsetAndMetadata {
        metadata: "a note".to_owned(),
        ..OffsetAndMetadata::at(3)
    };
    commit(&store, "g", 0, noted);
    // Beyond the end, as a commit may be.
    commit(&store, "g", 1, OffsetAndMetadata::at(7));
    store
        .offsets()
        .record_state(&store, "g", 6, Some(1))
        .unwrap();
    let group = broker.group("g").describe().unwrap();
    assert_eq!((&*group.name, &*group.protocol_type), ("g", "consumer"));
    assert_eq!((group.state, group.generation), (GroupState::Empty, 6));
    assert!(group.members.is_empty() && group.assignor.is_none());
    let lags: Vec<_> = group
        .offsets
        .iter()
        .map(|offset| {
            let partition = offset.partition.partition();
            (partition, offset.committed, offset.log_end, offset.lag)
        })
        .collect();
    let expected = [
        (0, Some(3), Some(5), Some(2)),
        (1, Some(7), Some(0), Some(0)),
    ];
    assert_eq!(lags, expected);
    assert_eq!(group.offsets[0].metadata, "a note");
    assert_eq!(group.total_lag(), 2);
}

#[test]
fn offsets_of_partitions_that_do_not_exist_are_shown() {
    let broker = broker_on(&SimDisk::new());
    let log = home(&state(&broker), "g");
    write(&log, &[(key("g", "gone"), Some(value(9)))]);
    let group = broker.group("g").describe().unwrap();
    let offset = &group.offsets[0];
    assert_eq!((offset.committed, offset.log_end), (Some(9), None));
    assert_eq!((offset.lag, group.total_lag()), (None, 0));
    assert_eq!(group.protocol_type, "", "it only committed");
}

#[test]
fn a_group_exists_while_it_has_a_member_or_an_offset() {
    let broker = broker_on(&SimDisk::new());
    let group = broker.group("g");
    let unknown = group.describe();
    assert!(matches!(unknown, Err(Error::UnknownGroup { group }) if group == "g"));
    assert!(group.export().unwrap().is_empty());
    let consumer = group.join(["t"]).unwrap();
    assert_eq!(group.describe().unwrap().state, GroupState::Stable);
    assert!(state(&broker).topic(CONSUMER_OFFSETS).is_err());
    drop(consumer);
    assert!(matches!(group.describe(), Err(Error::UnknownGroup { .. })));
}

#[test]
fn groups_are_listed_by_name_whether_stored_or_live() {
    let broker = broker_on(&SimDisk::new());
    assert_eq!(broker.groups().unwrap(), []);
    broker
        .group("stored")
        .commit_offsets(&[(id(0), 1)])
        .unwrap();
    broker.group("both").commit_offsets(&[(id(0), 1)]).unwrap();
    let both = broker.group("both").join(["t"]).unwrap();
    let live = broker.group("live").join(["t"]).unwrap();
    let listed: Vec<_> = broker
        .groups()
        .unwrap()
        .into_iter()
        .map(|group| (group.name, group.state.to_string(), group.protocol_type))
        .collect();
    let expected = [
        ("both", "Stable", "consumer"),
        ("live", "Stable", "consumer"),
        ("stored", "Empty", ""),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(listed, expected);
    drop((both, live));
}

#[test]
fn what_is_exported_can_be_committed_for_another_group() {
    let broker = broker_on(&SimDisk::new());
    let offsets = [(id(0), 2), (id(1), 40)];
    broker.group("g").commit_offsets(&offsets).unwrap();
    let exported = broker.group("g").export().unwrap();
    assert_eq!(exported, offsets, "not clamped");
    broker.group("copy").commit_offsets(&exported).unwrap();
    assert_eq!(broker.group("copy").export().unwrap(), offsets);
    let unknown = [(id(0), 5), (TopicPartition::new("nothing", 0), 0)];
    let refused = broker.group("copy").commit_offsets(&unknown);
    assert!(matches!(refused, Err(Error::UnknownTopic { .. })));
    assert_eq!(
        broker.group("copy").export().unwrap(),
        offsets,
        "all or none"
    );
}
