//! A group whose process is killed goes on at its last commit, exactly.
//!
//! ```text
//!   child: a producer, two members that poll, commit, leave and join ─▶ pipe: polls, commits as they begin
//!   and as they are acknowledged ─▶ parent: SIGKILL ─▶ opens what is left, joins the group, reads to the end
//! ```
//! A third of the kills come between a commit and the next poll of the member that made it, which waits there
//! for them; the others at a random line of the report, or at a random moment. Then, for each partition, the
//! group is
//! * at the last acknowledged commit, or at one that had begun after it: at the whole of that, in every
//!   partition it named, or at nothing of it;
//! * never beyond what was polled;
//! * without members, and in no earlier generation than before;
//!
//! and its next member reads from there on, in order, every record that the producer had acknowledged.
//!
//! Half of the rounds go on in a directory that was killed many times.

mod child;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use streamlog::{Broker, Error, GroupState, Offset, Position, TopicPartition};
use tempfile::TempDir;

use super::kill;
use crate::random::{Random, from_environment, seed_from_clock};
use child::{DIRECTORY, GROUP, HOLD, PARTITIONS, ROUND, SEED, TOPIC};

/// How many rounds go on in one directory.
const ROUNDS_A_DIRECTORY: u64 = 25;
/// Nothing takes this long unless something hangs.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_killed_group_goes_on_at_its_last_commit() {
    let rounds = from_environment("STREAMLOG_KILL_ROUNDS", 100);
    let seed = from_environment("STREAMLOG_SEED", seed_from_clock());
    println!("STREAMLOG_SEED={seed}");
    let mut random = Random::new(seed);
    let mut lasting = Directory::new();
    let mut tally = Tally::default();
    for round in 0..rounds {
        if round % 2 == 0 {
            Directory::new().round(round, &mut random, &mut tally);
            continue;
        }
        if (round / 2) % ROUNDS_A_DIRECTORY == 0 {
            lasting = Directory::new();
        }
        lasting.round(round, &mut random, &mut tally);
    }
    println!("{tally:?}");
    if rounds >= 100 {
        // Otherwise the rounds prove little.
        assert!(
            tally.acknowledged > rounds && tally.read_again > rounds,
            "{tally:?}"
        );
    }
}

/// What the rounds had to do with.
#[derive(Debug, Default)]
struct Tally {
    /// Commits.
    acknowledged: u64,
    /// Commits that had begun, and counted.
    in_force: u64,
    /// Commits that had begun, and did not count.
    undone: u64,
    /// Records that came after the group's place.
    read_again: u64,
}

/// A data directory and what has to be in it.
struct Directory {
    dir: TempDir,
    expected: Expected,
}

impl Directory {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            expected: Expected::default(),
        }
    }

    fn round(&mut self, round: u64, random: &mut Random, tally: &mut Tally) {
        let name = format!("round {round}");
        self.work_until_killed(round, random, tally);
        self.expected.check(self.dir.path(), &name, random, tally);
    }

    /// Runs a child until a commit is followed by no poll, until a random line of its report, or until a
    /// random moment.
    fn work_until_killed(&mut self, round: u64, random: &mut Random, tally: &mut Tally) {
        let hold = random.one_in(3).then(|| random.between(1, 30));
        let mut child = self.spawn(round, random.number(), hold.unwrap_or(u64::MAX));
        let output = child.stdout.take().unwrap();
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        if hold.is_some() {
            for line in lines.by_ref() {
                self.expected.note(&line, tally);
                if line == "@hold" {
                    break;
                }
            }
        } else if random.one_in(8) {
            // While it opens, perhaps before it wrote anything.
            let moment = Instant::now() + Duration::from_micros(random.below(60_000));
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
        } else {
            let count = if random.one_in(3) { 40 } else { 600 };
            for line in lines.by_ref().take(random.index(count)) {
                self.expected.note(&line, tally);
            }
        }
        kill(&mut child);
        for line in lines {
            self.expected.note(&line, tally);
        }
    }

    fn spawn(&self, round: u64, seed: u64, hold: u64) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["kill::groups::child::process", "--exact", "--nocapture"])
            .env(DIRECTORY, self.dir.path())
            .env(ROUND, round.to_string())
            .env(SEED, seed.to_string())
            .env(HOLD, hold.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// An offset for each partition, by number.
type Offsets = BTreeMap<u32, Offset>;

/// What the children said, over all rounds in one directory.
#[derive(Debug, Default)]
struct Expected {
    has_topic: bool,
    /// Acknowledged records and their values.
    records: BTreeMap<(u32, Offset), String>,
    /// How far members have come.
    polled: Offsets,
    /// What was acknowledged.
    committed: Offsets,
    /// By member: a commit that was not acknowledged.
    begun: BTreeMap<u64, Offsets>,
    generation: i32,
}

impl Expected {
    /// Takes a line of a child's report.
    fn note(&mut self, line: &str, tally: &mut Tally) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<u64>().unwrap();
        let partition = |index: usize| words[index].parse::<u32>().unwrap();
        match words[0] {
            "@topic" => self.has_topic = true,
            "@record" => {
                let value = words[3..].join(" ");
                let former = self.records.insert((partition(1), number(2)), value);
                assert_eq!(former, None, "an offset is given once: {line}");
            }
            "@polled" => {
                let polled = self.polled.entry(partition(1)).or_default();
                *polled = (*polled).max(number(2));
            }
            "@begin" => {
                let pairs = (2..words.len()).step_by(2);
                let offsets: Offsets = pairs.map(|at| (partition(at), number(at + 1))).collect();
                assert!(self.was_polled(&offsets), "committed ahead: {line}");
                assert_eq!(self.begun.insert(number(1), offsets), None, "{line}");
            }
            "@commit" => {
                tally.acknowledged += 1;
                let offsets = self.begun.remove(&number(1)).unwrap();
                self.committed.extend(offsets);
            }
            // What the test harness prints.
            _ => {}
        }
    }

    fn was_polled(&self, offsets: &Offsets) -> bool {
        let mut offsets = offsets.iter();
        offsets.all(|(partition, offset)| *offset <= at(&self.polled, *partition))
    }

    /// Opens a directory, joins the group, and holds what it finds to what was said.
    fn check(&mut self, dir: &Path, name: &str, random: &mut Random, tally: &mut Tally) {
        let broker = child::open(dir, random.one_in(2));
        let report = broker.recovery_report();
        assert!(!report.has_damage(), "{name}: {report:?}");
        let Ok(topic) = broker.topic(TOPIC) else {
            assert!(!self.has_topic, "{name}: the topic is gone");
            broker.close().unwrap();
            return;
        };
        assert_eq!(topic.partition_count(), PARTITIONS, "{name}");
        self.check_description(&broker, name);
        let found = self.check_offsets(&broker, name, tally);
        self.check_reading(&broker, name, &found, random.one_in(2), tally);
        broker.close().unwrap();
    }

    /// The group is there, and its members died with their process.
    fn check_description(&mut self, broker: &Broker, name: &str) {
        let group = match broker.group(GROUP).describe() {
            Err(Error::UnknownGroup { .. }) => {
                assert!(self.committed.is_empty(), "{name}: the group is gone");
                return;
            }
            other => other.unwrap(),
        };
        assert_eq!(group.state, GroupState::Empty, "{name}");
        assert_eq!(group.members, [], "{name}");
        assert!(
            group.generation >= self.generation,
            "{name}: generation {} after {}",
            group.generation,
            self.generation
        );
        self.generation = group.generation;
        let groups = broker.groups().unwrap();
        assert!(
            groups.iter().any(|listed| listed.name == GROUP),
            "{name}: {groups:?}"
        );
    }

    /// What is committed is what was acknowledged, changed by each commit that had begun as a whole or not
    /// at all.
    fn check_offsets(&mut self, broker: &Broker, name: &str, tally: &mut Tally) -> Offsets {
        let exported = broker.group(GROUP).export().unwrap();
        let found: Offsets = exported
            .into_iter()
            .map(|(partition, offset)| (partition.partition(), offset))
            .collect();
        assert!(
            self.was_polled(&found),
            "{name}: {found:?} of {:?}",
            self.polled
        );
        for (member, begun) in std::mem::take(&mut self.begun) {
            let is_at = |offsets: &Offsets| {
                let mut partitions = begun.keys();
                partitions.all(|partition| at(&found, *partition) == at(offsets, *partition))
            };
            if is_at(&begun) {
                tally.in_force += 1;
            } else {
                tally.undone += 1;
                assert!(
                    is_at(&self.committed),
                    "{name}: member {member} began {begun:?} after {:?}: {found:?}",
                    self.committed
                );
            }
            // Decided; all that is left must be what was acknowledged.
            let decided = begun
                .keys()
                .map(|partition| (*partition, at(&found, *partition)));
            self.committed.extend(decided);
        }
        for partition in 0..PARTITIONS {
            assert_eq!(
                at(&found, partition),
                at(&self.committed, partition),
                "{name}: partition {partition}: {found:?}, acknowledged {:?}",
                self.committed
            );
        }
        found
    }

    /// A new member starts there, and finds all that was acknowledged behind it. It commits if it shall.
    fn check_reading(
        &mut self,
        broker: &Broker,
        name: &str,
        found: &Offsets,
        commits: bool,
        tally: &mut Tally,
    ) {
        let mut consumer = broker
            .consumer()
            .group(GROUP)
            .auto_offset_reset(Position::Earliest)
            .auto_commit(None)
            .build()
            .unwrap();
        consumer.subscribe([TOPIC]).unwrap();
        let ends: Offsets = (0..PARTITIONS)
            .map(|number| {
                let partition = broker.topic(TOPIC).unwrap().partition(number).unwrap();
                let place = consumer
                    .position(&TopicPartition::new(TOPIC, number))
                    .unwrap();
                assert_eq!(place, at(found, number), "{name}: it starts elsewhere");
                (number, partition.high_watermark())
            })
            .collect();
        let mut next: Offsets = (0..PARTITIONS)
            .map(|number| (number, at(found, number)))
            .collect();
        let mut missing = self.records.clone();
        missing.retain(|(partition, offset), _| *offset >= at(found, *partition));
        let deadline = Instant::now() + LONG;
        while next != ends {
            assert!(Instant::now() < deadline, "{name}: at {next:?} of {ends:?}");
            for record in &consumer.poll(Duration::from_millis(10)).unwrap() {
                let place = (record.partition(), record.offset());
                let wanted = next.insert(place.0, place.1 + 1);
                assert_eq!(Some(place.1), wanted, "{name}: skipped or repeated");
                if let Some(value) = missing.remove(&place) {
                    assert_eq!(record.value(), Some(value.as_bytes()), "{name}: {place:?}");
                }
                tally.read_again += 1;
            }
        }
        assert_eq!(missing, BTreeMap::new(), "{name}: lost");
        self.polled.clone_from(&next);
        if commits {
            consumer.commit().unwrap();
            self.committed = next;
        }
        consumer.close().unwrap();
        self.generation = broker
            .group(GROUP)
            .describe()
            .map_or(0, |group| group.generation);
    }
}

/// A group starts at the beginning of what it committed nothing for.
fn at(offsets: &Offsets, partition: u32) -> Offset {
    offsets.get(&partition).copied().unwrap_or(0)
}
