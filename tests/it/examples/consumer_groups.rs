//! `consumer_groups` takes the options of `kafka-consumer-groups`, and prints its columns.

use std::fs;
use std::process::Command;

use streamlog::{Broker, Record, TopicConfig, TopicPartition};
use tempfile::{TempDir, tempdir};

use super::{example, printed, run, run_to_failure};

/// A directory with groups in it.
pub(super) struct Groups {
    dir: TempDir,
}

impl Groups {
    /// `clicks` has five records in each of two partitions, a minute apart from 1970 on, and `orders` has
    /// one; group `a` is at 2 and 3 in the first, and at 0 in the second.
    pub(super) fn new() -> Self {
        let groups = Self {
            dir: tempdir().unwrap(),
        };
        groups.with_broker(|broker| {
            broker
                .create_topic("clicks", TopicConfig::default().partitions(2))
                .unwrap();
            broker
                .create_topic("orders", TopicConfig::default())
                .unwrap();
            for number in 0..10 {
                let record = Record::value_only("v").timestamp(60_000 * (number / 2));
                let partition = u32::try_from(number % 2).unwrap();
                let clicks = broker.topic("clicks").unwrap();
                clicks
                    .partition(partition)
                    .unwrap()
                    .append(&[record])
                    .unwrap();
            }
            let orders = broker.topic("orders").unwrap().partition(0).unwrap();
            orders.append(&[Record::value_only("v")]).unwrap();
            let offsets = [("clicks", 0, 2), ("clicks", 1, 3), ("orders", 0, 0)];
            commit(broker, "a", &offsets);
        });
        groups
    }

    fn with_broker(&self, action: impl FnOnce(&Broker)) {
        let broker = Broker::builder(self.dir.path()).offsets_topic_partitions(2);
        let broker = broker.open().unwrap();
        action(&broker);
        broker.close().unwrap();
    }

    pub(super) fn command(&self, options: &str) -> Command {
        let mut command = example("consumer_groups");
        command.arg("--data-dir").arg(self.dir.path());
        command.args(options.split(' '));
        command
    }

    /// What it prints to stdout.
    fn run(&self, options: &str) -> String {
        let output = self.command(options).output().unwrap();
        assert!(output.status.success(), "{options}\n{}", printed(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The words of each line that has any.
    fn rows(&self, options: &str) -> Vec<String> {
        let printed = self.run(options);
        let lines = printed.lines().filter(|line| !line.is_empty());
        lines.map(words).collect()
    }

    pub(super) fn run_to_failure(&self, options: &str) -> String {
        run_to_failure(&mut self.command(options))
    }

    /// What a group has committed: `topic-partition:offset`.
    pub(super) fn committed(&self, group: &str) -> String {
        let mut committed = Vec::new();
        self.with_broker(|broker| committed = broker.group(group).export().unwrap());
        let offsets = committed
            .iter()
            .map(|(partition, offset)| format!("{partition}:{offset}"));
        offsets.collect::<Vec<_>>().join(" ")
    }
}

fn commit(broker: &Broker, group: &str, offsets: &[(&str, u32, u64)]) {
    let offsets = offsets
        .iter()
        .map(|(topic, partition, offset)| (TopicPartition::new(*topic, *partition), *offset));
    let offsets: Vec<_> = offsets.collect();
    broker.group(group).commit_offsets(&offsets).unwrap();
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn groups_are_listed_with_their_states() {
    let groups = Groups::new();
    groups.with_broker(|broker| commit(broker, "b", &[("orders", 0, 1)]));
    assert_eq!(groups.run("--list"), "a\nb\n");
    let all = ["GROUP STATE", "a Empty", "b Empty"];
    assert_eq!(groups.rows("--list --state"), all);
    assert_eq!(groups.rows("--list --state empty,stable"), all);
    assert_eq!(groups.rows("--list --state Stable"), all[..1]);
    let printed = groups.run_to_failure("--list --state resting");
    assert!(
        printed.contains("invalid list of states `resting`"),
        "{printed}"
    );
}

#[test]
fn a_description_has_kafkas_columns() {
    let groups = Groups::new();
    let all = [
        "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID",
        "a clicks 0 2 5 3 - - -",
        "a clicks 1 3 5 2 - - -",
        "a orders 0 0 1 1 - - -",
    ];
    for options in [
        "--group a",
        "--group a --offsets",
        "--all-groups",
        "--group a --group a",
    ] {
        assert_eq!(
            groups.rows(&format!("--describe {options}")),
            all,
            "{options}"
        );
    }
    let state = [
        "GROUP COORDINATOR (ID) ASSIGNMENT-STRATEGY STATE #MEMBERS",
        "a in-process - Empty 0",
    ];
    assert_eq!(groups.rows("--describe --group a --state"), state);
    assert_eq!(groups.run("--describe --group a --members"), "");
    let told = run(&mut groups.command("--describe --group a --members --verbose"));
    assert_eq!(words(&told), "Consumer group 'a' has no active members.");
}

#[test]
fn columns_begin_where_kafkas_do_and_grow_with_what_is_in_them() {
    let groups = Groups::new();
    let long = "a-group-with-a-long-name";
    groups.with_broker(|broker| commit(broker, long, &[("clicks", 1, 4)]));
    let header = |group: &str, width: usize| {
        let printed = groups.run(&format!("--describe --group {group}"));
        assert!(
            printed.starts_with('\n'),
            "an empty line comes first: {printed}"
        );
        let expected = format!(
            "{:<width$} {:<15} {:<10} {:<15} {:<15} {:<15} {:<15} {:<15} CLIENT-ID",
            "GROUP",
            "TOPIC",
            "PARTITION",
            "CURRENT-OFFSET",
            "LOG-END-OFFSET",
            "LAG",
            "CONSUMER-ID",
            "HOST"
        );
        assert_eq!(printed.lines().nth(1), Some(expected.as_str()));
    };
    header("a", 15);
    header(long, long.len());
}

#[test]
fn a_live_process_sees_its_members() {
    let printed = run(&mut example("consumer_groups"));
    let lines: Vec<_> = printed.lines().map(words).collect();
    for expected in [
        "dashboard clicks 1 5 5 0 worker-0000000001 main worker",
        "GROUP CONSUMER-ID HOST CLIENT-ID #PARTITIONS ASSIGNMENT",
        "dashboard worker-0000000001 main worker 2 clicks:0,1",
        "dashboard in-process cooperative-sticky Stable 1",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected}\n{printed}"
        );
    }
}

#[test]
fn a_reset_is_a_dry_run_unless_it_is_executed() {
    let groups = Groups::new();
    let before = groups.committed("a");
    let reset = "--reset-offsets --group a --topic clicks:1 --to-earliest";
    let expected = ["GROUP TOPIC PARTITION NEW-OFFSET", "a clicks 1 0"];
    let told = run(&mut groups.command(reset));
    let notice = "WARN: No action will be performed as the --execute option is missing.";
    assert!(told.contains(notice), "{told}");
    assert_eq!(groups.rows(reset), expected);
    let told = run(&mut groups.command(&format!("{reset} --dry-run")));
    assert!(!told.contains("WARN"), "it was said to be one: {told}");
    assert_eq!(groups.committed("a"), before);

    let told = run(&mut groups.command(&format!("{reset} --execute")));
    assert!(!told.contains("WARN"), "{told}");
    assert_eq!(groups.committed("a"), "clicks-0:2 clicks-1:0 orders-0:0");
}

#[test]
fn a_reset_leads_where_its_scenario_says() {
    let groups = Groups::new();
    for (scenario, expected) in [
        ("--to-earliest", "0 0"),
        ("--to-latest", "5 5"),
        ("--to-current", "2 3"),
        ("--to-offset 4", "4 4"),
        ("--to-offset 100", "5 5"),
        ("--shift-by 1", "3 4"),
        ("--shift-by -3", "0 0"),
        ("--to-datetime 1970-01-01T00:01:00.000", "1 1"),
        ("--to-datetime 1970-01-01T00:01:00.001Z", "2 2"),
        ("--to-datetime 1970-01-01T01:03:00.000+01:00", "3 3"),
        ("--to-datetime 2020-01-01T00:00:00.000", "5 5"),
        ("--by-duration P1D", "5 5"),
        ("--by-duration P100000D", "0 0"),
    ] {
        let rows = groups.rows(&format!(
            "--reset-offsets --group a --topic clicks {scenario}"
        ));
        let offsets: Vec<_> = rows[1..]
            .iter()
            .filter_map(|row| row.split(' ').next_back())
            .collect();
        assert_eq!(offsets.join(" "), expected, "{scenario}");
    }
    let told = run(&mut groups.command("--reset-offsets --group a --topic clicks:0 --shift-by -9"));
    let clamped = "New offset is lower than earliest offset for topic partition clicks-0. Value will be set to 0.";
    assert!(told.contains(clamped), "{told}");
}

#[test]
fn a_reset_is_about_the_partitions_of_its_scope() {
    let groups = Groups::new();
    for (scope, expected) in [
        ("--all-topics", "clicks-0 clicks-1 orders-0"),
        ("--topic orders", "orders-0"),
        ("--topic clicks:1 --topic orders", "clicks-1 orders-0"),
        ("--topic clicks:1,0", "clicks-0 clicks-1"),
    ] {
        let rows = groups.rows(&format!(
            "--reset-offsets --group a {scope} --to-latest --export"
        ));
        let partitions = rows
            .iter()
            .map(|row| row.split(',').take(2).collect::<Vec<_>>().join("-"));
        assert_eq!(
            partitions.collect::<Vec<_>>().join(" "),
            expected,
            "{scope}"
        );
    }
    let all = groups.rows("--reset-offsets --group new --topic clicks --to-latest --execute");
    assert_eq!(
        all[1..],
        ["new clicks 0 5", "new clicks 1 5"],
        "the group is made"
    );
    assert_eq!(groups.committed("new"), "clicks-0:5 clicks-1:5");
}

#[test]
fn what_was_exported_can_be_imported() {
    let groups = Groups::new();
    groups.with_broker(|broker| commit(broker, "b, or \"c\"", &[("clicks", 1, 4)]));
    let file = groups.dir.path().with_extension("csv");
    let import = format!("--from-file {} --execute", file.display());

    let one = groups.run("--reset-offsets --group a --all-topics --to-current --export --dry-run");
    assert_eq!(one, "clicks,0,2\nclicks,1,3\norders,0,0\n");
    fs::write(&file, one).unwrap();
    groups.run(&format!("--reset-offsets --group copy {import}"));
    assert_eq!(groups.committed("copy"), groups.committed("a"));

    let all =
        groups.run("--reset-offsets --all-groups --all-topics --to-current --export --dry-run");
    assert!(
        all.contains("\na,orders,0,0\n\"b, or \"\"c\"\"\",clicks,1,4\ncopy,"),
        "{all}"
    );
    fs::write(&file, all).unwrap();
    groups.run("--reset-offsets --all-groups --all-topics --to-earliest --execute");
    assert_eq!(groups.committed("a"), "clicks-0:0 clicks-1:0 orders-0:0");
    groups.run(&format!("--reset-offsets --all-groups {import}"));
    assert_eq!(groups.committed("a"), "clicks-0:2 clicks-1:3 orders-0:0");
    assert_eq!(groups.committed("b, or \"c\""), "clicks-1:4");

    for (text, message) in [
        ("clicks,0,9", "clicks 0 5"),
        ("clicks,0,1\r\nclicks,0,2\r\n", "clicks 0 2"),
        ("clicks,9,9", "topic `clicks` has no partition 9"),
        (
            "clicks,0",
            "line 1: it is not [group,]topic,partition,offset",
        ),
        (
            "clicks,0,1\n\nclicks,0,-1",
            "line 3: `-1` is not the number of offsets",
        ),
        ("b,clicks,0,1", "no reset plan for group `a`"),
        ("\"a,clicks,0,1", "line 1: a quote is not closed"),
    ] {
        fs::write(&file, text).unwrap();
        let mut command = groups.command("--reset-offsets --group a --from-file");
        let told = words(&printed(&command.arg(&file).output().unwrap()));
        assert!(told.contains(message), "{text}\n{told}");
    }
    fs::remove_file(file).unwrap();
}

#[test]
fn groups_and_their_offsets_are_deleted() {
    let groups = Groups::new();
    groups.with_broker(|broker| commit(broker, "b", &[("orders", 0, 1)]));
    let rows = groups.rows("--delete-offsets --group a --topic clicks --topic orders");
    let expected = [
        "Request succeeded for deleting offsets from group a.",
        "TOPIC PARTITION STATUS",
        "clicks 0 Successful",
        "clicks 1 Successful",
        "orders 0 Successful",
    ];
    assert_eq!(rows, expected);
    assert_eq!(
        groups.run("--list"),
        "b\n",
        "a group without offsets is gone"
    );
    groups.run("--delete-offsets --group b --topic orders --topic clicks");

    groups.with_broker(|broker| {
        for group in ["a", "b", "c"] {
            commit(broker, group, &[("orders", 0, 1)]);
        }
    });
    let told = groups.run_to_failure("--delete --group a --group nobody");
    assert!(told.contains("deleted successfully: 'a'\n"), "{told}");
    assert!(
        told.contains("* Group 'nobody' could not be deleted due to: unknown group"),
        "{told}"
    );
    let all = groups.run("--delete --all-groups");
    assert_eq!(
        all,
        "Deletion of requested consumer groups ('b', 'c') was successful.\n"
    );
    assert_eq!(groups.run("--list"), "");
}

#[test]
fn who_sees_members_is_said() {
    let groups = Groups::new();
    let help = run(example("consumer_groups").arg("--help"));
    assert!(
        help.contains("a group seen from here has no members"),
        "{help}"
    );
    groups.with_broker(|_| {
        let printed = groups.run_to_failure("--list");
        assert!(
            printed.starts_with("error: "),
            "the directory is open: {printed}"
        );
    });
}
