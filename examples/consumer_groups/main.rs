//! Consumer groups: listed, described, moved, deleted; with the options and columns of
//! `kafka-consumer-groups`, and `--data-dir` instead of `--bootstrap-server`.
//!
//! ```text
//! cargo run --example consumer_groups -- --data-dir /tmp/data --describe --all-groups
//! cargo run --example consumer_groups -- --data-dir /tmp/data --reset-offsets --group dashboard \
//!     --topic clicks:0,1 --to-datetime 2026-01-01T00:00:00.000+01:00 --execute
//! ```
//!
//! Without arguments it shows all of that in a temporary directory, to a group that has a member.

#[path = "../support/mod.rs"]
mod support;

mod csv;
mod delete;
mod demo;
mod describe;
mod reset;
mod table;
mod time;

use std::collections::BTreeSet;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use streamlog::{Broker, TopicPartition};
use support::{DataDir, Outcome};
use table::Table;

/// Lists, describes, moves and deletes consumer groups.
///
/// A directory is opened by one broker at a time, and this is one: while a program has it open, this
/// fails. So a group seen from here has no members. A program asks after its own by
/// `Broker::group(…).describe()`.
#[derive(Parser)]
#[command(
    name = "consumer_groups",
    group = ArgGroup::new("action")
        .args(["list", "describe", "delete", "delete_offsets", "reset_offsets"])
        .requires("data_dir"),
    group = ArgGroup::new("which").args(["groups", "all_groups"]).multiple(false).requires("action"),
    group = ArgGroup::new("view").args(["offsets", "members", "state"]).requires("action"),
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "command-line flags, as Kafka has them"
)]
struct Options {
    /// Where the broker keeps its files. Default: a temporary directory, to show what there is.
    #[arg(long, requires = "action")]
    data_dir: Option<PathBuf>,
    /// Print the names of all groups.
    #[arg(long, conflicts_with_all = ["which", "topics"])]
    list: bool,
    /// Print how far groups have come.
    #[arg(long, requires = "which", conflicts_with = "topics")]
    describe: bool,
    /// Delete groups, with everything they committed.
    #[arg(long, requires = "which", conflicts_with = "topics")]
    delete: bool,
    /// Delete what a group committed for topics.
    #[arg(long, requires = "groups", requires = "topics")]
    delete_offsets: bool,
    /// Have groups go on elsewhere, in the partitions of --topic or --all-topics.
    #[arg(long, requires = "which", requires = "scenario")]
    reset_offsets: bool,
    /// A group. May be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// All groups.
    #[arg(long)]
    all_groups: bool,
    /// A topic, or some of its partitions: clicks:0,1,2. May be repeated.
    #[arg(long = "topic", value_name = "TOPIC", value_parser = scope, requires = "action")]
    topics: Vec<Scope>,
    /// With --describe, the default: partitions, offsets, lag, owners.
    #[arg(long, requires = "describe", conflicts_with_all = ["list", "delete", "delete_offsets", "reset_offsets"])]
    offsets: bool,
    /// With --describe: the members.
    #[arg(long, requires = "describe", conflicts_with_all = ["list", "delete", "delete_offsets", "reset_offsets"])]
    members: bool,
    /// With --members: what each of them owns, too.
    #[arg(long, requires = "members")]
    verbose: bool,
    /// With --describe or --list: what groups are doing. With --list also: only those that are in one of
    /// these states (stable,empty).
    #[arg(long, value_name = "STATES", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["delete", "delete_offsets", "reset_offsets"])]
    state: Option<String>,
    #[command(flatten)]
    reset: reset::Reset,
}

/// A topic, or some of its partitions.
#[derive(Debug, Clone)]
struct Scope {
    topic: String,
    /// `None`: all.
    partitions: Option<Vec<u32>>,
}

/// Reads `topic` or `topic:0,1,2`.
fn scope(text: &str) -> Result<Scope, String> {
    let (topic, partitions) = match text.split_once(':') {
        None => (text, None),
        Some((topic, numbers)) => {
            let numbers = numbers.split(',').map(|number| {
                let invalid = |_| format!("`{number}` is not the number of a partition");
                number.parse().map_err(invalid)
            });
            (topic, Some(numbers.collect::<Result<_, _>>()?))
        }
    };
    Ok(Scope {
        topic: topic.to_owned(),
        partitions,
    })
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
    // Looking makes no directory, and forgets no old group.
    let broker = Broker::builder(dir.path())
        .create_dir(false)
        .offsets_retention(None)
        .open()?;
    act(&broker, options, &mut stdout())?;
    broker.close()?;
    Ok(())
}

fn act(broker: &Broker, options: &Options, out: &mut impl Write) -> Outcome {
    if options.list {
        return list(broker, options.state.as_deref(), out);
    }
    let groups = chosen_groups(broker, options)?;
    if options.describe {
        describe::run(broker, &groups, options, out)
    } else if options.delete {
        delete::groups(broker, &groups, out)
    } else if options.delete_offsets {
        delete::offsets(broker, &groups, &options.topics, out)
    } else {
        reset::run(broker, &groups, options, out)
    }
}

/// The groups of the command line, each once.
fn chosen_groups(broker: &Broker, options: &Options) -> streamlog::Result<Vec<String>> {
    if options.all_groups {
        let groups = broker.groups()?.into_iter();
        return Ok(groups.map(|group| group.name).collect());
    }
    let groups: BTreeSet<_> = options.groups.iter().cloned().collect();
    Ok(groups.into_iter().collect())
}

fn list(broker: &Broker, states: Option<&str>, out: &mut impl Write) -> Outcome {
    let groups = broker.groups()?;
    let Some(states) = states else {
        for group in groups {
            writeln!(out, "{}", group.name)?;
        }
        return Ok(());
    };
    let known = ["empty", "stable", "reconciling"];
    let lower = states.to_lowercase();
    let wanted: Vec<_> = lower.split(',').map(str::trim).collect();
    if !states.is_empty() && wanted.iter().any(|state| !known.contains(state)) {
        let known = known.join(", ");
        return Err(format!("invalid list of states `{states}`: there are {known}").into());
    }
    let mut table = Table::new(&[("GROUP", 25), ("STATE", 20)]);
    for group in groups {
        let state = group.state.to_string();
        if states.is_empty() || wanted.contains(&state.to_lowercase().as_str()) {
            table.row([group.name, state]);
        }
    }
    table.print(out)
}

/// All partitions of a topic, which there is.
fn partitions_of(broker: &Broker, topic: &str) -> streamlog::Result<Vec<TopicPartition>> {
    let partitions = broker.topic(topic)?.partitions().into_iter();
    Ok(partitions.map(|partition| partition.id().clone()).collect())
}
