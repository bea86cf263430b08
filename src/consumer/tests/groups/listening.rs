//! What a rebalance listener is told, and what it may do.

use super::*;

#[test]
fn the_listener_is_told_of_what_comes_and_goes_and_may_commit() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..5);
    append(&broker, "t", 1, 0..5);
    let mut first = join(&broker, "t");
    let log = Log {
        commits: true,
        ..Log::default()
    };
    first.on_rebalance(log.clone());
    assert_eq!(look(&mut first).len(), 10);
    assert_eq!(
        log.take(),
        ["assigned t-0 t-1"],
        "also of what it had before"
    );
    let mut second = join(&broker, "t");
    settle(&mut [&mut first, &mut second]);
    let moved = second.assignment()[0].clone();
    assert_eq!(log.take(), [format!("revoked {moved}")]);
    assert_eq!(second.committed(&moved).unwrap(), Some(5));
    let kept = first.assignment()[0].clone();
    first.close().unwrap();
    assert_eq!(log.take(), [format!("revoked {kept}")]);
    look(&mut second);
    assert_eq!(numbers(&second), [0, 1]);
    second.on_rebalance(log.clone());
    drop(second);
    assert_eq!(log.take(), Vec::<String>::new(), "a drop is not orderly");
}

#[test]
fn what_a_listener_fails_with_comes_out_of_poll_and_stops_nothing() {
    let broker = broker_with("t", 2);
    let mut first = join(&broker, "t");
    let log = Log::default();
    first.on_rebalance(log.clone());
    look(&mut first);
    log.fails.store(true, Ordering::Relaxed);
    let mut second = join(&broker, "t");
    let failed = first.poll(Duration::ZERO);
    assert!(matches!(
        failed,
        Err(Error::IllegalState("the listener's own"))
    ));
    look(&mut second);
    assert_eq!((numbers(&first).len(), numbers(&second).len()), (1, 1));
}

#[test]
fn a_seek_when_assigned_is_where_reading_starts() {
    struct Seek;
    impl RebalanceListener for Seek {
        fn assigned(&mut self, consumer: &mut Consumer, parts: &[TopicPartition]) -> Result<()> {
            let mut parts = parts.iter();
            parts.try_for_each(|partition| consumer.seek(partition, Position::Offset(3)))
        }
    }
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..5);
    let mut consumer = join(&broker, "t");
    consumer.on_rebalance(Seek);
    assert_eq!(values(&look(&mut consumer)), [3, 4]);
}

#[test]
fn a_listener_that_panics_leaves_a_consumer_that_works() {
    struct Panics;
    impl RebalanceListener for Panics {
        fn assigned(&mut self, _: &mut Consumer, _: &[TopicPartition]) -> Result<()> {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
    let clock = ManualClock::new(0);
    let broker = broker_on(&clock, 1);
    append(&broker, "t", 0, 0..5);
    let mut consumer = join(&broker, "t");
    consumer.on_rebalance(Panics);
    let poll = std::panic::AssertUnwindSafe(|| consumer.poll(Duration::ZERO).map(|_| ()));
    assert!(std::panic::catch_unwind(poll).is_err());
    clock.advance(INTERVAL);
    broker.run_housekeeping().unwrap();
    assert!(
        matches!(consumer.commit(), Err(Error::Fenced { .. })),
        "it was late"
    );
    consumer.on_rebalance(Log::default());
    assert_eq!(look(&mut consumer).len(), 5);
}
