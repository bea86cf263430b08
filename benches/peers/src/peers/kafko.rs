//! kafko: topics and partitions on tokio, a writer task each; one `write` per batch that its inbox gathers.

use std::sync::Arc;

use bytes::Bytes;
use kafko::{Consumer, Kafko as Broker, Producer, Topic};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, Follow, IN_FLIGHT, Log, Outcome, Place, Reopen, Replay, Survives,
    Tail, Wait,
};

const TOPIC: &str = "events";

pub struct Kafko {
    runtime: Runtime,
    broker: Broker,
    topic: Arc<Topic>,
    producer: Producer,
    durable: bool,
}

impl Log for Kafko {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let runtime = Runtime::new()?;
        let (broker, topic, producer) = runtime.block_on(async {
            let broker = Broker::open(place.dir).await?;
            if !broker.has_topic(TOPIC).await {
                broker.create_topic_with_partitions(TOPIC, place.partitions).await?;
            }
            let topic = broker.topic(TOPIC).await.ok_or(kafko::KafkoError::Closed)?;
            let producer = broker.producer_for(TOPIC).await?;
            Ok::<_, kafko::KafkoError>((broker, topic, producer))
        })?;
        Ok(Self {
            runtime,
            broker,
            topic,
            producer,
            durable: place.durable(),
        })
    }

    fn writer(&self) -> Outcome<Writer<'_>> {
        Ok(Writer {
            log: self,
            in_flight: JoinSet::new(),
        })
    }

    fn close(self) -> Outcome {
        drop((self.topic, self.producer));
        Ok(self.runtime.block_on(self.broker.shutdown())?)
    }
}

impl Kafko {
    async fn sync(&self, partition: u32) -> Outcome {
        Ok(self
            .topic
            .partition(partition)
            .ok_or("no such partition")?
            .sync()
            .await?)
    }
}

fn pair(event: Event) -> (Option<Bytes>, Bytes) {
    (
        Some(Bytes::copy_from_slice(event.key)),
        Bytes::copy_from_slice(event.value),
    )
}

pub struct Writer<'a> {
    log: &'a Kafko,
    in_flight: JoinSet<kafko::Result<()>>,
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        let (key, value) = pair(event);
        self.log.runtime.block_on(async {
            self.log.producer.send_to(event.partition, key, value).await?;
            if self.log.durable {
                self.log.sync(event.partition).await
            } else {
                Ok(())
            }
        })
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let pairs = events.iter().map(|event| pair(*event)).collect();
        self.log.runtime.block_on(self.log.producer.send_batch(pairs))?;
        Ok(())
    }
}

impl AppendPipelined for Writer<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        let (key, value) = pair(event);
        let producer = self.log.producer.clone();
        let send = async move { producer.send(key, value).await.map(|_| ()) };
        self.in_flight.spawn_on(send, self.log.runtime.handle());
        if self.in_flight.len() == IN_FLIGHT {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Outcome {
        self.log.runtime.block_on(async {
            while let Some(sent) = self.in_flight.join_next().await {
                sent??;
            }
            self.log.sync(0).await
        })
    }
}

impl Replay for Kafko {
    const CHECKS: &'static str = "kafko checks each record's CRC-32; 5,000 records";
    const AT_MOST: u64 = 5_000;

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let end = self.topic.partition(0).ok_or("no such partition")?.high_water_mark();
        let mut consumer = Consumer::from_topic(Arc::clone(&self.topic));
        self.runtime.block_on(async {
            for _ in 0..end {
                visit(consumer.next_record().await?.value());
            }
            Ok(end)
        })
    }
}

impl Tail for Kafko {
    type Tailer<'a> = Tailer<'a>;

    fn tailer(&self, _: Wait) -> Outcome<Tailer<'_>> {
        Ok(Tailer {
            log: self,
            consumer: Consumer::from_topic(Arc::clone(&self.topic)),
        })
    }

    fn append_shared(&self, event: Event) -> Outcome {
        self.writer()?.append(event)
    }
}

pub struct Tailer<'a> {
    log: &'a Kafko,
    consumer: Consumer,
}

impl Follow for Tailer<'_> {
    fn next(&mut self, mut visit: impl FnMut(&[u8])) -> Outcome<usize> {
        let record = self.log.runtime.block_on(self.consumer.next_record())?;
        visit(record.value());
        Ok(1)
    }
}

impl Reopen for Kafko {
    const LOOKS_AT: &'static str = "the last segment is read and checked";

    fn sync(&self) -> Outcome {
        self.runtime.block_on(self.sync(0))
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Ok(self.topic.partition(0).map(|partition| partition.high_water_mark()))
    }
}
