//! A round of churn.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use streamlog::{Assignor, Broker, Error, Position, Record, TopicConfig, TopicPartition};

use super::history::History;
use super::member::Member;
use crate::random::Random;

/// A member that does not poll for this long is fenced. Short, so that it happens; polls that come later on a
/// busy machine only make more of it happen.
const INTERVAL: Duration = Duration::from_millis(40);
/// Nothing takes this long unless something hangs; a member with this interval is never fenced.
const LONG: Duration = Duration::from_secs(60);
const GROUP: &str = "g";
/// The number of the one that is there in the end.
const LAST: u64 = 99;

/// What is done in one round.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub name: String,
    /// How many threads are members at a time.
    pub members: u64,
    /// How many partitions the first topic has.
    pub partitions: u32,
    /// How often each thread joins.
    pub lives: u64,
    /// How many threads share one `group.instance.id`: they take the place from each other.
    pub static_members: u64,
    /// The group begins at the end of what is there when its first member subscribes.
    pub from_latest: bool,
}

/// Runs a round; returns what happened.
pub fn run<A: Assignor + Copy + 'static>(plan: &Plan, assignor: A) -> History {
    let broker = Broker::in_memory();
    let config = TopicConfig::default().partitions(plan.partitions);
    broker.create_topic("t-0", config).unwrap();
    let history = History::default();
    let (producing, churning) = (AtomicBool::new(true), AtomicBool::new(true));
    let slot = |number| Slot {
        broker: &broker,
        history: &history,
        assignor,
        random: Random::new(plan.seed ^ (number + 1)),
        number,
        is_static: number < plan.static_members,
        interval: INTERVAL,
        reset: if plan.from_latest {
            Position::Latest
        } else {
            Position::Earliest
        },
    };
    let mut last = Slot {
        interval: LONG,
        ..slot(LAST)
    };
    let last_member = std::thread::scope(|scope| {
        // Where a group begins that reads from the latest is kept while it has members: so one stays all
        // the time.
        let keeper = plan.from_latest.then(|| {
            preload(&broker, &history, plan.seed);
            let member = last.join();
            let (last, churning) = (&mut last, &churning);
            scope.spawn(move || last.keep(member, churning))
        });
        let producer = scope.spawn(|| produce(&broker, &producing, &history, plan.seed));
        let members: Vec<_> = (0..plan.members)
            .map(|number| {
                let mut slot = slot(number);
                scope.spawn(move || slot.live(plan.lives))
            })
            .collect();
        let ended: Vec<_> = members.into_iter().map(ScopedJoinHandle::join).collect();
        producing.store(false, Ordering::Relaxed);
        let ended = ended.into_iter().chain([producer.join()]);
        let ended: Vec<_> = ended.collect();
        churning.store(false, Ordering::Relaxed);
        let kept = keeper.map(ScopedJoinHandle::join).transpose();
        for ended in ended {
            ended.unwrap_or_else(|panic| resume_unwind(panic));
        }
        kept.unwrap_or_else(|panic| resume_unwind(panic))
    });
    drain(&broker, last_member.unwrap_or_else(|| last.join()));
    history
}

/// Appends what a group that reads from the latest is not to see.
fn preload(broker: &Broker, history: &History, seed: u64) {
    let mut random = Random::new(seed);
    let topic = broker.topic("t-0").unwrap();
    for number in 0..topic.partition_count() {
        let partition = topic.partition(number).unwrap();
        let records = vec![Record::value_only("old"); random.index(5) + 1];
        partition.append(&records).unwrap();
        let start = partition.high_watermark();
        history.note_start(TopicPartition::new(topic.name(), number), start);
    }
}

/// Appends to all partitions until told to stop; topics and partitions are added meanwhile.
fn produce(broker: &Broker, producing: &AtomicBool, history: &History, seed: u64) {
    let mut random = Random::new(seed);
    let mut topics = 1;
    while producing.load(Ordering::Relaxed) {
        if random.one_in(200) && topics < 3 {
            let config = TopicConfig::default().partitions(2);
            broker.create_topic(&format!("t-{topics}"), config).unwrap();
            topics += 1;
        }
        let all = broker.topics();
        let topic = random.pick(&all);
        let count = topic.partition_count();
        if random.one_in(200) && count < 12 {
            broker.add_partitions(topic.name(), count + 1).unwrap();
        }
        let number = u32::try_from(random.below(u64::from(count))).unwrap();
        let records = vec![Record::value_only("v"); random.index(5) + 1];
        let first = topic.partition(number).unwrap().append(&records).unwrap();
        std::thread::yield_now();
        if first > 2_000 {
            std::thread::park_timeout(Duration::from_micros(200));
        }
    }
    for topic in broker.topics() {
        for number in 0..topic.partition_count() {
            let end = topic.partition(number).unwrap().high_watermark();
            history.note_sent(TopicPartition::new(topic.name(), number), end);
        }
    }
}

/// One last member sees to it that everything is seen.
fn drain(broker: &Broker, mut member: Member) {
    let topics = broker.topics();
    let all: u32 = topics.iter().map(streamlog::Topic::partition_count).sum();
    let deadline = Instant::now() + LONG;
    while !member.has_read_all(all) {
        member.poll(Duration::from_millis(1));
        assert!(
            Instant::now() < deadline,
            "the last member does not get everything"
        );
    }
    member.drop();
}

/// A thread that is a member again and again.
struct Slot<'a, A> {
    broker: &'a Broker,
    history: &'a History,
    assignor: A,
    random: Random,
    number: u64,
    is_static: bool,
    interval: Duration,
    reset: Position,
}

impl<A: Assignor + Copy + 'static> Slot<'_, A> {
    fn live(&mut self, lives: u64) {
        for _ in 0..lives {
            let mut member = self.join();
            for _ in 0..self.random.between(1, 60) {
                self.act(&mut member);
                if member.was_replaced() {
                    member.check_replaced();
                    break;
                }
            }
            match self.random.below(4) {
                0 => member.close(),
                1 => member.drop(),
                2 => member.panic(),
                _ => member.unsubscribe(),
            }
        }
    }

    /// Stays a member as long as others come and go.
    fn keep(&mut self, mut member: Member, churning: &AtomicBool) -> Member {
        if self.random.one_in(2) {
            // What is written before its first poll belongs to the group as well.
            self.wait_for_records(churning);
        }
        while churning.load(Ordering::Relaxed) {
            match self.random.below(20) {
                0 => member.commit(),
                1 => member.commit_some(&mut self.random),
                _ => member.poll(Duration::from_micros(500)),
            }
        }
        member
    }

    fn wait_for_records(&self, churning: &AtomicBool) {
        let topic = self.broker.topic("t-0").unwrap();
        let end = || -> u64 {
            let partitions = (0..topic.partition_count()).map(|number| topic.partition(number));
            let ends = partitions.map(|partition| partition.unwrap().high_watermark());
            ends.sum()
        };
        let before = end();
        while churning.load(Ordering::Relaxed) && end() < before + 100 {
            std::thread::yield_now();
        }
    }

    fn join(&mut self) -> Member {
        let mut builder = self
            .broker
            .consumer()
            .group(GROUP)
            .client_id(format!("slot-{}", self.number))
            .assignor(self.assignor)
            .auto_offset_reset(self.reset)
            .max_poll_interval(self.interval)
            .session_timeout(INTERVAL)
            .max_poll_records(self.random.index(50) + 1)
            .auto_commit(None);
        if self.is_static {
            builder = builder.group_instance_id("static");
        }
        let commits_when_revoked = self.random.one_in(2);
        Member::join(builder.build().unwrap(), self.history, commits_when_revoked)
    }

    fn act(&mut self, member: &mut Member) {
        match self.random.below(20) {
            0 => self.stall(member),
            1..=3 => member.commit(),
            4 => member.commit_async(),
            5 => member.commit_some(&mut self.random),
            6 => {
                let topic = self.broker.topic("t-0").unwrap();
                let number = self.random.below(u64::from(topic.partition_count()));
                let partition = TopicPartition::new("t-0", u32::try_from(number).unwrap());
                member.commit_foreign(&partition, self.random.below(10));
            }
            7 => std::thread::yield_now(),
            wait => {
                let timeout = Duration::from_micros(if wait < 14 { 0 } else { 500 });
                member.poll(timeout);
            }
        }
    }

    /// Does nothing until the group has given up on the member.
    fn stall(&self, member: &Member) {
        let deadline = Instant::now() + LONG;
        loop {
            match self.broker.group(GROUP).describe() {
                // It was the only one, and nothing is committed.
                Err(Error::UnknownGroup { .. }) => return,
                group => {
                    let members = group.unwrap().members;
                    if members.iter().all(|known| known.member_id != member.id()) {
                        return;
                    }
                }
            }
            assert!(
                Instant::now() < deadline,
                "a member that does not poll stays"
            );
            std::thread::yield_now();
        }
    }
}
