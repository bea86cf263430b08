//! A crossbeam channel in memory: how fast threads can hand records over at all.

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};

use crate::peer::{AppendOne, Event, Follow, Log, Outcome, Place, Survives, Tail, Wait};

pub struct Channel(Sender<Vec<u8>>, Receiver<Vec<u8>>);

impl Log for Channel {
    const SURVIVES: Survives = Survives::Nothing;
    type Writer<'a> = &'a Self;

    fn open(_: &Place) -> Outcome<Self> {
        let (sender, receiver) = unbounded();
        Ok(Self(sender, receiver))
    }

    fn writer(&self) -> Outcome<&Self> {
        Ok(self)
    }
}

impl AppendOne for &Channel {
    fn append(&mut self, event: Event) -> Outcome {
        Ok(self.0.send(event.value.to_vec())?)
    }
}

impl Tail for Channel {
    type Tailer<'a> = Tailer<'a>;

    fn tailer(&self, wait: Wait) -> Outcome<Tailer<'_>> {
        Ok(Tailer(&self.1, wait))
    }

    fn append_shared(&self, event: Event) -> Outcome {
        let mut writer = self;
        writer.append(event)
    }
}

pub struct Tailer<'a>(&'a Receiver<Vec<u8>>, Wait);

impl Follow for Tailer<'_> {
    fn next(&mut self, mut visit: impl FnMut(&[u8])) -> Outcome<usize> {
        let value = match self.1 {
            Wait::Parked => self.0.recv()?,
            Wait::Spinning => match self.0.try_recv() {
                Ok(value) => value,
                Err(TryRecvError::Empty) => return Ok(0),
                Err(gone) => return Err(gone.into()),
            },
        };
        visit(&value);
        Ok(1)
    }
}
