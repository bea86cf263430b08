//! A member that writes its own history.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamlog::{Consumer, Error, Offset, RebalanceListener, Result, TopicPartition};

use super::history::{History, Ownership, Tick};
use crate::random::Random;

/// See the module's description.
pub struct Member {
    consumer: Consumer,
    owned: Arc<Mutex<Owned>>,
}

/// What a member knows to own.
struct Owned {
    member: String,
    history: History,
    partitions: BTreeMap<TopicPartition, Ownership>,
    /// When the call began that is under way: at its begin the member is still one, unless the
    /// call finds out that it is not.
    call: Tick,
    was_replaced: bool,
    /// What it owned when a commit was refused: since it was no member any more, its next call has to tell that
    /// all this is lost.
    must_lose: BTreeSet<TopicPartition>,
}

/// Keeps [`Owned`] in step.
struct Listener {
    owned: Arc<Mutex<Owned>>,
    commits: bool,
}

impl Member {
    pub fn join(mut consumer: Consumer, history: &History, commits_when_revoked: bool) -> Self {
        let owned = Arc::new(Mutex::new(Owned {
            member: String::new(),
            history: history.clone(),
            partitions: BTreeMap::new(),
            call: history.tick(),
            was_replaced: false,
            must_lose: BTreeSet::new(),
        }));
        consumer.on_rebalance(Listener {
            owned: Arc::clone(&owned),
            commits: commits_when_revoked,
        });
        consumer.subscribe_pattern("t-.*").unwrap();
        Self { consumer, owned }
    }

    pub fn id(&self) -> &str {
        self.consumer.member_id().unwrap()
    }

    pub fn poll(&mut self, timeout: Duration) {
        self.begin_call();
        let polled = self.consumer.poll(timeout);
        let mut owned = self.owned.lock().unwrap();
        owned.check_lost();
        let records = match polled {
            Err(Error::Fenced { reason }) => return owned.is_replaced(&reason),
            polled => polled.unwrap(),
        };
        owned.end_call();
        for record in &records {
            let partition = TopicPartition::new(record.topic(), record.partition());
            let ownership = owned.partitions.get_mut(&partition);
            let ownership = ownership.unwrap_or_else(|| panic!("of {partition}, not its own"));
            ownership.seen.push(record.offset());
            ownership.is_proven = true;
        }
    }

    /// True if another member with the same `group.instance.id` has its place.
    pub fn was_replaced(&self) -> bool {
        self.owned.lock().unwrap().was_replaced
    }

    /// It stays out: nothing is delivered to it, and nothing that it commits counts.
    pub fn check_replaced(&mut self) {
        for _ in 0..2 {
            let polled = self.consumer.poll(Duration::ZERO);
            assert!(matches!(polled, Err(Error::Fenced { .. })), "{polled:?}");
            assert!(self.consumer.assignment().is_empty());
            let committed = self.consumer.commit();
            assert!(
                matches!(committed, Err(Error::Fenced { .. })),
                "{committed:?}"
            );
        }
    }

    pub fn commit(&mut self) {
        self.note_commit(None, Consumer::commit);
    }

    pub fn commit_async(&mut self) {
        self.note_commit(None, |consumer| consumer.commit_async()?.wait());
    }

    /// Commits for some partitions, perhaps less than was read.
    pub fn commit_some(&mut self, random: &mut Random) {
        let mut some = Vec::new();
        for (partition, ownership) in &self.owned.lock().unwrap().partitions {
            if let (Some(&first), Some(&last)) = (ownership.seen.first(), ownership.seen.last()) {
                some.push((partition.clone(), random.between(first, last + 1)));
            }
        }
        some.truncate(random.index(some.len() + 1));
        self.note_commit(Some(&some), |consumer| consumer.commit_offsets(&some));
    }

    /// Commits for a partition that is not its own, which is refused.
    pub fn commit_foreign(&mut self, partition: &TopicPartition, offset: Offset) {
        if !self.consumer.assignment().contains(partition) {
            let offsets = [(partition.clone(), offset)];
            let committed = self.consumer.commit_offsets(&offsets);
            assert!(
                matches!(committed, Err(Error::Fenced { .. })),
                "{committed:?}"
            );
        }
    }

    fn note_commit(
        &mut self,
        offsets: Option<&[(TopicPartition, Offset)]>,
        commit: impl FnOnce(&mut Consumer) -> Result<()>,
    ) {
        note_commit(&self.owned, &mut self.consumer, offsets, commit).unwrap();
    }

    pub fn has_read_all(&self, partitions: u32) -> bool {
        let assigned = self.consumer.assignment();
        let mut lags = assigned.iter().map(|id| self.consumer.lag(id).unwrap());
        assigned.len() as u64 == u64::from(partitions) && lags.all(|lag| lag == 0)
    }

    pub fn close(self) {
        self.begin_call();
        self.consumer.close().unwrap();
        self.owned.lock().unwrap().end();
    }

    pub fn unsubscribe(mut self) {
        self.begin_call();
        self.consumer.unsubscribe().unwrap();
        self.owned.lock().unwrap().end();
    }

    pub fn drop(self) {
        self.owned.lock().unwrap().give_up_all();
        drop(self.consumer);
    }

    pub fn panic(self) {
        self.owned.lock().unwrap().give_up_all();
        let consumer = self.consumer;
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _consumer = consumer;
            resume_unwind(Box::new("on purpose"));
        }));
        assert!(panicked.is_err());
    }

    fn begin_call(&self) {
        let mut owned = self.owned.lock().unwrap();
        owned.call = owned.history.tick();
        self.id().clone_into(&mut owned.member);
    }
}

/// Commits, and notes what that proves if it counts.
fn note_commit(
    owned: &Mutex<Owned>,
    consumer: &mut Consumer,
    offsets: Option<&[(TopicPartition, Offset)]>,
    commit: impl FnOnce(&mut Consumer) -> Result<()>,
) -> Result<()> {
    let begin = owned.lock().unwrap().history.tick();
    let committed = commit(consumer);
    let owned = &mut *owned.lock().unwrap();
    match committed {
        Err(Error::Fenced { .. }) => {
            owned.must_lose = owned.partitions.keys().cloned().collect();
            return Ok(());
        }
        other => other?,
    }
    assert!(
        owned.must_lose.is_empty() && !owned.was_replaced,
        "{} commits after it was fenced",
        owned.member
    );
    for (partition, ownership) in &mut owned.partitions {
        let offset = match offsets {
            Some(offsets) => {
                let mut offsets = offsets.iter();
                let named = offsets.find(|(named, _)| named == partition);
                named.map(|(_, offset)| *offset)
            }
            None => ownership.seen.last().map(|last| last + 1),
        };
        if let Some(offset) = offset {
            ownership.commits.push(offset);
            ownership.prove(begin);
        }
    }
    Ok(())
}

impl Owned {
    /// The call that is under way found that what is left is still owned.
    fn end_call(&mut self) {
        for ownership in self.partitions.values_mut() {
            if ownership.first < self.call {
                ownership.prove(self.call);
            }
        }
    }

    /// The member is none any more, by its own wish or since it was fenced.
    fn end(&self) {
        self.check_lost();
        let kept: Vec<_> = self.partitions.keys().collect();
        assert!(kept.is_empty(), "{} was not told of {kept:?}", self.member);
    }

    /// A call is over that had to find out that the member was fenced, if it was when it committed.
    fn check_lost(&self) {
        assert!(
            self.must_lose.is_empty(),
            "{} may not commit and keeps {:?}",
            self.member,
            self.must_lose
        );
    }

    fn is_replaced(&mut self, reason: &str) {
        assert!(
            reason.contains("group.instance.id"),
            "{}: {reason}",
            self.member
        );
        assert!(
            self.partitions.is_empty(),
            "{} was told of no loss",
            self.member
        );
        if !std::mem::replace(&mut self.was_replaced, true) {
            self.history.note_replaced();
        }
    }

    fn begin(&mut self, partition: &TopicPartition) {
        let now = self.history.tick();
        let ownership = Ownership {
            member: self.member.clone(),
            first: now,
            last: now,
            is_proven: false,
            seen: Vec::new(),
            commits: Vec::new(),
        };
        let former = self.partitions.insert(partition.clone(), ownership);
        assert!(former.is_none(), "{partition} is assigned twice");
    }

    fn give_up(&mut self, partition: &TopicPartition) {
        let ownership = self.partitions.remove(partition);
        let ownership = ownership.unwrap_or_else(|| panic!("{partition} goes, and never came"));
        self.history.add(partition.clone(), ownership);
    }

    fn give_up_all(&mut self) {
        let all: Vec<_> = self.partitions.keys().cloned().collect();
        for partition in &all {
            self.give_up(partition);
        }
    }
}

impl RebalanceListener for Listener {
    fn assigned(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let mut owned = self.owned.lock().unwrap();
        owned.check_lost();
        consumer.member_id().unwrap().clone_into(&mut owned.member);
        for partition in partitions {
            owned.begin(partition);
        }
        Ok(())
    }

    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        {
            let mut owned = self.owned.lock().unwrap();
            owned.check_lost();
            owned.end_call();
        }
        if self.commits {
            note_commit(&self.owned, consumer, None, Consumer::commit)?;
        }
        let mut owned = self.owned.lock().unwrap();
        for partition in partitions {
            owned.give_up(partition);
            // It was fenced just now: these go all the same.
            owned.must_lose.remove(partition);
        }
        Ok(())
    }

    fn lost(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let mut owned = self.owned.lock().unwrap();
        for partition in partitions {
            owned.give_up(partition);
            owned.must_lose.remove(partition);
        }
        Ok(())
    }
}
