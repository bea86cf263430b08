//! One topic's life, as the command line would have it.

use std::io::{Write, stdout};

use streamlog::{Broker, Partition, Record};

use crate::configs::ConfigOptions;
use crate::support::{DataDir, Outcome, check};
use crate::{Options, act};

pub(crate) fn run() -> Outcome {
    let dir = DataDir::new(None)?;
    let broker = Broker::open(dir.path())?;
    step(
        &broker,
        "--create --topic clicks --partitions 2 --config segment.bytes=1048576",
        &Options {
            create: true,
            partitions: Some(2),
            configs: vec![("segment.bytes".to_owned(), "1048576".to_owned())],
            ..clicks()
        },
    )?;
    step(&broker, "--list", &list())?;
    let producer = broker.producer().build()?;
    for user in ["alice", "bob", "carol"] {
        producer.send(Record::to("clicks").key(user).value("/home"))?;
    }
    producer.flush()?;
    describe(&broker)?;
    step(
        &broker,
        "--alter --topic clicks --partitions 3 --config retention.ms=3600000",
        &Options {
            alter: true,
            partitions: Some(3),
            configs: vec![("retention.ms".to_owned(), "3600000".to_owned())],
            ..clicks()
        },
    )?;
    describe(&broker)?;
    alter_configs(&broker)?;
    check_records(&broker)?;
    step(
        &broker,
        "--delete --topic clicks",
        &Options {
            delete: true,
            ..clicks()
        },
    )?;
    step(&broker, "--list", &list())?;
    check(broker.topics().is_empty(), || {
        "the topic is still there".to_owned()
    })?;
    broker.close()?;
    Ok(())
}

fn alter_configs(broker: &Broker) -> Outcome {
    let add = "cleanup.policy=[compact,delete],segment.ms=60000";
    let words = format!(
        "--entity-type topics --entity-name clicks --alter --add-config {add} --delete-config retention.ms"
    );
    step(
        broker,
        &words,
        &Options {
            alter: true,
            delete_configs: vec!["retention.ms".to_owned()],
            entity: ConfigOptions::of_topic("clicks", Some(add)),
            ..Options::default()
        },
    )?;
    step(
        broker,
        "--entity-type topics --entity-name clicks --describe",
        &Options {
            describe: true,
            entity: ConfigOptions::of_topic("clicks", None),
            ..Options::default()
        },
    )?;
    let config = broker.topic("clicks")?.config();
    let policy = config.values().cleanup_policy().to_string();
    check(policy == "compact,delete", || {
        format!("the policy is {policy}")
    })
}

fn check_records(broker: &Broker) -> Outcome {
    let topic = broker.topic("clicks")?;
    let count = topic.partition_count();
    check(count == 3, || format!("{count} partitions instead of 3"))?;
    let partitions = topic.partitions();
    let kept: u64 = partitions.iter().map(Partition::high_watermark).sum();
    check(kept == 3, || format!("{kept} records instead of 3"))
}

fn step(broker: &Broker, words: &str, options: &Options) -> Outcome {
    let mut out = stdout();
    writeln!(out, "$ topics {words}")?;
    act(broker, options, &mut out)
}

fn describe(broker: &Broker) -> Outcome {
    let options = Options {
        describe: true,
        ..clicks()
    };
    step(broker, "--describe --topic clicks", &options)
}

fn clicks() -> Options {
    Options {
        topic: Some("clicks".to_owned()),
        ..Options::default()
    }
}

fn list() -> Options {
    Options {
        list: true,
        ..Options::default()
    }
}
