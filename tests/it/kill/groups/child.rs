//! The process that gets killed: a producer, and two members of a group that commit in every way.
//!
//! Lines of the report, each one write to the pipe:
//! ```text
//!   @topic                              the topic is there
//!   @record PARTITION OFFSET VALUE      a record is acknowledged
//!   @polled PARTITION NEXT              a poll returned what lies before this offset
//!   @begin MEMBER PARTITION OFFSET …    a commit of this begins
//!   @commit MEMBER                      it is acknowledged
//!   @hold                               the member that said this last does nothing more
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamlog::{
    Broker, Consumer, CooperativeSticky, Durability, Error, Offset, Position, Range,
    RebalanceListener, Record, Result, TopicConfig, TopicPartition,
};

use crate::kill::child::say;
use crate::random::Random;

pub const DIRECTORY: &str = "STREAMLOG_KILL_GROUP_DIRECTORY";
pub const SEED: &str = "STREAMLOG_KILL_GROUP_SEED";
pub const ROUND: &str = "STREAMLOG_KILL_GROUP_ROUND";
/// After how many commits the member that makes the last of them stops.
pub const HOLD: &str = "STREAMLOG_KILL_GROUP_HOLD";

pub const GROUP: &str = "workers";
pub const TOPIC: &str = "work";
pub const PARTITIONS: u32 = 4;

/// How far the producer may be ahead of the members, in records.
const LEAD: u64 = 200;

#[test]
fn process() {
    let Ok(dir) = std::env::var(DIRECTORY) else {
        return;
    };
    // The test harness has begun a line.
    say(&"");
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let mut random = Random::new(number(SEED));
    let broker = open(Path::new(&dir), random.one_in(2));
    make_topic(&broker);
    let work = Work {
        broker,
        is_cooperative: random.one_in(2),
        commits_left: AtomicU64::new(number(HOLD)),
        polled: AtomicU64::new(0),
    };
    let work = &work;
    std::thread::scope(|scope| {
        let seed = random.number();
        scope.spawn(move || produce(work, number(ROUND), seed));
        for member in 1..=2 {
            let random = Random::new(seed ^ member);
            scope.spawn(move || be_member(work, member, random));
        }
    });
}

pub fn open(dir: &Path, synced: bool) -> Broker {
    let durability = if synced {
        Durability::Synced
    } else {
        Durability::Written
    };
    Broker::builder(dir)
        .offsets_topic_partitions(3)
        .durability(durability)
        .open()
        .unwrap()
}

fn make_topic(broker: &Broker) {
    let config = TopicConfig::default()
        .partitions(PARTITIONS)
        .segment_bytes(16 << 10);
    match broker.create_topic(TOPIC, config) {
        Ok(_) | Err(Error::TopicExists { .. }) => say(&"@topic"),
        Err(error) => panic!("{error}"),
    }
}

/// What the threads of the process share.
struct Work {
    broker: Broker,
    is_cooperative: bool,
    /// When this comes to 0, a member holds.
    commits_left: AtomicU64,
    /// How many records the members have got.
    polled: AtomicU64,
}

fn produce(work: &Work, round: u64, seed: u64) {
    let mut random = Random::new(seed);
    let producer = work
        .broker
        .producer()
        .linger(Duration::ZERO)
        .build()
        .unwrap();
    for number in 0_u64.. {
        while number > work.polled.load(Ordering::Relaxed) + LEAD {
            std::thread::park_timeout(Duration::from_micros(200));
        }
        let partition = u32::try_from(random.below(u64::from(PARTITIONS))).unwrap();
        let value = format!("{round} {number}");
        let record = Record::to(TOPIC).partition(partition).value(&value);
        let metadata = producer.send(record).unwrap().wait().unwrap();
        say(&format!(
            "@record {partition} {} {value}",
            metadata.offset()
        ));
    }
}

/// A thread that is a member again and again.
fn be_member(work: &Work, number: u64, mut random: Random) {
    loop {
        let mut builder = work
            .broker
            .consumer()
            .group(GROUP)
            .auto_offset_reset(Position::Earliest)
            .auto_commit(None)
            .max_poll_records(random.index(30) + 1);
        builder = if work.is_cooperative {
            builder.assignor(CooperativeSticky)
        } else {
            builder.assignor(Range)
        };
        let mut consumer = builder.build().unwrap();
        let owned = Arc::default();
        consumer.on_rebalance(Listener {
            member: number,
            owned: Arc::clone(&owned),
            commits: random.one_in(2),
        });
        consumer.subscribe([TOPIC]).unwrap();
        for _ in 0..random.between(1, 40) {
            poll(work, &mut consumer, &owned);
            if !random.one_in(4) {
                commit(number, &mut consumer, &owned, &mut random).unwrap();
                hold_if_due(work);
            }
        }
        match random.below(3) {
            0 => consumer.close().unwrap(),
            1 => consumer.unsubscribe().unwrap(),
            _ => drop(consumer),
        }
    }
}

/// What a member got last, of each partition that it owns and got something of: the first offset, and the
/// next one to read.
type Owned = Mutex<BTreeMap<u32, (Offset, Offset)>>;

fn poll(work: &Work, consumer: &mut Consumer, owned: &Owned) {
    let records = consumer.poll(Duration::from_millis(2)).unwrap();
    let mut owned = owned.lock().unwrap();
    for partition in records.partitions() {
        let mut offsets = records.records_of(partition).map(|record| record.offset());
        let first = offsets.next().unwrap();
        let next = offsets.last().unwrap_or(first) + 1;
        owned.insert(partition.partition(), (first, next));
        say(&format!("@polled {} {next}", partition.partition()));
    }
    let count = u64::try_from(records.len()).unwrap();
    work.polled.fetch_add(count, Ordering::Relaxed);
}

fn commit(member: u64, consumer: &mut Consumer, owned: &Owned, random: &mut Random) -> Result<()> {
    let owned: Vec<_> = owned.lock().unwrap().clone().into_iter().collect();
    let everything: Vec<_> = owned
        .iter()
        .map(|(partition, (_, next))| (*partition, *next))
        .collect();
    match random.below(4) {
        0 => say_commit(member, &everything, || consumer.commit()),
        1 => say_commit(member, &everything, || consumer.commit_async()?.wait()),
        // In force once it returns, whatever the device has of it.
        2 => say_commit(member, &everything, || consumer.commit_async().map(drop)),
        _ => {
            let mut some: Vec<_> = owned
                .iter()
                .map(|(partition, (first, next))| (*partition, random.between(*first, *next)))
                .collect();
            if !some.is_empty() {
                some.remove(random.index(some.len()));
            }
            let named: Vec<_> = some
                .iter()
                .map(|(partition, offset)| (TopicPartition::new(TOPIC, *partition), *offset))
                .collect();
            say_commit(member, &some, || consumer.commit_offsets(&named))
        }
    }
}

fn say_commit(
    member: u64,
    offsets: &[(u32, Offset)],
    commit: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut line = format!("@begin {member}");
    for (partition, offset) in offsets {
        write!(line, " {partition} {offset}").unwrap();
    }
    say(&line);
    commit()?;
    say(&format!("@commit {member}"));
    Ok(())
}

fn hold_if_due(work: &Work) {
    if work.commits_left.fetch_sub(1, Ordering::Relaxed) == 1 {
        say(&"@hold");
        loop {
            std::thread::park();
        }
    }
}

/// Forgets what goes to the other member, and perhaps commits it before.
struct Listener {
    member: u64,
    owned: Arc<Owned>,
    commits: bool,
}

impl RebalanceListener for Listener {
    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let mut going = Vec::new();
        let mut owned = self.owned.lock().unwrap();
        for partition in partitions {
            let number = partition.partition();
            going.extend(owned.remove(&number).map(|(_, next)| (number, next)));
        }
        drop(owned);
        if self.commits {
            let named: Vec<_> = going
                .iter()
                .map(|(partition, offset)| (TopicPartition::new(TOPIC, *partition), *offset))
                .collect();
            say_commit(self.member, &going, || consumer.commit_offsets(&named))?;
        }
        Ok(())
    }
}
