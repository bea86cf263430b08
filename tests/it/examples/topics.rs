//! `topics` does what `kafka-topics` and `kafka-configs` do, in their words.

use std::process::Command;

use streamlog::{Broker, Position};
use tempfile::{TempDir, tempdir};

use super::{example, printed, run, run_to_failure};

struct Topics(TempDir);

impl Topics {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn command(&self, options: &str) -> Command {
        let mut command = example("topics");
        command.arg("--data-dir").arg(self.0.path());
        command.args(options.split(' '));
        command
    }

    fn run(&self, options: &str) -> String {
        run(&mut self.command(options))
    }

    fn refuses(&self, options: &str, message: &str) {
        let printed = run_to_failure(&mut self.command(options));
        assert!(printed.contains(message), "{options}\n{printed}");
    }
}

#[test]
fn topics_are_made_and_described_by_their_options() {
    let topics = Topics::new();
    topics.run("--create --topic a --partitions 3 --config segment.bytes=1048576");
    topics.run("--create --topic a --if-not-exists");
    topics.run("--create --topic b");
    topics.run("--alter --topic b --partitions 2 --config retention.ms=1000");
    assert_eq!(topics.run("--list"), "a\nb\n");
    let described = topics.run("--describe");
    for expected in [
        "PartitionCount: 3\tConfigs: segment.bytes=1048576",
        "Configs: retention.ms=1000",
        "\tTopic: a\tPartition: 2\tLogStartOffset: 0\tHighWatermark: 0\t",
    ] {
        assert!(described.contains(expected), "{described}");
    }
    topics.run("--alter --topic b --delete-config retention.ms,segment.ms");
    let described = topics.run("--describe --topics-with-overrides");
    assert_eq!(described.lines().count(), 1, "{described}");
    assert!(described.starts_with("Topic: a\t"), "{described}");
    topics.run("--delete --topic a");
    topics.run("--delete --topic a --if-exists");
    assert_eq!(topics.run("--list"), "b\n");
    topics.refuses("--create --topic b", "topic `b` exists already");
    topics.refuses("--delete --topic a", "unknown topic `a`");
    topics.refuses(
        "--create --topic c --config colour=red",
        "invalid config colour=red",
    );
    topics.refuses("--create --topic no/slash", "invalid topic name");
    topics.refuses("--alter --topic b --partitions 1", "invalid config");
    topics.refuses("--alter --topic b", "nothing to alter");
}

#[test]
fn internal_topics_are_left_out_on_request() {
    let topics = Topics::new();
    topics.run("--create --topic a");
    let broker = Broker::open(topics.0.path()).unwrap();
    let group = broker.group("g");
    group.reset_offsets("a", Position::Latest).unwrap();
    drop(group);
    broker.close().unwrap();
    assert_eq!(topics.run("--list"), "__consumer_offsets\na\n");
    assert_eq!(topics.run("--list --exclude-internal"), "a\n");
    let described = topics.run("--describe --exclude-internal");
    assert!(!described.contains("__consumer_offsets"), "{described}");
}

#[test]
fn configs_are_altered_and_described_as_kafka_configs_does() {
    let topics = Topics::new();
    topics.run("--create --topic a --config segment.bytes=2000000");
    let of_a = "--entity-type topics --entity-name a";
    let altered = topics.run(&format!(
        "{of_a} --alter --add-config retention.ms=1000,cleanup.policy=[compact,delete],segment.ms=5 --delete-config segment.bytes"
    ));
    assert_eq!(altered, "Completed updating config for topic a.\n");
    let described = topics.run(&format!("{of_a} --describe"));
    assert_eq!(
        described,
        "Dynamic configs for topic a are:\n\
         \x20 cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, DEFAULT_CONFIG:cleanup.policy=delete}\n\
         \x20 retention.ms=1000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1000, DEFAULT_CONFIG:retention.ms=604800000}\n\
         \x20 segment.ms=5 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:segment.ms=5, DEFAULT_CONFIG:segment.ms=604800000}\n"
    );
    let all = topics.run(&format!("{of_a} --describe --all"));
    assert!(all.starts_with("All configs for topic a are:\n"), "{all}");
    assert!(
        all.contains(
            "  segment.bytes=1073741824 sensitive=false synonyms={DEFAULT_CONFIG:segment.bytes=1073741824}"
        ),
        "{all}"
    );
    let every = topics.run("--entity-type topics --describe");
    assert_eq!(every, described);
}

#[test]
fn configs_that_are_refused_change_nothing() {
    let topics = Topics::new();
    topics.run("--create --topic a");
    let of_a = "--entity-type topics --entity-name a --alter";
    for (options, message) in [
        (
            "--add-config segment.ms=5,colour=red",
            "invalid config colour=red",
        ),
        (
            "--add-config segment.ms=0",
            "it must be a whole number from 1",
        ),
        ("--add-config segment.ms", "`segment.ms` is not name=value"),
        ("--add-config a=[b", "`a` has no closing bracket"),
        ("--add-config a=[b]c", "`c` follows the value of `a`"),
        ("--delete-config colour", "no topic config has this name"),
        ("--add-config min.insync.replicas=2", "one process"),
    ] {
        topics.refuses(&format!("{of_a} {options}"), message);
    }
    topics.refuses(of_a, "nothing to alter");
    topics.refuses(
        "--entity-type topics --entity-name b --describe",
        "unknown topic `b`",
    );
    let described = topics.run("--entity-type topics --entity-name a --describe");
    assert_eq!(described, "Dynamic configs for topic a are:\n");
}

#[test]
fn options_that_make_no_sense_together_are_refused() {
    let topics = Topics::new();
    for options in [
        "--list --describe",
        "--create",
        "--alter --partitions 3",
        "--entity-type topics --create --topic a",
        "--entity-type topics --alter --add-config a=b",
        "--entity-type brokers --describe",
        "--list --topics-with-overrides",
        "--create --topic a --if-exists",
        "--list --if-not-exists",
        "--describe --delete-config segment.ms",
        "--entity-type topics --entity-name a --alter --all",
        "--entity-type topics --entity-name a --describe --add-config segment.ms=5",
        "--alter --entity-name a --delete-config segment.ms",
    ] {
        let output = topics.command(options).output().unwrap();
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{options}\n{printed}");
    }
}
