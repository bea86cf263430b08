//! Topics: made, listed, described, altered, deleted; with the options and the output of `kafka-topics` and
//! `kafka-configs`, and `--data-dir` instead of `--bootstrap-server`.
//!
//! ```text
//! cargo run --example topics -- --data-dir /tmp/data --create --topic clicks --partitions 3 \
//!     --config segment.bytes=1048576
//! cargo run --example topics -- --data-dir /tmp/data --describe
//! cargo run --example topics -- --data-dir /tmp/data --entity-type topics --entity-name clicks \
//!     --alter --add-config 'retention.ms=3600000,cleanup.policy=[compact,delete]'
//! ```
//!
//! `--entity-type` makes it `kafka-configs`. Without arguments it shows all of that in a temporary
//! directory.

#[path = "../support/mod.rs"]
mod support;

mod configs;
mod demo;
mod topics;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use streamlog::Broker;
use support::{DataDir, Outcome, name_and_value};

/// Makes, lists, describes, alters and deletes topics, and their configurations.
#[derive(Parser, Clone, Default)]
#[command(
    name = "topics",
    group = ArgGroup::new("action")
        .args(["create", "list", "describe", "alter", "delete"])
        .requires("data_dir"),
    group = ArgGroup::new("one").args(["topic", "entity_name"]),
)]
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
    #[arg(long, conflicts_with = "one")]
    list: bool,
    /// Print partitions, offsets, sizes, and what is configured unlike the default.
    #[arg(long)]
    describe: bool,
    /// Add partitions, or change configs.
    #[arg(long, requires = "one")]
    alter: bool,
    /// Delete the topic with its records.
    #[arg(long, requires = "topic")]
    delete: bool,
    #[arg(long)]
    topic: Option<String>,
    #[arg(long)]
    partitions: Option<u32>,
    /// A topic config: name=value. May be repeated.
    #[arg(long = "config", value_parser = name_and_value, requires = "topic")]
    configs: Vec<(String, String)>,
    /// Making a topic that exists is no error.
    #[arg(long, conflicts_with_all = ["list", "describe", "alter", "delete"])]
    if_not_exists: bool,
    /// Describing, altering or deleting a topic that does not exist is no error.
    #[arg(long, conflicts_with = "create")]
    if_exists: bool,
    /// Leave out `__consumer_offsets`, with --list and --describe.
    #[arg(long, conflicts_with = "one")]
    exclude_internal: bool,
    /// With --describe: only topics that are configured unlike the default, without their partitions.
    #[arg(long, conflicts_with_all = ["create", "list", "alter", "delete"])]
    topics_with_overrides: bool,
    /// Give configs their defaults again: a name, or several between commas.
    #[arg(long = "delete-config", value_delimiter = ',', conflicts_with_all = ["create", "list", "describe", "delete"])]
    delete_configs: Vec<String>,
    #[command(flatten)]
    entity: configs::ConfigOptions,
}

fn main() -> ExitCode {
    let options = Options::parse();
    support::exit(match options.data_dir {
        Some(_) => run(&options),
        None => demo::run(),
    })
}

fn run(options: &Options) -> Outcome {
    let dir = DataDir::new(options.data_dir.as_deref())?;
    // A mistyped directory is an error, unless something is to be made there. Looking
    // forgets no group and removes no old record.
    let broker = Broker::builder(dir.path())
        .create_dir(options.create)
        .offsets_retention(None)
        .background(false)
        .open()?;
    act(&broker, options, &mut stdout())?;
    broker.close()?;
    Ok(())
}

fn act(broker: &Broker, options: &Options, out: &mut impl Write) -> Outcome {
    if options.entity.is_given() {
        configs::act(broker, options, out)
    } else {
        topics::act(broker, options, out)
    }
}
