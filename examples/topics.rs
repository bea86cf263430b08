//! Topics: made, listed, described, altered, deleted; with the options of `kafka-topics`.
//!
//! ```text
//! cargo run --example topics -- --data-dir /tmp/data --create --topic clicks --partitions 3 \
//!     --config segment.bytes=1048576
//! cargo run --example topics -- --data-dir /tmp/data --describe
//! ```
//!
//! Without arguments it shows all of that in a temporary directory.

mod support;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use streamlog::{Broker, Partition, Record, Topic, TopicConfig};
use support::{DataDir, Outcome, check, name_and_value};

/// Makes, lists, describes, alters and deletes topics.
#[derive(Parser, Clone, Default)]
#[command(group = ArgGroup::new("action").args(["create", "list", "describe", "alter", "delete"]).requires("data_dir"))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "command-line flags, as Kafka has them"
)]
struct Options {
    /// Where the broker keeps its files. Default: a temporary directory, to show what there is.
    #[arg(long, requires = "action")]
    data_dir: Option<PathBuf>,
    /// Make the topic, and the directory if there is none.
    #[arg(long, requires = "topic")]
    create: bool,
    /// Print the names of all topics.
    #[arg(long)]
    list: bool,
    /// Print partitions, offsets, sizes, and what is configured unlike the default.
    #[arg(long)]
    describe: bool,
    /// Add partitions, or change configs.
    #[arg(long, requires = "topic")]
    alter: bool,
    /// Delete the topic with its records.
    #[arg(long, requires = "topic")]
    delete: bool,
    #[arg(long)]
    topic: Option<String>,
    #[arg(long)]
    partitions: Option<u32>,
    /// A topic config: name=value.
    #[arg(long = "config", value_parser = name_and_value)]
    configs: Vec<(String, String)>,
    /// Making a topic that exists is no error.
    #[arg(long)]
    if_not_exists: bool,
    /// Describing, altering or deleting a topic that does not exist is no error.
    #[arg(long)]
    if_exists: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    support::exit(match options.data_dir {
        Some(_) => run(&options),
        None => demonstrate(),
    })
}

fn run(options: &Options) -> Outcome {
    let dir = DataDir::new(options.data_dir.as_deref())?;
    // A mistyped directory is an error, unless something is to be made there.
    let broker = Broker::builder(dir.path())
        .create_dir(options.create)
        .open()?;
    act(&broker, options, &mut stdout())?;
    broker.close()?;
    Ok(())
}

fn act(broker: &Broker, options: &Options, out: &mut impl Write) -> Outcome {
    let topic = options.topic.as_deref();
    match topic {
        _ if options.list => {
            for topic in broker.topics() {
                writeln!(out, "{}", topic.name())?;
            }
        }
        None => {
            for topic in broker.topics() {
                describe(&topic, out)?;
            }
        }
        Some(name) if options.create => create(broker, name, options, out)?,
        Some(name) => match broker.topic(name) {
            Err(streamlog::Error::UnknownTopic { .. }) if options.if_exists => {}
            Err(error) => return Err(error.into()),
            Ok(topic) if options.describe => describe(&topic, out)?,
            Ok(topic) if options.alter => alter(broker, &topic, options, out)?,
            Ok(_) => {
                broker.delete_topic(name)?;
                writeln!(out, "Deleted topic {name}.")?;
            }
        },
    }
    Ok(())
}

fn create(broker: &Broker, name: &str, options: &Options, out: &mut impl Write) -> Outcome {
    let config = TopicConfig::default().partitions(options.partitions.unwrap_or(1));
    match broker.create_topic(name, configured(config, &options.configs)?) {
        Err(streamlog::Error::TopicExists { .. }) if options.if_not_exists => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(writeln!(out, "Created topic {name}.")?),
    }
}

fn alter(broker: &Broker, topic: &Topic, options: &Options, out: &mut impl Write) -> Outcome {
    if options.partitions.is_none() && options.configs.is_empty() {
        return Err("nothing to alter: give --partitions or --config".into());
    }
    if !options.configs.is_empty() {
        let config = configured((*topic.config()).clone(), &options.configs)?;
        broker.alter_topic(topic.name(), config)?;
    }
    if let Some(count) = options.partitions {
        broker.add_partitions(topic.name(), count)?;
    }
    writeln!(out, "Altered topic {}.", topic.name())?;
    Ok(())
}

fn configured(config: TopicConfig, configs: &[(String, String)]) -> streamlog::Result<TopicConfig> {
    configs
        .iter()
        .try_fold(config, |config, (key, value)| config.set(key, value))
}

/// One line for the topic, one for each partition, as `kafka-topics --describe` lays them out.
fn describe(topic: &Topic, out: &mut impl Write) -> Outcome {
    let (name, id, count) = (topic.name(), topic.id(), topic.partition_count());
    let defaults = TopicConfig::default().entries();
    let configs = topic.config().entries();
    let changed = configs.iter().filter(|entry| !defaults.contains(entry));
    let changed: Vec<_> = changed
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let changed = changed.join(",");
    writeln!(
        out,
        "Topic: {name}\tTopicId: {id}\tPartitionCount: {count}\tConfigs: {changed}"
    )?;
    for partition in topic.partitions() {
        writeln!(
            out,
            "\tTopic: {name}\tPartition: {}\tLogStartOffset: {}\tHighWatermark: {}\tDurableEnd: {}\tSize: {}",
            partition.id().partition(),
            partition.log_start_offset(),
            partition.high_watermark(),
            partition.durable_end(),
            partition.size_bytes(),
        )?;
    }
    Ok(())
}

/// One topic's life.
fn demonstrate() -> Outcome {
    let dir = DataDir::new(None)?;
    let broker = Broker::open(dir.path())?;
    let mut out = stdout();
    let topic = || Some("clicks".to_owned());
    let mut step = |words: &str, options: Options| -> Outcome {
        writeln!(out, "$ topics {words}")?;
        act(&broker, &options, &mut out)
    };
    let describes = Options {
        describe: true,
        topic: topic(),
        ..Options::default()
    };
    step(
        "--create --topic clicks --partitions 2 --config segment.bytes=1048576",
        Options {
            create: true,
            topic: topic(),
            partitions: Some(2),
            configs: vec![("segment.bytes".to_owned(), "1048576".to_owned())],
            ..Options::default()
        },
    )?;
    let lists = Options {
        list: true,
        ..Options::default()
    };
    step("--list", lists.clone())?;
    let producer = broker.producer().build()?;
    for user in ["alice", "bob", "carol"] {
        producer.send(Record::to("clicks").key(user).value("/home"))?;
    }
    producer.flush()?;
    step("--describe --topic clicks", describes.clone())?;
    step(
        "--alter --topic clicks --partitions 3 --config retention.ms=3600000",
        Options {
            alter: true,
            topic: topic(),
            partitions: Some(3),
            configs: vec![("retention.ms".to_owned(), "3600000".to_owned())],
            ..Options::default()
        },
    )?;
    step("--describe --topic clicks", describes)?;
    let altered = broker.topic("clicks")?;
    let count = altered.partition_count();
    check(count == 3, || format!("{count} partitions instead of 3"))?;
    let kept: u64 = altered
        .partitions()
        .iter()
        .map(Partition::high_watermark)
        .sum();
    check(kept == 3, || format!("{kept} records instead of 3"))?;
    step(
        "--delete --topic clicks",
        Options {
            delete: true,
            topic: topic(),
            ..Options::default()
        },
    )?;
    step("--list", lists)?;
    check(broker.topics().is_empty(), || {
        "the topic is still there".to_owned()
    })?;
    broker.close()?;
    Ok(())
}
