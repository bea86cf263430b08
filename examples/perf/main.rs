//! How fast the log is on this machine, with the commands, options and output of Kafka's performance
//! tools: `kafka-producer-perf-test`, `kafka-consumer-perf-test`, `kafka-e2e-latency`.
//!
//! ```text
//! cargo run --release --example perf -- producer --data-dir /tmp/data --topic clicks \
//!     --num-records 10000000 --record-size 100 --throughput -1 --producer-props linger.ms=5
//! cargo run --release --example perf -- consumer --data-dir /tmp/data --topic clicks --messages 10000000
//! cargo run --release --example perf -- end-to-end --num-records 100000 --throughput 10000
//! ```
//!
//! The lines are Kafka's, so that scripts which read them go on working; milliseconds have three
//! decimals, since most of what there is to see lies below one. Values are JSON events from a fixed
//! seed. Without `--data-dir` a temporary directory is used; without any argument all three run there
//! in turn, small, and check what they read.

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, unreachable_pub, reason = "benchmarks use the rest")]
#[path = "../../benches/support/events.rs"]
mod events;

mod consumer;
mod end_to_end;
mod histogram;
mod producer;
mod time;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use streamlog::{Broker, Topic, TopicConfig};
use support::{DataDir, Outcome, check};

/// Measures writing, reading, and the way from the one to the other.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Send records as fast as possible, or at a fixed rate.
    Producer(producer::Options),
    /// Read a topic as fast as possible.
    Consumer(consumer::Options),
    /// Send one record after the other, and take the time until a consumer has it.
    EndToEnd(end_to_end::Options),
}

/// Where the topic is.
#[derive(Args, Clone, Default)]
struct Place {
    /// The directory of the broker. Default: a temporary one.
    #[arg(long, visible_alias = "dir")]
    data_dir: Option<PathBuf>,
    /// The topic, which is made, with one partition, if there is none.
    #[arg(long, default_value = "perf")]
    topic: String,
}

fn main() -> ExitCode {
    support::exit(run(Options::parse()))
}

fn run(options: Options) -> Outcome {
    match options.command {
        Some(Command::Producer(options)) => with_broker(&options.place, |broker, topic| {
            producer::run(broker, topic, &options).map(drop)
        }),
        Some(Command::Consumer(options)) => with_broker(&options.place, |broker, topic| {
            consumer::run(broker, topic, &options).map(drop)
        }),
        Some(Command::EndToEnd(options)) => with_broker(&options.place, |broker, topic| {
            end_to_end::run(broker, topic, &options)
        }),
        None => demonstrate(),
    }
}

fn with_broker(place: &Place, measure: impl FnOnce(&Broker, &Topic) -> Outcome) -> Outcome {
    let dir = DataDir::new(place.data_dir.as_deref())?;
    let broker = Broker::open(dir.path())?;
    let topic = support::topic_or_create(&broker, &place.topic, TopicConfig::default())?;
    measure(&broker, &topic)?;
    broker.close()?;
    Ok(())
}

/// All three, small: what was written is what is read.
fn demonstrate() -> Outcome {
    let arguments = |line: &str| Options::parse_from(line.split(' ')).command;
    let place = Place {
        data_dir: None,
        topic: "perf".to_owned(),
    };
    with_broker(&place, |broker, topic| {
        let producer = arguments("perf producer --num-records 100000 --record-size 100");
        let consumer = arguments("perf consumer --messages 100000");
        let end_to_end = arguments("perf end-to-end --num-records 1000");
        let (
            Some(Command::Producer(producer)),
            Some(Command::Consumer(consumer)),
            Some(Command::EndToEnd(end_to_end)),
        ) = (producer, consumer, end_to_end)
        else {
            return Err("the demo's own arguments are good".into());
        };
        let sent = producer::run(broker, topic, &producer)?;
        let read = consumer::run(broker, topic, &consumer)?;
        check(sent == read, || format!("{sent} sent, and {read} read"))?;
        end_to_end::run(broker, topic, &end_to_end)
    })
}
