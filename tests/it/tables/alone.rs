//! One thread does it all, in turn: a seed repeats its case exactly.

use std::collections::BTreeMap;
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{Broker, Compression, Producer, TopicConfig};

use super::flips::check_flip;
use super::follower::{Follower, scan};
use super::member::{Committed, Member};
use super::world::{Entry, START, Settings, World, config};
use super::{Check, require};
use crate::random::Random;

/// What is done.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Stands first: without it, nothing is done.
    Begin(Box<Settings>),
    Append(u64, Vec<Entry>),
    /// By one of two producers.
    Send(usize, Vec<Entry>),
    NewProducer(usize, Compression, usize),
    Advance(u64),
    KeepHouse,
    DeleteRecords(u64, u64),
    Alter(Box<TopicConfig>),
    Reopen {
        kill: bool,
    },
    /// Scans all partitions.
    Scan,
    /// A jump of the reader that jumps: partition, offset in per mille.
    Jump(u64, u64),
    /// The same by time, in per mille of the time that went by.
    JumpToTime(u64, u64),
    /// Reads so many records with each of those that stay.
    Read(usize),
    Poll,
    Commit,
    /// Flips a bit of a copy that this chooses.
    Flip(u64),
}

pub fn operations(seed: u64) -> Vec<Operation> {
    let mut random = Random::new(seed);
    let mut operations = vec![Operation::Begin(Box::new(Settings::random(&mut random)))];
    let count = random.between(20, 150);
    operations.extend((0..count).map(|_| Operation::random(&mut random)));
    operations.extend([Operation::KeepHouse, Operation::Scan]);
    operations.extend((0..3).map(|_| Operation::Flip(random.number())));
    operations
}

impl Operation {
    fn random(random: &mut Random) -> Self {
        let entries = |random: &mut Random| -> Vec<_> {
            let count = *random.pick(&[1, 2, 8]);
            (0..count).map(|_| Entry::random(random)).collect()
        };
        match random.below(100) {
            0..25 => Self::Append(random.below(3), entries(random)),
            25..40 => Self::Send(random.index(2), entries(random)),
            40..43 => {
                let codec = *random.pick(&[
                    Compression::None,
                    Compression::Gzip,
                    Compression::Snappy,
                    Compression::Lz4,
                    Compression::Zstd,
                ]);
                Self::NewProducer(random.index(2), codec, *random.pick(&[1, 200, 600]))
            }
            43..53 => Self::Advance(*random.pick(&[1, 40, 120, 2_000, 20_000, 100_000])),
            53..68 => Self::KeepHouse,
            68..70 => Self::DeleteRecords(random.below(3), random.below(600)),
            70..74 => Self::Alter(Box::new(config(random))),
            74..77 => Self::Reopen {
                kill: random.one_in(2),
            },
            77..83 => Self::Scan,
            83..86 => Self::Jump(random.below(3), random.below(1_001)),
            86..89 => Self::JumpToTime(random.below(3), random.below(1_001)),
            89..94 => Self::Read(random.index(30)),
            94..98 => Self::Poll,
            _ => Self::Commit,
        }
    }
}

/// Runs one case in a world of its own.
pub fn run(operations: &[Operation]) -> Check {
    let Some(Operation::Begin(settings)) = operations.first() else {
        return Ok(());
    };
    let mut case = Case::new(settings)?;
    for (index, operation) in operations.iter().enumerate() {
        case = case
            .perform(operation)
            .map_err(|wrong| format!("operation {index}: {wrong}"))?;
    }
    case.finish()
}

struct Case {
    settings: Settings,
    disk: SimDisk,
    producers: [Option<Producer>; 2],
    committed: Committed,
    readers: Option<Readers>,
    world: World,
}

/// Those that stay where they are between two operations.
struct Readers {
    member: Member,
    /// At the end of each partition.
    tails: Vec<Follower>,
    /// Somewhere in each.
    jumpers: Vec<Follower>,
}

impl Readers {
    fn new(world: &World, committed: &Committed) -> Result<Self, String> {
        let each = |new: fn(&streamlog::Partition) -> Result<Follower, String>| {
            let readers = world.books.iter().map(|book| new(&book.partition));
            readers.collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            member: Member::new(world, committed)?,
            tails: each(|partition| Follower::new(partition, partition.high_watermark()))?,
            jumpers: each(Follower::earliest)?,
        })
    }
}

impl Case {
    fn new(settings: &Settings) -> Result<Self, String> {
        let disk = SimDisk::new();
        let builder = Broker::builder("data")
            .storage(disk.clone())
            .background(false);
        let world = World::new(builder, settings, 0)?;
        let committed = BTreeMap::new();
        Ok(Self {
            settings: settings.clone(),
            disk,
            producers: [None, None],
            readers: Some(Readers::new(&world, &committed)?),
            committed,
            world,
        })
    }

    fn perform(mut self, operation: &Operation) -> Result<Self, String> {
        use Operation as Do;
        match operation {
            Do::Begin(_) => {}
            Do::Append(partition, entries) => self.world.append(*partition, entries)?,
            Do::Send(which, entries) => self.send(*which, entries)?,
            Do::NewProducer(which, codec, batch_size) => {
                self.producers[*which] = Some(self.world.producer(*codec, *batch_size)?);
            }
            Do::Advance(millis) => self.world.clock.advance(Duration::from_millis(*millis)),
            Do::KeepHouse => self.world.keep_house()?,
            Do::DeleteRecords(partition, at) => self.world.delete_records(*partition, *at)?,
            Do::Alter(config) => self.world.alter(config)?,
            Do::Reopen { kill } => return self.reopen(*kill),
            Do::Scan => self.scan()?,
            Do::Flip(seed) => check_flip(&self.world, &self.disk, &mut Random::new(*seed))?,
            other => self.read(other)?,
        }
        Ok(self)
    }

    fn send(&mut self, which: usize, entries: &[Entry]) -> Check {
        if self.producers[which].is_none() {
            self.producers[which] = Some(self.world.producer(Compression::None, 300)?);
        }
        match &self.producers[which] {
            Some(producer) => self.world.send(producer, entries),
            None => Ok(()),
        }
    }

    fn scan(&self) -> Check {
        let mut books = self.world.books.iter();
        books.try_for_each(|book| scan(&book.partition, book, true))
    }

    fn read(&mut self, operation: &Operation) -> Check {
        let (world, Some(readers)) = (&self.world, &mut self.readers) else {
            return Ok(());
        };
        let at = |partition: u64| usize::try_from(partition).unwrap() % world.books.len();
        match *operation {
            Operation::Jump(partition, per_mille) => {
                let book = &world.books[at(partition)];
                let end = book.partition.high_watermark();
                readers.jumpers[at(partition)].seek(end * per_mille / 1000)
            }
            Operation::JumpToTime(partition, per_mille) => {
                let book = &world.books[at(partition)];
                let gone = streamlog::Clock::wall(&world.clock) - START;
                let time = START + gone * i64::try_from(per_mille).unwrap() / 1000;
                readers.jumpers[at(partition)].seek_time(time, book)
            }
            Operation::Read(most) => {
                let followers = readers.tails.iter_mut().zip(&world.books);
                let followers = followers.chain(readers.jumpers.iter_mut().zip(&world.books));
                for (follower, book) in followers {
                    follower.read(most, book, |_, _| {})?;
                }
                Ok(())
            }
            Operation::Poll => readers.member.poll(world).map(|_| ()),
            Operation::Commit => readers.member.commit(world, &mut self.committed),
            _ => Ok(()),
        }
    }

    fn reopen(self, kill: bool) -> Result<Self, String> {
        let Self {
            settings,
            mut disk,
            committed,
            world,
            ..
        } = self;
        // Producers and readers end with the broker.
        let world = world.reopen(&mut disk, kill, &settings)?;
        Ok(Self {
            disk,
            producers: [None, None],
            readers: Some(Readers::new(&world, &committed)?),
            committed,
            settings,
            world,
        })
    }

    fn finish(mut self) -> Check {
        self.scan()?;
        if let Some(readers) = &mut self.readers {
            readers.member.drain(&self.world)?;
        }
        for kill in [true, false] {
            self = self.reopen(kill)?;
            self.scan()?;
            let report = self
                .world
                .broker
                .verify()
                .map_err(|error| error.to_string())?;
            require!(report.is_clean(), "{report}");
        }
        Ok(())
    }
}
