//! Everybody at once: writers, readers, the broker's own threads, one that keeps house, and one that changes
//! things and looks at what a kill would leave.
//!
//! Who writes holds the lock of the history until it is noted; readers take it after they were shown
//! something. Time only goes on, so what was allowed to be gone when they were shown it is allowed then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use streamlog::sim::SimDisk;
use streamlog::{Broker, Clock, Compression};

use super::follower::{Follower, WithHistory, said, scan};
use super::member::{Committed, Member};
use super::world::{Entry, START, Settings, World, config};
use super::{Check, require};
use crate::random::{Random, from_environment, seed_from_clock};

#[test]
fn readers_are_right_while_logs_are_compacted_and_shortened() {
    let seed = from_environment("STREAMLOG_SEED", seed_from_clock());
    let rounds = from_environment("STREAMLOG_TABLE_ROUNDS", 10);
    println!("STREAMLOG_SEED={seed}, {rounds} rounds (STREAMLOG_TABLE_ROUNDS)");
    for round in 0..rounds {
        let outcome = run(Random::new(seed.wrapping_add(round)));
        outcome.unwrap_or_else(|wrong| panic!("STREAMLOG_SEED={seed}, round {round}: {wrong}"));
    }
}

/// How long a round takes. A seed repeats its settings; what happens at once depends on the machine.
const ROUND: Duration = Duration::from_secs(1);

/// More milliseconds than the clock goes on while a pass is at work, where it does.
const SLACK: i64 = 600_000;

/// So much is written at most, spread over the round: what was written is kept, and compared again and again.
const MOST_RECORDS: u64 = 20_000;

/// The same for each key that a pass has memory for: with little, a log takes as many passes as it has records.
const MOST_RECORDS_BY_KEY: u64 = 300;

struct Round {
    world: World,
    disk: SimDisk,
    settings: Settings,
    /// The clock stands still while a pass is at work, and there is no other than the one of who keeps house:
    /// so it is known to the millisecond when a tombstone may go.
    is_calm: bool,
    began: Instant,
    over: AtomicBool,
    failure: Mutex<Option<String>>,
}

fn run(mut random: Random) -> Check {
    let settings = Settings::random(&mut random);
    let is_calm = random.one_in(2);
    let disk = SimDisk::without_syncs();
    let builder = Broker::builder("data").storage(disk.clone());
    let slack = if is_calm { 0 } else { SLACK };
    let round = Round {
        world: World::new(builder.background(!is_calm), &settings, slack)?,
        disk,
        settings,
        is_calm,
        began: Instant::now(),
        over: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    let mut committed = Committed::new();
    std::thread::scope(|scope| {
        let mut spawn = |work: fn(&Round, Random) -> Check| {
            let (round, random) = (&round, Random::new(random.number()));
            scope.spawn(move || round.note(|| work(round, random)));
        };
        spawn(append);
        spawn(send);
        spawn(keep_house);
        spawn(scan_on_and_on);
        spawn(tail);
        spawn(jump);
        spawn(examine);
        let (round, committed) = (&round, &mut committed);
        scope.spawn(move || round.note(|| consume(round, committed)));
        round.note(|| change(round, Random::new(random.number())));
        round.over.store(true, Ordering::Release);
    });
    round.finish(&committed)
}

/// Ends the round, also if the thread panics: the others would go on for good.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}

impl Round {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn note(&self, work: impl FnOnce() -> Check) {
        let _ending = Ending(&self.over);
        if let Err(wrong) = work() {
            self.failure.lock().unwrap().get_or_insert(wrong);
            self.over.store(true, Ordering::Release);
        }
    }

    fn advance(&self, random: &mut Random) {
        let millis = *random.pick(&[1, 1, 10, 500]);
        self.world.clock.advance(Duration::from_millis(millis));
    }

    /// True if more is to be written; waits until it is.
    fn goes_on(&self) -> bool {
        let keys = self.settings.dedupe_bytes as u64 / 24;
        let most = MOST_RECORDS.min(keys * MOST_RECORDS_BY_KEY);
        while !self.is_over() {
            let books = self.world.books.iter();
            let ends = books.map(|book| book.partition.high_watermark());
            let millis = self.began.elapsed().min(ROUND).as_millis();
            if u128::from(ends.sum::<u64>()) * ROUND.as_millis() <= u128::from(most) * millis {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }
}

fn entries(random: &mut Random) -> Vec<Entry> {
    (0..random.between(1, 8))
        .map(|_| Entry::random(random))
        .collect()
}

fn append(round: &Round, mut random: Random) -> Check {
    while round.goes_on() {
        round
            .world
            .append(random.number() % 3, &entries(&mut random))?;
        std::thread::yield_now();
    }
    Ok(())
}

fn send(round: &Round, mut random: Random) -> Check {
    let codecs = [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let mut producer = round.world.producer(Compression::None, 300)?;
    while round.goes_on() {
        if random.one_in(50) {
            producer = round.world.producer(*random.pick(&codecs), 600)?;
        }
        round.world.send(&producer, &entries(&mut random))?;
        std::thread::yield_now();
    }
    Ok(())
}

/// More often than the broker does by itself.
fn keep_house(round: &Round, mut random: Random) -> Check {
    while !round.is_over() {
        if round.is_calm {
            round.advance(&mut random);
        }
        said(round.world.broker.run_housekeeping())?;
    }
    Ok(())
}

fn scan_on_and_on(round: &Round, _: Random) -> Check {
    while !round.is_over() {
        for book in &round.world.books {
            scan(&book.partition, book, false).map_err(|wrong| format!("scan: {wrong}"))?;
        }
    }
    Ok(())
}

fn tail(round: &Round, _: Random) -> Check {
    let books = &round.world.books;
    let tails = books.iter().map(|book| Follower::earliest(&book.partition));
    let mut tails = tails.collect::<Result<Vec<_>, _>>()?;
    loop {
        // Once more after the end, to be at the end.
        let is_last = round.is_over();
        for (tail, book) in tails.iter_mut().zip(books) {
            while !tail.read(100, book, |_, _| {})? {}
        }
        if is_last {
            return Ok(());
        }
        std::thread::yield_now();
    }
}

fn jump(round: &Round, mut random: Random) -> Check {
    let world = &round.world;
    while !round.is_over() {
        let book = world.book(random.below(3));
        let mut jumper = Follower::earliest(&book.partition)?;
        if random.one_in(2) {
            jumper.seek(random.below(book.partition.high_watermark() + 1))?;
        } else {
            let gone = u64::try_from(world.clock.wall() - START).unwrap();
            let time = START + i64::try_from(random.below(gone + 2)).unwrap();
            jumper
                .seek_time(time, book)
                .map_err(|wrong| format!("jump to {time}: {wrong}"))?;
        }
        jumper
            .read(random.index(100), book, |_, _| {})
            .map_err(|wrong| format!("jump: {wrong}"))?;
    }
    Ok(())
}

/// What looks at files by itself finds nothing wrong with them.
fn examine(round: &Round, mut random: Random) -> Check {
    let world = &round.world;
    while !round.is_over() {
        let report = said(world.broker.verify())?;
        require!(report.is_clean(), "beside the others: {report}");
        let book = world.book(random.below(3));
        let found = said(book.partition.offset_of_max_timestamp())?;
        book.history(|history, _| {
            let written = found.map(|it| (it, history.written(it.offset)));
            require!(
                written.is_none_or(|(it, there)| {
                    there.is_some_and(|there| there.timestamp == it.timestamp)
                }),
                "the largest timestamp: {written:?}"
            );
            Ok(())
        })?;
    }
    Ok(())
}

fn consume(round: &Round, committed: &mut Committed) -> Check {
    let mut member = Member::new(&round.world, committed)?;
    while !round.is_over() {
        member.poll(&round.world)?;
        member.commit(&round.world, committed)?;
    }
    member.drain(&round.world)?;
    member.commit(&round.world, committed)
}

/// Changes the configuration, deletes records, opens copies of the disk, and moves the clock.
fn change(round: &Round, mut random: Random) -> Check {
    let end = Instant::now() + ROUND;
    let world = &round.world;
    while Instant::now() < end && !round.is_over() {
        match random.below(200) {
            0 => world.alter(&config(&mut random))?,
            1..5 => world.delete_records(random.below(3), random.below(300))?,
            5..10 => open_copy(round).map_err(|wrong| format!("after a kill: {wrong}"))?,
            _ if !round.is_calm => round.advance(&mut random),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// What a kill at this moment would leave: everything that was noted before is there, and what was seen to
/// be gone stays gone.
fn open_copy(round: &Round) -> Check {
    let books = round.world.books.iter();
    let bounds: Vec<_> = books
        .map(|book| book.history(|it, _| (it.start, it.end())))
        .collect();
    let disk = round.disk.duplicate();
    let builder = Broker::builder("data").storage(disk).background(false);
    let builder = builder.clock(round.world.clock.clone());
    let builder = builder.cleaner_dedupe_buffer_bytes(round.settings.dedupe_bytes);
    let broker = said(builder.open())?;
    let topic = said(broker.topic(super::world::TOPIC))?;
    require!(
        !broker.recovery_report().has_damage(),
        "{:?}",
        broker.recovery_report()
    );
    for when in ["opened", "compacted"] {
        let books = round.world.books.iter().zip(topic.partitions());
        for ((book, partition), (start, end)) in books.zip(&bounds) {
            let found = partition.log_start_offset()..partition.high_watermark();
            require!(
                found.start >= *start && found.end >= *end,
                "{when}: it is {found:?}, was {start}..{end}"
            );
            let mut reader = Follower::earliest(&partition)?;
            while !reader
                .read(1_000, book, |_, _| {})
                .map_err(|it| format!("{when}: {it}"))?
            {}
        }
        let report = said(broker.verify())?;
        require!(!report.has_damage(), "{when}: {report}");
        said(broker.run_housekeeping())?;
    }
    Ok(())
}

impl Round {
    /// When all is over, the tables are right, and they are when they are opened again.
    fn finish(self, committed: &Committed) -> Check {
        if let Some(failure) = self.failure.into_inner().unwrap() {
            return Err(failure);
        }
        for book in &self.world.books {
            // The broker's own threads may be at work still.
            scan(&book.partition, book, false)?;
        }
        let report = said(self.world.broker.verify())?;
        require!(report.is_clean(), "{report}");
        let (mut disk, settings) = (self.disk, self.settings);
        let world = self.world.reopen(&mut disk, false, &settings)?;
        for book in &world.books {
            scan(&book.partition, book, true)?;
        }
        Member::new(&world, committed).map(|_| ())
    }
}
