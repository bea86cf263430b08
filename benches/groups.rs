//! What being a member of a group costs: a poll, a commit, a hand-over.
//!
//! `cargo bench --bench groups` prints medians of interleaved rounds; `-- --test` runs the same in small.
//! All brokers are in memory: nothing here waits for a disk.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use streamlog::{
    Broker, Consumer, ConsumerBuilder, CooperativeSticky, Position, Range, RebalanceListener,
    Result, RoundRobin, Sticky, TopicConfig, TopicPartition,
};

struct Sizes {
    rounds: usize,
    polls: u32,
    handovers: usize,
}

const FULL: Sizes = Sizes {
    rounds: 15,
    polls: 1_000_000,
    handovers: 300,
};

const SMALL: Sizes = Sizes {
    rounds: 1,
    polls: 100,
    handovers: 2,
};

fn main() -> Result<()> {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let sizes = if is_test { SMALL } else { FULL };
    polls(&sizes)?;
    commits(&sizes)?;
    moves()?;
    handovers(&sizes)
}

fn broker_with(partitions: u32) -> Result<Broker> {
    let broker = Broker::in_memory();
    broker.create_topic("t", TopicConfig::default().partitions(partitions))?;
    Ok(broker)
}

fn member(broker: &Broker, group: &str) -> ConsumerBuilder {
    broker
        .consumer()
        .group(group)
        .auto_offset_reset(Position::Earliest)
        .auto_commit(None)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The same polls by a consumer that was assigned its partition and by a group's member.
fn polls(sizes: &Sizes) -> Result<()> {
    let broker = broker_with(1)?;
    let mut plain = broker.consumer().build()?;
    plain.assign(&[TopicPartition::new("t", 0)])?;
    let mut member = member(&broker, "g").build()?;
    member.subscribe(["t"])?;
    let (mut of_plain, mut of_member) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        of_plain.push(time_polls(&mut plain, sizes.polls)?);
        of_member.push(time_polls(&mut member, sizes.polls)?);
    }
    let nanos = |times| median(times).as_secs_f64() * 1e9 / f64::from(sizes.polls);
    let (plain, member) = (nanos(of_plain), nanos(of_member));
    println!("a poll that finds nothing: assigned {plain:.1} ns, member of a group {member:.1} ns");
    Ok(())
}

fn time_polls(consumer: &mut Consumer, count: u32) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..count {
        std::hint::black_box(consumer.poll(Duration::ZERO)?);
    }
    Ok(start.elapsed())
}

/// Commits of one position that has moved.
fn commits(sizes: &Sizes) -> Result<()> {
    let broker = broker_with(1)?;
    let mut member = member(&broker, "g").build()?;
    member.subscribe(["t"])?;
    let partition = TopicPartition::new("t", 0);
    let count = sizes.polls / 10;
    let mut times = Vec::new();
    for round in 0..sizes.rounds as u64 {
        let start = Instant::now();
        for offset in 0..u64::from(count) {
            member.commit_offsets(&[(partition.clone(), round ^ offset)])?;
        }
        times.push(start.elapsed());
    }
    println!(
        "a commit of one position: {:.0} ns",
        median(times).as_secs_f64() * 1e9 / f64::from(count)
    );
    Ok(())
}

/// How many of 100 partitions move when a fifth member joins four.
fn moves() -> Result<()> {
    let count = |configure: &dyn Fn(ConsumerBuilder) -> ConsumerBuilder| -> Result<usize> {
        let broker = broker_with(100)?;
        let mut members = Vec::new();
        let mut before = Vec::new();
        for number in 0..5 {
            if number == 4 {
                before = members.iter().map(Consumer::assignment).collect();
            }
            let mut joining = configure(member(&broker, "g")).build()?;
            joining.subscribe(["t"])?;
            members.push(joining);
            for _ in 0..3 {
                for member in &mut members {
                    member.poll(Duration::ZERO)?;
                }
            }
        }
        let lost = before.iter().zip(&members).map(|(before, member)| {
            let after = member.assignment();
            before
                .iter()
                .filter(|partition| !after.contains(partition))
                .count()
        });
        Ok(lost.sum())
    };
    println!(
        "of 100 partitions, a fifth member moves (20 by balance): cooperative-sticky {}, sticky {}, range {}, roundrobin {}",
        count(&|builder| builder.assignor(CooperativeSticky))?,
        count(&|builder| builder.assignor(Sticky))?,
        count(&|builder| builder.assignor(Range))?,
        count(&|builder| builder.assignor(RoundRobin))?,
    );
    Ok(())
}

/// Notes when partitions are assigned.
struct Assigned(Sender<Instant>);

impl RebalanceListener for Assigned {
    fn assigned(&mut self, _: &mut Consumer, _: &[TopicPartition]) -> Result<()> {
        // Whoever listens has stopped at the end.
        let _ = self.0.send(Instant::now());
        Ok(())
    }
}

/// From the call that joins to the moment at which the member is told of its partitions, while both sleep in
/// polls.
fn handovers(sizes: &Sizes) -> Result<()> {
    let broker = broker_with(100)?;
    let stop = AtomicBool::new(false);
    let ready = Barrier::new(2);
    let mut times = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let other = scope.spawn(|| -> Result<()> {
            let mut consumer = member(&broker, "g").build()?;
            consumer.subscribe(["t"])?;
            ready.wait();
            while !stop.load(Ordering::Relaxed) {
                consumer.poll(Duration::from_millis(100))?;
            }
            Ok(())
        });
        ready.wait();
        for _ in 0..sizes.handovers {
            let mut joining = member(&broker, "g").build()?;
            let (sender, assigned) = channel();
            joining.on_rebalance(Assigned(sender));
            let start = Instant::now();
            joining.subscribe(["t"])?;
            while joining.assignment().len() < 50 {
                joining.poll(Duration::from_millis(1))?;
            }
            let told = assigned.recv().expect("it was told");
            times.push(told - start);
            drop(joining);
            // The other one takes everything back and goes to sleep again.
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::Relaxed);
        other.join().expect("it does not panic")
    })?;
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "a hand-over of 50 partitions from a member that sleeps in poll: p50 {:?}, p99 {:?}",
        at(50),
        at(99)
    );
    Ok(())
}
