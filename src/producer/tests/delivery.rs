use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::*;
use crate::config::Durability;
use crate::producer::Delivery;
use crate::sim::Operation;

/// Runs a future on this thread, which is parked while it is pending.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_delivery_is_a_handle_that_any_thread_may_hold() {
    fn assert_send_and_static<T: Send + Sync + Unpin + 'static>() {}
    assert_send_and_static::<Delivery>();
    assert_send_and_static::<Producer>();
}

#[test]
fn waiting_ends_the_linger_of_the_batch_and_of_no_later_one() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let sent: Vec<_> = ["a", "b", "c"]
        .map(|value| send(&producer, value).unwrap())
        .into();
    let offsets: Vec<_> = sent
        .into_iter()
        .map(|delivery| delivery.wait().unwrap().offset())
        .collect();
    assert_eq!(offsets, [0, 1, 2]);
    let open = send(&producer, "d").unwrap();
    let stale = send(&producer, "e").unwrap();
    assert_eq!(fixture.end(0), 3);
    assert_eq!(stale.wait().unwrap().offset(), 4);
    let next = send(&producer, "f").unwrap();
    assert_eq!(open.wait().unwrap().offset(), 3);
    assert_eq!(fixture.end(0), 5, "the batch of `f` goes on lingering");
    drop(next);
}

#[test]
fn metadata_names_the_place_of_the_record() {
    let fixture = Fixture::new(3);
    let producer = fixture.producer();
    let delivery = producer
        .send(Record::to("t").key("alice").value("v").timestamp(9))
        .unwrap();
    let metadata = delivery.wait().unwrap();
    // murmur2("alice") % 3
    assert_eq!((metadata.topic(), metadata.partition()), ("t", 0));
    assert_eq!((metadata.offset(), metadata.timestamp()), (0, 9));
}

#[test]
fn a_delivery_is_a_future_too_and_may_be_polled_after_it_was_ready() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let mut delivery = send(&producer, "a").unwrap();
    assert_eq!(block_on(&mut delivery).unwrap().offset(), 0);
    assert_eq!(block_on(&mut delivery).unwrap().offset(), 0);
    let later = block_on(async { send(&producer, "b")?.await }).unwrap();
    assert_eq!(later.offset(), 1);
}

#[test]
fn synced_futures_are_ready_once_the_record_is_on_the_device() {
    let broker = Broker::in_memory();
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    let producer = broker
        .producer()
        .durability(Durability::Synced)
        .build()
        .unwrap();
    for offset in 0..20 {
        let metadata = block_on(send(&producer, "a").unwrap()).unwrap();
        assert_eq!(metadata.offset(), offset);
        assert!(topic.partition(0).unwrap().durable_end() > offset);
    }
}

#[test]
fn synced_waits_for_the_device_and_written_does_not() {
    let fixture = Fixture::new(1);
    let durable_end = || {
        fixture
            .broker
            .topic("t")
            .unwrap()
            .partition(0)
            .unwrap()
            .durable_end()
    };
    let written = fixture.producer();
    send(&written, "a").unwrap().wait().unwrap();
    assert_eq!(durable_end(), 0);
    let synced = fixture.build(|builder| builder.durability(Durability::Synced));
    let delivery = send(&synced, "b").unwrap();
    assert_eq!(durable_end(), 0);
    delivery.wait().unwrap();
    assert_eq!(durable_end(), 2);
    block_on(send(&synced, "c").unwrap()).unwrap();
    assert_eq!(durable_end(), 3);
}

#[test]
fn a_topic_that_demands_synced_gets_it_from_every_producer() {
    let fixture = Fixture::with(TopicConfig::default().durability(Durability::Synced));
    let producer = fixture.producer();
    send(&producer, "a").unwrap().wait().unwrap();
    assert_eq!(
        fixture
            .broker
            .topic("t")
            .unwrap()
            .partition(0)
            .unwrap()
            .durable_end(),
        1
    );
    assert_eq!(fixture.end(0), 1);
}

#[test]
fn records_of_one_batch_share_one_sync() {
    let fixture = Fixture::new(1);
    let producer = fixture.build(|builder| builder.durability(Durability::Synced));
    send(&producer, "warm").unwrap().wait().unwrap();
    let before = fixture.disk.count(Operation::Sync);
    let sent: Vec<_> = (0..100).map(|_| send(&producer, "a").unwrap()).collect();
    for delivery in sent {
        delivery.wait().unwrap();
    }
    assert_eq!(fixture.disk.count(Operation::Sync) - before, 1);
}

#[test]
fn synced_records_that_nobody_waits_for_are_acknowledged_soon() {
    let broker = Broker::in_memory();
    let config = TopicConfig::default().flush_ms(None);
    let topic = broker.create_topic("t", config).unwrap();
    let producer = broker
        .producer()
        .durability(Durability::Synced)
        .build()
        .unwrap();
    let delivery = send(&producer, "a").unwrap();
    let partition = topic.partition(0).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !delivery.is_done() {
        assert!(
            std::time::Instant::now() < deadline,
            "no sync came by itself"
        );
        thread::yield_now();
    }
    assert_eq!(partition.durable_end(), 1);
}

#[test]
fn flush_acknowledges_all_sends_before_it() {
    let fixture = Fixture::new(3);
    let producer = fixture.build(|builder| builder.durability(Durability::Synced));
    let sent: Vec<_> = (0..3)
        .map(|partition| producer.send(Record::to("t").partition(partition)).unwrap())
        .collect();
    producer.flush().unwrap();
    assert!(sent.iter().all(Delivery::is_done));
    producer.flush().unwrap();
}

#[test]
fn the_last_handle_flushes_and_no_other_does() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let clone = producer.clone();
    let delivery = send(&producer, "a").unwrap();
    drop(producer);
    assert_eq!(fixture.end(0), 0);
    drop(clone);
    assert_eq!(fixture.end(0), 1);
    assert_eq!(
        delivery.wait().unwrap().offset(),
        0,
        "it outlives the producer"
    );
}

#[test]
fn close_flushes_and_clones_go_on() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let clone = producer.clone();
    send(&producer, "a").unwrap();
    producer.close().unwrap();
    assert_eq!(fixture.end(0), 1);
    send(&clone, "b").unwrap();
    clone.close().unwrap();
    assert_eq!(fixture.end(0), 2);
}

#[test]
fn without_linger_a_sync_that_nobody_waits_for_comes_a_little_later() {
    let fixture = Fixture::new(1);
    let producer = fixture.build(|builder| {
        builder
            .durability(Durability::Synced)
            .linger(Duration::ZERO)
    });
    let first = send(&producer, "a").unwrap();
    let second = send(&producer, "b").unwrap();
    fixture.pass(Duration::ZERO);
    assert!(!first.is_done());
    fixture.pass(Duration::from_millis(1));
    assert!(first.is_done() && second.is_done());
    send(&producer, "c").unwrap().wait().unwrap();
    let syncs = fixture.disk.count(Operation::Sync);
    fixture.pass(Duration::from_millis(1));
    assert_eq!(
        fixture.disk.count(Operation::Sync),
        syncs,
        "`c` was waited for"
    );
}

#[test]
fn full_synced_batches_are_acknowledged_though_more_and_more_follow() {
    let fixture = Fixture::new(1);
    let producer = fixture.build(|builder| builder.durability(Durability::Synced).batch_size(0));
    let first = send(&producer, "a").unwrap();
    for _ in 0..4 {
        fixture.pass(Duration::from_millis(1));
        send(&producer, "b").unwrap();
        assert!(!first.is_done());
    }
    fixture.pass(Duration::from_millis(1));
    assert!(first.is_done());
}
