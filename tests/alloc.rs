//! Goal: in the steady state, writing and reading allocate nothing per record. Method: a global allocator that
//! counts the allocations of this thread, brokers without a background thread, and a warm-up.

#![allow(unsafe_code, reason = "a global allocator cannot be written without")]
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use streamlog::{
    Broker, Consumer, Delivery, Durability, Position, Producer, Record, RoundRobinPartitioner,
    TopicConfig,
};

struct Counting;

thread_local! {
    /// Const-initialised and without a destructor: touching it allocates nothing.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the system's demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Records per measurement: some hundred batches of the default size.
const RECORDS: usize = 100_000;
/// What the log may allocate for that many: its index grows by doubling, and a waypoint, which a sync
/// leaves every 16 MiB, takes some forty.
const PER_MEASUREMENT: u64 = 60;

const PAYLOAD: [u8; 100] = [b'x'; 100];

struct Setup {
    _dir: tempfile::TempDir,
    broker: Broker,
}

fn setup(partitions: u32) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path())
        .background(false)
        .open()
        .unwrap();
    broker
        .create_topic("clicks", TopicConfig::default().partitions(partitions))
        .unwrap();
    Setup { _dir: dir, broker }
}

/// Runs `send` often enough to warm up everything, and again to count.
fn assert_allocation_free(what: &str, mut send: impl FnMut(usize)) {
    (0..RECORDS).for_each(&mut send);
    let allocated = allocations(|| (0..RECORDS).for_each(&mut send));
    assert!(
        allocated <= PER_MEASUREMENT,
        "{what}: {allocated} allocations for {RECORDS} records"
    );
}

fn send(producer: &Producer, record: Record<'_>) -> Delivery {
    producer.send(record).unwrap()
}

const KEYS: [&str; 4] = ["alice", "bob", "carol", "a-little-bit-longer-string"];

fn keyed(i: usize) -> Record<'static> {
    Record::to("clicks")
        .key(KEYS[i % KEYS.len()])
        .value(&PAYLOAD)
}

#[test]
fn sending_with_deliveries_dropped_allocates_nothing() {
    let setup = setup(3);
    let producer = setup.broker.producer().build().unwrap();
    assert_allocation_free("keyed", |i| drop(send(&producer, keyed(i))));
    assert_allocation_free("keyless", |_| {
        drop(send(&producer, Record::to("clicks").value(&PAYLOAD)));
    });
    assert_allocation_free("with headers", |i| {
        let record = keyed(i)
            .header("source", "web")
            .header("trace", &[7; 16])
            .null_header("none");
        drop(send(&producer, record));
    });
}

#[test]
fn sending_in_turn_allocates_nothing() {
    let setup = setup(3);
    let partitioner = RoundRobinPartitioner::default();
    let producer = setup
        .broker
        .producer()
        .partitioner(partitioner)
        .build()
        .unwrap();
    assert_allocation_free("round robin", |i| drop(send(&producer, keyed(i))));
}

#[test]
fn waiting_for_each_record_allocates_nothing() {
    let setup = setup(1);
    let producer = setup.broker.producer().build().unwrap();
    assert_allocation_free("waited for", |i| {
        drop(send(&producer, keyed(i)).wait().unwrap());
    });
    let producer = setup
        .broker
        .producer()
        .linger(Duration::ZERO)
        .build()
        .unwrap();
    assert_allocation_free("without linger", |i| drop(send(&producer, keyed(i))));
}

#[test]
fn a_window_of_unacknowledged_records_allocates_nothing() {
    const WINDOW: usize = 10_000;
    let setup = setup(1);
    let producer = setup
        .broker
        .producer()
        .durability(Durability::Synced)
        .build()
        .unwrap();
    let mut window = VecDeque::with_capacity(WINDOW);
    assert_allocation_free("a window", |i| {
        if window.len() == WINDOW {
            drop(window.pop_front().map(Delivery::wait));
        }
        window.push_back(send(&producer, keyed(i)));
    });
}

#[test]
fn appending_to_a_partition_allocates_nothing() {
    let setup = setup(1);
    let partition = setup.broker.topic("clicks").unwrap().partition(0).unwrap();
    let records = [Record::value_only(&PAYLOAD), Record::value_only(&PAYLOAD)];
    assert_allocation_free("append", |_| {
        partition.append(&records).unwrap();
    });
}

/// Polls until `count` records have come.
fn read(consumer: &mut Consumer, count: usize) {
    let mut seen = 0;
    while seen < count {
        let records = consumer.poll(Duration::ZERO).unwrap();
        assert!(!records.is_empty());
        seen += records
            .iter()
            .filter(|record| record.value().is_some())
            .count();
    }
}

#[test]
fn polling_allocates_nothing() {
    let setup = setup(1);
    let partition = setup.broker.topic("clicks").unwrap().partition(0).unwrap();
    for batch in [1, 700] {
        partition
            .append(&vec![Record::value_only(&PAYLOAD); batch])
            .unwrap();
        let consumer = setup.broker.consumer().max_poll_records(500).build();
        let mut consumer = consumer.unwrap();
        consumer.subscribe(["clicks"]).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        let id = partition.id().clone();
        let start = Position::Offset(partition.high_watermark());
        for _ in 0..RECORDS / 700 {
            let records = vec![Record::value_only(&PAYLOAD); batch];
            (0..700 / batch).for_each(|_| assert!(partition.append(&records).is_ok()));
        }
        let records = RECORDS / 700 * 700;
        read(&mut consumer, records);
        consumer.seek(&id, start).unwrap();
        let allocated = allocations(|| {
            read(&mut consumer, records);
            for _ in 0..1_000 {
                assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
            }
        });
        // The seek looks its place up in the index, and one poll shows two maps: where the segment's
        // file ends and its stage begins.
        assert!(
            allocated <= 4,
            "batches of {batch}: {allocated} allocations"
        );
    }
}
