//! logdb: appends go to a ring in memory, which a thread writes out; `flush` waits for its sync.

use std::time::Duration;

use logdb::{Config, DurabilityMode, LogDb};

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, InFlight, Log, Outcome, Place, Reopen, Replay, Survives,
};

pub struct Logdb {
    log: LogDb,
    /// The end when it was opened. As long as nothing follows, `flush` and `shutdown` would wait in vain until they time out.
    opened_at: u64,
    durable: bool,
}

impl Log for Logdb {
    const SURVIVES: Survives = Survives::Nothing;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let mut config = Config {
            data_dir: place.dir.to_owned(),
            ring_size: 1 << 16,
            ..Config::default()
        };
        config.durability_mode = if place.durable() {
            DurabilityMode::Sync
        } else {
            DurabilityMode::Async
        };
        if let Some(bytes) = place.segment_bytes {
            config.segment_size = bytes;
        }
        let log = LogDb::open(config).map_err(|error| format!("{error:?}"))?;
        Ok(Self {
            opened_at: log.producer_cursor(),
            log,
            durable: place.durable(),
        })
    }

    fn writer(&self) -> Outcome<Writer<'_>> {
        Ok(Writer {
            log: self,
            in_flight: InFlight::default(),
        })
    }

    fn close(self) -> Outcome {
        if self.log.producer_cursor() == self.opened_at {
            // Dropping it waits for 5 s, too. The process ends soon.
            std::mem::forget(self.log);
            return Ok(());
        }
        self.log
            .shutdown(Duration::from_secs(60))
            .map_err(|error| format!("{error:?}"))?;
        Ok(())
    }
}

impl Logdb {
    fn flush(&self) -> Outcome {
        if self.log.producer_cursor() == self.opened_at {
            return Ok(());
        }
        self.log.flush().map_err(|error| format!("{error:?}").into())
    }
}

pub struct Writer<'a> {
    log: &'a Logdb,
    in_flight: InFlight,
}

impl Writer<'_> {
    fn put(&self, event: Event) -> Outcome {
        self.log.log.append(event.value).map_err(|error| format!("{error:?}"))?;
        Ok(())
    }
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.put(event)?;
        if self.log.durable { self.log.flush() } else { Ok(()) }
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let values: Vec<_> = events.iter().map(|event| event.value).collect();
        self.log
            .log
            .append_batch(&values)
            .map_err(|error| format!("{error:?}"))?;
        if self.log.durable { self.log.flush() } else { Ok(()) }
    }
}

impl AppendPipelined for Writer<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        self.put(event)?;
        if self.in_flight.is_full_after_one() {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Outcome {
        self.in_flight.clear();
        self.log.flush()
    }
}

impl Replay for Logdb {
    const CHECKS: &'static str = "logdb checks each record's CRC-32C";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        // Only what is durable can be read.
        self.flush()?;
        let end = self.log.durable_cursor();
        let mut count = 0;
        for record in self.log.scan(0, end).map_err(|error| format!("{error:?}"))? {
            visit(&record.map_err(|error| format!("{error:?}"))?.content);
            count += 1;
        }
        Ok(count)
    }
}

impl Reopen for Logdb {
    const LOOKS_AT: &'static str = "the last segment is read and checked";

    fn sync(&self) -> Outcome {
        self.flush()
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Ok(Some(self.log.producer_cursor()))
    }
}
