//! streamlog itself, by its public calls: `Partition::append`, `Producer::send`, `Consumer::poll`.

use std::collections::VecDeque;
use std::time::Duration;

use streamlog::{Broker, Consumer, Delivery, Durability, Error, Partition, Position, Producer, Record, TopicConfig};

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, Follow, IN_FLIGHT, Log, Outcome, Place, Reopen, Replay, Survives,
    Tail, Wait,
};

const TOPIC: &str = "events";

/// Through `Partition::append`.
pub struct Streamlog {
    broker: Broker,
    partitions: Vec<Partition>,
    durability: Durability,
}

/// Through `Partition::append`, records without keys.
pub struct StreamlogKeyless(Streamlog);

/// Through `Producer::send`, which gathers records into batches.
pub struct StreamlogProducer(Streamlog);

impl Log for Streamlog {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = &'a Self;

    fn open(place: &Place) -> Outcome<Self> {
        let durability = if place.durable() {
            Durability::Synced
        } else {
            Durability::Written
        };
        let broker = Broker::open(place.dir)?;
        let topic = match broker.topic(TOPIC) {
            Err(Error::UnknownTopic { .. }) => {
                let mut config = TopicConfig::default()
                    .partitions(place.partitions)
                    .durability(durability);
                if let Some(bytes) = place.segment_bytes {
                    config = config.segment_bytes(bytes);
                }
                if !place.background_sync {
                    config = config.flush_ms(None);
                }
                broker.create_topic(TOPIC, config)?
            }
            found => found?,
        };
        let partitions = topic.partitions();
        Ok(Self {
            broker,
            partitions,
            durability,
        })
    }

    fn writer(&self) -> Outcome<&Self> {
        Ok(self)
    }

    fn close(self) -> Outcome {
        drop(self.partitions);
        Ok(self.broker.close()?)
    }
}

impl Streamlog {
    fn append_to_partition(&self, event: Event, records: &[Record]) -> Outcome {
        self.partitions[event.partition as usize].append(records)?;
        Ok(())
    }

    fn consumer(&self, position: Position, busy_poll: Duration) -> Outcome<Consumer> {
        let mut consumer = self
            .broker
            .consumer()
            .auto_offset_reset(position)
            .max_poll_records(10_000)
            .busy_poll(busy_poll)
            .build()?;
        consumer.subscribe([TOPIC])?;
        Ok(consumer)
    }
}

impl AppendOne for &Streamlog {
    fn append(&mut self, event: Event) -> Outcome {
        self.append_to_partition(event, &[Record::value_only(event.value).key(event.key)])
    }
}

impl AppendBatch for &Streamlog {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let records: Vec<_> = events
            .iter()
            .map(|event| Record::value_only(event.value).key(event.key))
            .collect();
        self.append_to_partition(events[0], &records)
    }
}

impl Replay for Streamlog {
    const CHECKS: &'static str = "streamlog checks each batch's CRC-32C";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let mut consumer = self.consumer(Position::Earliest, Duration::ZERO)?;
        let mut count = 0;
        loop {
            let records = consumer.poll(Duration::ZERO)?;
            if records.is_empty() {
                return Ok(count);
            }
            for record in &records {
                visit(record.value().unwrap_or_default());
                count += 1;
            }
        }
    }
}

impl Tail for Streamlog {
    type Tailer<'a> = Consumer;

    fn tailer(&self, wait: Wait) -> Outcome<Consumer> {
        let busy_poll = match wait {
            Wait::Spinning => LONG,
            Wait::Parked => Duration::ZERO,
        };
        let mut consumer = self.consumer(Position::Earliest, busy_poll)?;
        consumer.poll(Duration::ZERO)?;
        Ok(consumer)
    }

    fn append_shared(&self, event: Event) -> Outcome {
        let mut writer = self;
        writer.append(event)
    }
}

/// Longer than any wait here.
const LONG: Duration = Duration::from_secs(60);

impl Follow for Consumer {
    fn next(&mut self, mut visit: impl FnMut(&[u8])) -> Outcome<usize> {
        let records = self.poll(LONG)?;
        for record in &records {
            visit(record.value().unwrap_or_default());
        }
        Ok(records.len())
    }
}

impl Reopen for Streamlog {
    const LOOKS_AT: &'static str = "everything that was not known durable is checked";

    fn sync(&self) -> Outcome {
        Ok(self.partitions.iter().try_for_each(Partition::flush)?)
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Ok(Some(self.partitions.iter().map(Partition::high_watermark).sum()))
    }
}

impl Log for StreamlogKeyless {
    const SURVIVES: Survives = Streamlog::SURVIVES;
    type Writer<'a> = &'a Self;

    fn open(place: &Place) -> Outcome<Self> {
        Streamlog::open(place).map(Self)
    }

    fn writer(&self) -> Outcome<&Self> {
        Ok(self)
    }

    fn close(self) -> Outcome {
        self.0.close()
    }
}

impl AppendOne for &StreamlogKeyless {
    fn append(&mut self, event: Event) -> Outcome {
        self.0.append_to_partition(event, &[Record::value_only(event.value)])
    }
}

impl AppendBatch for &StreamlogKeyless {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let records: Vec<_> = events.iter().map(|event| Record::value_only(event.value)).collect();
        self.0.append_to_partition(events[0], &records)
    }
}

impl Log for StreamlogProducer {
    const SURVIVES: Survives = Streamlog::SURVIVES;
    type Writer<'a> = Sender<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        Streamlog::open(place).map(Self)
    }

    fn writer(&self) -> Outcome<Sender<'_>> {
        // 64 KiB and 5 ms: Kafka's usual advice for throughput.
        let producer = self
            .0
            .broker
            .producer()
            .durability(self.0.durability)
            .linger(Duration::from_millis(5))
            .batch_size(64 << 10)
            .build()?;
        let choose_partition = self.0.partitions.len() > 1;
        Ok(Sender {
            producer,
            choose_partition,
            in_flight: VecDeque::new(),
            _log: self,
        })
    }

    fn close(self) -> Outcome {
        self.0.close()
    }
}

pub struct Sender<'a> {
    producer: Producer,
    /// The workload says which partition; with a single one, the key does.
    choose_partition: bool,
    in_flight: VecDeque<Delivery>,
    _log: &'a StreamlogProducer,
}

impl Sender<'_> {
    fn deliver(&self, event: Event) -> Outcome<Delivery> {
        let mut record = Record::to(TOPIC).key(event.key).value(event.value);
        if self.choose_partition {
            record = record.partition(event.partition);
        }
        Ok(self.producer.send(record)?)
    }
}

impl AppendOne for Sender<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.deliver(event)?.wait()?;
        Ok(())
    }
}

impl AppendBatch for Sender<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        for event in events {
            self.deliver(*event)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Outcome {
        Ok(self.producer.flush()?)
    }
}

impl AppendPipelined for Sender<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        let delivery = self.deliver(event)?;
        self.in_flight.push_back(delivery);
        if self.in_flight.len() >= IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
        {
            oldest.wait()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome {
        self.producer.flush()?;
        for delivery in self.in_flight.drain(..) {
            delivery.wait()?;
        }
        Ok(())
    }
}
