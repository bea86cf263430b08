//! How fast the log is: writing, reading, waiting, opening.
//!
//! ```text
//! cargo bench --bench log                      everything, under three minutes
//! cargo bench --bench log -- append/written    what matches
//! ```
//! It runs on the disk of the target directory, with the defaults of brokers and topics unless an id
//! says otherwise. Values are JSON events of an exact size. What figures promise, and what they cost
//! in system calls (the head of the output counts them):
//!
//! | group | an acknowledgement survives | system calls |
//! |---|---|---|
//! | `append/written` | the death of the process | 1 write, for one record or a batch |
//! | `append/synced` | power loss | 1 write an append; 1 sync and 1 write of the durable end, shared by all who wait |
//! | `send/written` | the death of the process, once flushed | 1 write a batch of 64 KiB |
//! | `send/synced` | power loss, each waited for behind a window of 10,000 records | 1 write a batch, 1 sync for all batches of the time |
//! | `replay` | (reads) | none: records lie in mapped memory; each batch's CRC is checked |
//! | `poll` | (reads) | none |
//! | `tail` | the death of the process | 1 write an append; parked, a wake-up and a park for each side |
//! | `recovery` | (opens) | some for each partition, whatever its size; after a kill also reads and one sync of the tail |
//!
//! A sync a second in the background (`flush.ms`) is part of the figures, as it is of real use.

#![allow(unreachable_pub, reason = "the modules of one program share items")]
#![allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]

mod support;

use std::cell::LazyCell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use streamlog::{
    Broker, Compression, Consumer, Delivery, Durability, Partition, Position, Producer, Reader,
    Record, TopicConfig,
};

use support::{Bench, SIZES, TOPIC, copy, directory, events};

fn main() {
    support::calls::print().expect("a disk in memory does not fail");
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .sample_size(15)
        .configure_from_args();
    append_written(&mut criterion);
    append_synced(&mut criterion);
    send(&mut criterion);
    send_synced(&mut criterion);
    send_together(&mut criterion);
    send_to_one(&mut criterion);
    replay(&mut criterion);
    poll(&mut criterion);
    tail(&mut criterion);
    recovery(&mut criterion);
    criterion.final_summary();
}

fn throughput(group: &mut BenchmarkGroup<'_, WallTime>, records: usize, value_bytes: usize) {
    group.throughput(Throughput::ElementsAndBytes {
        elements: records as u64,
        bytes: (records * value_bytes) as u64,
    });
}

/// Batches of records, one after the other, from a list of values.
struct Batches<'a> {
    values: &'a [Vec<u8>],
    records: usize,
    next: usize,
}

impl<'a> Batches<'a> {
    fn new(values: &'a [Vec<u8>], records: usize) -> Self {
        Self {
            values,
            records,
            next: 0,
        }
    }

    fn fill(&mut self, batch: &mut Vec<Record<'a>>) {
        batch.clear();
        for _ in 0..self.records {
            batch.push(Record::value_only(&self.values[self.next]));
            self.next = (self.next + 1) % self.values.len();
        }
    }
}

/// `Partition::append`, acknowledged when the kernel has the bytes: one `pwrite` a call.
fn append_written(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append/written");
    for (size, bytes) in SIZES {
        for records in [1, 100] {
            throughput(&mut group, records, bytes);
            let values = events::events(bytes);
            let bench = LazyCell::new(|| Bench::new(TopicConfig::default()));
            group.bench_function(format!("{size}/batch-{records}"), |bencher| {
                bencher.iter_custom(|times| {
                    bench.make_room();
                    append(&bench.partition(0), &values, records, times)
                });
            });
        }
    }
}

fn append(partition: &Partition, values: &[Vec<u8>], records: usize, times: u64) -> Duration {
    let mut batches = Batches::new(values, records);
    let mut batch = Vec::with_capacity(records);
    let start = Instant::now();
    for _ in 0..times {
        batches.fill(&mut batch);
        black_box(partition.append(&batch).expect("the disk has room"));
    }
    start.elapsed()
}

/// `Partition::append` to a `Synced` topic, acknowledged after an `fdatasync`, which all threads that
/// wait at the time share.
fn append_synced(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append/synced");
    for (size, bytes) in SIZES {
        for threads in [1, 16] {
            throughput(&mut group, 1, bytes);
            let values = events::events(bytes);
            let bench =
                LazyCell::new(|| Bench::new(TopicConfig::default().durability(Durability::Synced)));
            group.bench_function(format!("{size}/threads-{threads}"), |bencher| {
                bencher.iter_custom(|times| {
                    bench.make_room();
                    let each = times.div_ceil(threads);
                    let partition = bench.partition(0);
                    let taken = append_together(&partition, &values, threads, each);
                    // Of `times` appends, as criterion wants it.
                    taken.mul_f64(times as f64 / (each * threads) as f64)
                });
            });
        }
    }
}

fn append_together(partition: &Partition, values: &[Vec<u8>], threads: u64, each: u64) -> Duration {
    let barrier = Barrier::new(usize::try_from(threads).expect("few") + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                append(partition, values, 1, each);
                barrier.wait();
            });
        }
        barrier.wait();
        let start = Instant::now();
        barrier.wait();
        start.elapsed()
    })
}

/// `Producer::send` with keys over three partitions, with the default linger and batch size, and a
/// flush at the end of each sample. One `pwrite` a batch of 64 KiB.
fn send(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send/written");
    for (size, bytes) in SIZES {
        for (codec, compression) in [("none", Compression::None), ("lz4", Compression::Lz4)] {
            throughput(&mut group, 1, bytes);
            let (keys, values) = (events::keys(), events::events(bytes));
            let bench = LazyCell::new(|| Bench::new(TopicConfig::default().partitions(3)));
            group.bench_function(format!("{size}/{codec}"), |bencher| {
                bencher.iter_custom(|times| {
                    bench.make_room();
                    let producer = bench.broker.producer().compression(compression).build();
                    let producer = producer.expect("valid settings");
                    warm_up(&producer);
                    let start = Instant::now();
                    for (key, value) in keys
                        .iter()
                        .cycle()
                        .zip(values.iter().cycle())
                        .take(usize::try_from(times).expect("a 64-bit machine"))
                    {
                        let record = Record::to(TOPIC).key(key).value(value);
                        black_box(producer.send(record).expect("the disk has room"));
                    }
                    producer.flush().expect("the disk has room");
                    start.elapsed()
                });
            });
        }
    }
}

/// `Producer::send` with `Durability::Synced`, pipelined: each record is waited for once 10,000 more
/// were sent, so that a sync covers thousands.
fn send_synced(criterion: &mut Criterion) {
    const WINDOW: usize = 10_000;
    let mut group = criterion.benchmark_group("send/synced");
    for (size, bytes) in SIZES {
        throughput(&mut group, 1, bytes);
        let values = events::events(bytes);
        let bench = LazyCell::new(|| Bench::new(TopicConfig::default()));
        group.bench_function(format!("{size}/pipelined"), |bencher| {
            bencher.iter_custom(|times| {
                bench.make_room();
                let producer = bench.broker.producer().durability(Durability::Synced);
                let producer = producer.build().expect("valid settings");
                let mut window = VecDeque::with_capacity(WINDOW);
                let start = Instant::now();
                for value in (0..times)
                    .zip(values.iter().cycle())
                    .map(|(_, value)| value)
                {
                    if window.len() == WINDOW {
                        settle(window.pop_front());
                    }
                    let sent = producer.send(Record::to(TOPIC).value(value));
                    window.push_back(sent.expect("the disk has room"));
                }
                while !window.is_empty() {
                    settle(window.pop_front());
                }
                start.elapsed()
            });
        });
    }
}

/// One producer that threads share, each of which sends to a partition of its own: what they cost each
/// other is the difference to one thread's time per record, divided by the cores there are.
fn send_together(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send/shared");
    let values = events::events(100);
    for threads in [1, 2] {
        throughput(&mut group, 1, 100);
        let bench = LazyCell::new(|| Bench::new(TopicConfig::default().partitions(3)));
        group.bench_function(format!("100B/threads-{threads}"), |bencher| {
            bencher.iter_custom(|times| {
                bench.make_room();
                let producer = bench.broker.producer().build().expect("valid settings");
                warm_up(&producer);
                let each = usize::try_from(times).expect("a 64-bit machine");
                let start = Instant::now();
                std::thread::scope(|scope| {
                    for partition in 0..threads {
                        let (producer, values) = (&producer, &values);
                        scope.spawn(move || {
                            for value in values.iter().cycle().take(each) {
                                let record = Record::to(TOPIC).partition(partition).value(value);
                                black_box(producer.send(record).expect("the disk has room"));
                            }
                        });
                    }
                });
                producer.flush().expect("the disk has room");
                start.elapsed() / threads
            });
        });
    }
}

/// Producers of their own, each on its thread, that all send to one partition: beside one of them, the
/// difference is what they lose to each other.
fn send_to_one(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send/one-partition");
    let values = events::events(100);
    for producers in [1_usize, 2, 16] {
        throughput(&mut group, 1, 100);
        let bench = LazyCell::new(|| Bench::new(TopicConfig::default().partitions(3)));
        group.bench_function(format!("100B/producers-{producers}"), |bencher| {
            bencher.iter_custom(|times| {
                bench.make_room();
                let build = || bench.broker.producer().build().expect("valid settings");
                let producers: Vec<_> = (0..producers).map(|_| build()).collect();
                producers.iter().for_each(warm_up);
                let times = usize::try_from(times).expect("a 64-bit machine");
                let each = times.div_ceil(producers.len());
                let start = Instant::now();
                std::thread::scope(|scope| {
                    for producer in &producers {
                        scope.spawn(|| {
                            for value in values.iter().cycle().take(each) {
                                let record = Record::to(TOPIC).partition(0).value(value);
                                black_box(producer.send(record).expect("the disk has room"));
                            }
                            producer.flush().expect("the disk has room");
                        });
                    }
                });
                start.elapsed()
            });
        });
    }
}

fn settle(delivery: Option<Delivery>) {
    if let Some(delivery) = delivery {
        delivery.wait().expect("the disk has room");
    }
}

/// Has a producer make its buffers.
fn warm_up(producer: &Producer) {
    for partition in 0..3 {
        let record = Record::to(TOPIC).partition(partition).value("first");
        producer.send(record).expect("the disk has room");
    }
    producer.flush().expect("the disk has room");
}

/// Reading 100 MiB that were written before, in batches of 64 KiB, CRC checked: no system calls. And
/// 100,000 records of 100 B of which each is a batch of its own.
fn replay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    for (size, bytes) in SIZES {
        let records = (100 << 20) / bytes;
        let filled = LazyCell::new(|| filled(bytes, records));
        throughput(&mut group, records, bytes);
        group.sample_size(10);
        group.bench_function(format!("reader/{size}"), |bencher| {
            let partition = filled.partition(0);
            bencher.iter(|| {
                let reader = partition.reader(Position::Earliest).expect("it is open");
                assert!(read_all(reader) >= records);
            });
        });
        group.bench_function(format!("consumer/{size}"), |bencher| {
            bencher.iter(|| assert!(poll_all(&filled.broker, 10_000) >= records));
        });
        group.bench_function(format!("consumer/{size}/default-poll"), |bencher| {
            bencher.iter(|| assert!(poll_all(&filled.broker, 500) >= records));
        });
    }
    let records = 100_000;
    let filled = LazyCell::new(|| {
        let bench = Bench::new(TopicConfig::default());
        append(&bench.partition(0), &events::events(100), 1, 100_000);
        bench
    });
    throughput(&mut group, records, 100);
    group.bench_function("reader/100B/single-record-batches", |bencher| {
        let partition = filled.partition(0);
        bencher.iter(|| {
            let reader = partition.reader(Position::Earliest).expect("it is open");
            assert!(read_all(reader) >= records);
        });
    });
    group.bench_function("consumer/100B/single-record-batches", |bencher| {
        bencher.iter(|| assert!(poll_all(&filled.broker, 500) >= records));
    });
}

/// Polls that find nothing, of one partition and of a hundred.
fn poll(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("poll/nothing-new");
    for partitions in [1, 100] {
        let bench = LazyCell::new(|| Bench::new(TopicConfig::default().partitions(partitions)));
        group.bench_function(format!("partitions-{partitions}"), |bencher| {
            let mut consumer = bench.broker.consumer().build().expect("valid settings");
            consumer.subscribe([TOPIC]).expect("it is there");
            bencher.iter(|| consumer.poll(Duration::ZERO).expect("it is whole"));
        });
    }
}

fn filled(bytes: usize, records: usize) -> Bench {
    let bench = Bench::new(TopicConfig::default());
    let values = events::events(bytes);
    let producer = bench.broker.producer().build().expect("valid settings");
    for value in values.iter().cycle().take(records) {
        producer
            .send(Record::to(TOPIC).value(value))
            .expect("the disk has room");
    }
    producer.flush().expect("the disk has room");
    bench
}

fn read_all(mut reader: Reader) -> usize {
    let mut count = 0;
    while let Some(record) = reader.next().expect("it is whole") {
        black_box(record.value());
        count += 1;
    }
    count
}

fn poll_all(broker: &Broker, max_poll_records: usize) -> usize {
    let consumer = broker
        .consumer()
        .auto_offset_reset(Position::Earliest)
        .max_poll_records(max_poll_records)
        .build();
    let mut consumer = consumer.expect("valid settings");
    consumer.subscribe([TOPIC]).expect("it is there");
    let mut count = 0;
    loop {
        let records = consumer.poll(Duration::ZERO).expect("it is whole");
        if records.is_empty() {
            return count;
        }
        for record in &records {
            black_box(record.value());
            count += 1;
        }
    }
}

/// Round trips between two threads over two partitions: each is two appends of 100 B and two
/// wake-ups, so the time from an append to its reader is half of it. `parked` sleeps until it is
/// woken, `spinning` looks again and again (`busy_poll`).
fn tail(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tail/round-trip");
    group.throughput(Throughput::Elements(2));
    for (name, busy) in [
        ("parked", Duration::ZERO),
        ("spinning", Duration::from_secs(1)),
    ] {
        let bench = LazyCell::new(|| Bench::new(TopicConfig::default().partitions(2)));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let (here, there) = (bench.partition(0), bench.partition(1));
                let mut answers = follow(&bench.broker, 1, busy);
                let mut questions = follow(&bench.broker, 0, busy);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        for _ in 0..times {
                            next(&mut questions);
                            there.append(&[Record::value_only(&MESSAGE)]).expect("room");
                        }
                    });
                    let start = Instant::now();
                    for _ in 0..times {
                        here.append(&[Record::value_only(&MESSAGE)]).expect("room");
                        next(&mut answers);
                    }
                    start.elapsed()
                })
            });
        });
    }
}

const MESSAGE: [u8; 100] = [b'm'; 100];

/// A consumer at the end of one partition.
fn follow(broker: &Broker, partition: u32, busy: Duration) -> Consumer {
    let consumer = broker
        .consumer()
        .busy_poll(busy)
        .max_poll_records(1)
        .build();
    let mut consumer = consumer.expect("valid settings");
    let partition = streamlog::TopicPartition::new(TOPIC, partition);
    consumer
        .assign(std::slice::from_ref(&partition))
        .expect("it is there");
    consumer
        .seek(&partition, Position::Latest)
        .expect("it is assigned");
    consumer
}

fn next(consumer: &mut Consumer) {
    while consumer
        .poll(Duration::from_secs(10))
        .expect("it is open")
        .is_empty()
    {}
}

/// `Broker::open`. Clean: after an orderly close, nothing is scanned. Killed: 64 MiB were never
/// synced, and are all checked and synced; the files were copied a moment ago, so they are in memory.
fn recovery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10);
    let test = std::env::args().any(|argument| argument == "--test");
    let large = if test { ("64MiB", 64) } else { ("1GiB", 1024) };
    for (name, mebibytes) in [("64MiB", 64), large] {
        let directory = LazyCell::new(|| {
            let directory = directory();
            write_log(&open(directory.path()), mebibytes);
            directory
        });
        group.bench_function(format!("clean/{name}"), |bencher| {
            bencher.iter_custom(|times| {
                let opens = (0..times).map(|_| {
                    let start = Instant::now();
                    let broker = open(directory.path());
                    let taken = start.elapsed();
                    broker.close().expect("the disk has room");
                    taken
                });
                opens.sum()
            });
        });
        if test {
            break;
        }
    }
    let unsynced = LazyCell::new(|| {
        let directory = directory();
        let broker = open(directory.path());
        write_log(&broker, 64);
        (directory, broker)
    });
    group.bench_function("killed/64MiB-unsynced", |bencher| {
        bencher.iter_custom(|times| {
            let opens = (0..times).map(|_| {
                let killed = support::directory();
                copy(unsynced.0.path(), killed.path()).expect("the disk has room");
                let start = Instant::now();
                let broker = open(killed.path());
                let taken = start.elapsed();
                assert!(broker.recovery_report().is_clean());
                taken
            });
            opens.sum()
        });
    });
}

fn open(path: &std::path::Path) -> Broker {
    let broker = Broker::open(path).expect("the directory opens");
    if broker.topic(TOPIC).is_err() {
        let config = TopicConfig::default()
            .segment_bytes(256 << 20)
            .flush_ms(None);
        broker.create_topic(TOPIC, config).expect("it is new");
    }
    broker
}

fn write_log(broker: &Broker, mebibytes: usize) {
    let values = events::events(1024);
    let producer = broker.producer().build().expect("valid settings");
    for value in values.iter().cycle().take(mebibytes << 10) {
        producer
            .send(Record::to(TOPIC).value(value))
            .expect("the disk has room");
    }
    producer.flush().expect("the disk has room");
}
