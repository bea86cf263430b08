//! One group's life: it has a member, then none, is moved, copied, and deleted.

use std::fs;
use std::io::{Write, stdout};
use std::time::Duration;

use clap::Parser;
use streamlog::{Broker, Position, Record, TopicConfig};

use crate::Options;
use crate::act;
use crate::support::{DataDir, Outcome, check};

pub(crate) fn run() -> Outcome {
    let dir = DataDir::new(None)?;
    let broker = Broker::open(dir.path())?;
    broker.create_topic("clicks", TopicConfig::default().partitions(2))?;
    let producer = broker.producer().build()?;
    for number in 0..10 {
        let value = number.to_string();
        producer.send(Record::to("clicks").partition(number % 2).value(&value))?;
    }
    producer.flush()?;
    while_consumed(&broker)?;
    without_members(&broker)?;
    check(broker.groups()?.is_empty(), || {
        "groups are still there".to_owned()
    })?;
    broker.close()?;
    Ok(())
}

/// What the program that has the members sees of them.
fn while_consumed(broker: &Broker) -> Outcome {
    let mut consumer = broker
        .consumer()
        .group("dashboard")
        .client_id("worker")
        .auto_offset_reset(Position::Earliest)
        .auto_commit(None)
        .build()?;
    consumer.subscribe(["clicks"])?;
    let mut read = 0;
    while read < 10 {
        read += consumer.poll(Duration::from_secs(10))?.len();
    }
    consumer.commit()?;
    step(broker, "--describe --group dashboard")?;
    step(broker, "--describe --group dashboard --members --verbose")?;
    step(broker, "--describe --group dashboard --state")?;
    consumer.close()?;
    Ok(())
}

fn without_members(broker: &Broker) -> Outcome {
    let reset = "--reset-offsets --group dashboard";
    step(broker, "--list --state")?;
    step(broker, &format!("{reset} --topic clicks --shift-by -2"))?;
    step(
        broker,
        &format!("{reset} --all-topics --shift-by -2 --execute"),
    )?;
    step(broker, "--describe --group dashboard")?;
    let behind = broker.group("dashboard").describe()?.total_lag();
    check(behind == 4, || format!("{behind} records behind, not 4"))?;

    // A second group that starts where the first one is.
    let export = step(
        broker,
        &format!("{reset} --all-topics --to-current --export --dry-run"),
    )?;
    let elsewhere = tempfile::tempdir()?;
    let file = elsewhere.path().join("offsets.csv");
    fs::write(&file, export)?;
    let import = "--reset-offsets --group copy --execute --from-file";
    step(broker, &format!("{import} {}", file.display()))?;
    let copied = broker.group("copy").export()?;
    check(copied == broker.group("dashboard").export()?, || {
        format!("the copy is at {copied:?}")
    })?;
    step(broker, "--delete-offsets --group dashboard --topic clicks")?;
    step(broker, "--delete --all-groups").map(drop)
}

/// Runs a command line of words without spaces; what it printed.
fn step(broker: &Broker, words: &str) -> Result<String, Box<dyn std::error::Error>> {
    let options = ["consumer_groups", "--data-dir", "."].into_iter();
    let options = Options::try_parse_from(options.chain(words.split(' ')))?;
    writeln!(stdout(), "$ consumer_groups {words}")?;
    let mut printed = Vec::new();
    act(broker, &options, &mut printed)?;
    let printed = String::from_utf8(printed)?;
    writeln!(stdout(), "{printed}")?;
    Ok(printed)
}
