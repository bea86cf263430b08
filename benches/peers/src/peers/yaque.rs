//! yaque: a queue of length-prefixed payloads in segment files, one `write` per send, no payload CRC, no sync.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::executor::block_on;
use yaque::{QueueIter, Receiver, ReceiverBuilder, Sender, SenderBuilder, TryRecvError};

use crate::peer::{AppendBatch, AppendOne, Event, Follow, Log, Outcome, Place, Reopen, Replay, Survives, Tail, Wait};

pub struct Yaque {
    sender: Mutex<Sender>,
    dir: PathBuf,
}

impl Yaque {
    fn lock(&self) -> MutexGuard<'_, Sender> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Yaque {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let mut builder = SenderBuilder::new();
        if let Some(bytes) = place.segment_bytes {
            builder = builder.segment_size(bytes);
        }
        // No limit: nobody has to receive for the sender to go on.
        let sender = builder.max_queue_size(None).open(place.dir)?;
        Ok(Self {
            sender: Mutex::new(sender),
            dir: place.dir.to_owned(),
        })
    }

    fn writer(&self) -> Outcome<Writer<'_>> {
        Ok(Writer(self.lock()))
    }
}

pub struct Writer<'a>(MutexGuard<'a, Sender>);

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.0.try_send(event.value).map_err(|error| error.to_string().into())
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let values = events.iter().map(|event| event.value);
        self.0
            .try_send_batch(values)
            .map_err(|_| "the queue did not take a batch".into())
    }
}

impl Replay for Yaque {
    const CHECKS: &'static str = "nobody checks payloads";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let mut count = 0;
        for value in QueueIter::open(&self.dir)? {
            visit(&value?);
            count += 1;
        }
        Ok(count)
    }
}

impl Tail for Yaque {
    type Tailer<'a> = Tailer;

    fn tailer(&self, wait: Wait) -> Outcome<Tailer> {
        let receiver = ReceiverBuilder::new()
            .save_every(None)
            .save_every_nth(None)
            .open(&self.dir)?;
        Ok(Tailer { receiver, wait })
    }

    fn append_shared(&self, event: Event) -> Outcome {
        Writer(self.lock()).append(event)
    }
}

pub struct Tailer {
    receiver: Receiver,
    wait: Wait,
}

impl Follow for Tailer {
    fn next(&mut self, mut visit: impl FnMut(&[u8])) -> Outcome<usize> {
        let value = match self.wait {
            Wait::Parked => block_on(self.receiver.recv())?,
            Wait::Spinning => match self.receiver.try_recv() {
                Ok(value) => value,
                Err(TryRecvError::QueueEmpty) => return Ok(0),
                Err(TryRecvError::Io(error)) => return Err(error.into()),
            },
        };
        visit(&value);
        value.commit()?;
        Ok(1)
    }
}

impl Reopen for Yaque {
    const LOOKS_AT: &'static str = "nothing is checked; locks are taken over";

    fn open_after_kill(place: &Place) -> Outcome<Self> {
        yaque::recovery::recover(place.dir)?;
        Self::open(place)
    }

    fn sync(&self) -> Outcome {
        Ok(())
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Ok(Some(self.replay(|_| {})?))
    }
}
