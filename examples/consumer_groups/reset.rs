//! `--reset-offsets`: where groups would go on, or do so from now on.
//!
//! All groups are planned before any is moved, so that what is wrong with one of them moves none.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Args};
use streamlog::{
    Broker, Clamped, ConsumerGroup, OffsetReset, Position, ResetOffset, TopicPartition,
};

use crate::csv::{self, Row};
use crate::support::{Outcome, note};
use crate::table::Table;
use crate::{Options, Scope, partitions_of, time};

/// clap waives what an option requires if that cannot be given any more: these are refused by name.
const OTHER_ACTIONS: [&str; 4] = ["list", "describe", "delete", "delete_offsets"];

/// Where to, in which partitions, and whether in earnest.
#[derive(Args)]
#[command(
    group = ArgGroup::new("scenario")
        .args(["to_earliest", "to_latest", "to_current", "to_offset", "shift_by", "to_datetime", "by_duration", "from_file"])
        .multiple(false)
        .requires("reset_offsets")
        .conflicts_with_all(OTHER_ACTIONS),
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "command-line flags, as Kafka has them"
)]
pub(crate) struct Reset {
    /// With --reset-offsets: every topic that the group committed for.
    #[arg(long, requires = "reset_offsets", conflicts_with = "topics", conflicts_with_all = OTHER_ACTIONS)]
    all_topics: bool,
    /// Where the logs start.
    #[arg(long)]
    to_earliest: bool,
    /// Where the logs end.
    #[arg(long)]
    to_latest: bool,
    /// Where the group is; where it is nowhere, at the end.
    #[arg(long)]
    to_current: bool,
    /// At this offset.
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<u64>,
    /// So many offsets after the committed one; before it, if negative.
    #[arg(long, value_name = "OFFSETS", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// At the first record of this time: 2026-01-01T00:00:00.000, in UTC, or with Z or +hh:mm behind.
    #[arg(long, value_name = "DATETIME", value_parser = time::timestamp)]
    to_datetime: Option<i64>,
    /// At the first record of the last P1DT2H3M4.5S.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    by_duration: Option<Duration>,
    /// Where a file says that --export wrote.
    #[arg(long, value_name = "CSV", conflicts_with_all = ["topics", "all_topics"])]
    from_file: Option<PathBuf>,
    /// With --reset-offsets, the default: only print what would be done.
    #[arg(long, requires = "reset_offsets", conflicts_with = "execute", conflicts_with_all = OTHER_ACTIONS)]
    dry_run: bool,
    /// With --reset-offsets: do it.
    #[arg(long, requires = "reset_offsets", conflicts_with_all = OTHER_ACTIONS)]
    execute: bool,
    /// With --reset-offsets: print lines of topic,partition,offset; with the group in front unless it is
    /// the only --group.
    #[arg(long, requires = "reset_offsets", conflicts_with_all = OTHER_ACTIONS)]
    export: bool,
}

impl Reset {
    /// `None`: from a file.
    fn target(&self) -> Option<OffsetReset> {
        let by_flag = [
            (self.to_earliest, Position::Earliest.into()),
            (self.to_latest, Position::Latest.into()),
            (self.to_current, OffsetReset::ToCurrent),
        ];
        let by_flag = by_flag.into_iter().find(|(is_given, _)| *is_given);
        let to_offset = self.to_offset.map(|offset| Position::Offset(offset).into());
        let to_datetime = self
            .to_datetime
            .map(|time| Position::Timestamp(time).into());
        by_flag
            .map(|(_, target)| target)
            .or(to_offset)
            .or(to_datetime)
            .or(self.shift_by.map(OffsetReset::ShiftBy))
            .or(self.by_duration.map(OffsetReset::ByDuration))
    }
}

/// What is to be done to one group.
struct Plan {
    group: ConsumerGroup,
    offsets: Vec<ResetOffset>,
}

pub(crate) fn run(
    broker: &Broker,
    groups: &[String],
    options: &Options,
    out: &mut impl Write,
) -> Outcome {
    let reset = &options.reset;
    if !reset.execute && !reset.dry_run {
        note("WARN: No action will be performed as the --execute option is missing.");
    }
    let plans = match (&reset.from_file, reset.target()) {
        (Some(path), _) => plan_from_file(broker, groups, options, path)?,
        (None, Some(to)) => plan(broker, groups, options, to)?,
        (None, None) => return Err("say where to: --to-earliest, --to-offset, …".into()),
    };
    for plan in &plans {
        plan.offsets.iter().for_each(warn_if_clamped);
        if reset.execute {
            // What was printed is what is done, whatever was written meanwhile.
            let offsets = plan
                .offsets
                .iter()
                .map(|reset| (reset.partition.clone(), reset.to));
            plan.group.commit_offsets(&offsets.collect::<Vec<_>>())?;
        }
    }
    if reset.export {
        export(&plans, names_group(options), out)
    } else {
        print(&plans, out)
    }
}

/// Whether lines of a file name the group: there may be more than one.
fn names_group(options: &Options) -> bool {
    options.groups.len() != 1
}

fn plan(
    broker: &Broker,
    groups: &[String],
    options: &Options,
    to: OffsetReset,
) -> Result<Vec<Plan>, Box<dyn std::error::Error>> {
    let mut plans = Vec::new();
    for name in groups {
        let group = broker.group(name.as_str());
        let partitions = if options.reset.all_topics {
            group.describe()?;
            let committed = group.export()?.into_iter();
            committed.map(|(partition, _)| partition).collect()
        } else if options.topics.is_empty() {
            return Err("one of the reset scopes must be given: --all-topics, --topic".into());
        } else {
            partitions_in(broker, &options.topics)?
        };
        let offsets = group.plan_reset_partitions(&partitions, to)?;
        plans.push(Plan { group, offsets });
    }
    Ok(plans)
}

fn partitions_in(broker: &Broker, scopes: &[Scope]) -> streamlog::Result<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    for Scope {
        topic,
        partitions: numbers,
    } in scopes
    {
        match numbers {
            None => partitions.extend(partitions_of(broker, topic)?),
            Some(numbers) => {
                let named = numbers
                    .iter()
                    .map(|number| TopicPartition::new(&**topic, *number));
                partitions.extend(named);
            }
        }
    }
    Ok(partitions)
}

/// What a file says of these groups, clamped as any other offset is.
fn plan_from_file(
    broker: &Broker,
    groups: &[String],
    options: &Options,
    path: &Path,
) -> Result<Vec<Plan>, Box<dyn std::error::Error>> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let only_group = (!names_group(options)).then(|| groups.first()).flatten();
    let rows = csv::rows(&text, only_group.map(String::as_str));
    let rows = rows.map_err(|error| format!("{shown}: {error}"))?;
    let mut plans = Vec::new();
    for name in groups {
        let group = broker.group(name.as_str());
        // The last line of a partition counts, as in Kafka.
        let of_group = rows.iter().filter(|row| row.group == *name);
        let wanted: BTreeMap<_, _> = of_group
            .map(|row| (&row.partition, Position::Offset(row.offset)))
            .collect();
        if wanted.is_empty() {
            return Err(format!("{shown}: no reset plan for group `{name}`").into());
        }
        let mut offsets = Vec::new();
        for (partition, to) in wanted {
            offsets.extend(group.plan_reset_partitions(std::slice::from_ref(partition), to)?);
        }
        plans.push(Plan { group, offsets });
    }
    Ok(plans)
}

fn warn_if_clamped(reset: &ResetOffset) {
    let than = match reset.clamped {
        Some(Clamped::ToStart) => "lower than earliest",
        Some(Clamped::ToEnd) => "higher than latest",
        _ => return,
    };
    let (partition, to) = (&reset.partition, reset.to);
    note(&format!(
        "WARN: New offset is {than} offset for topic partition {partition}. Value will be set to {to}."
    ));
}

fn print(plans: &[Plan], out: &mut impl Write) -> Outcome {
    let mut table = Table::new(&[
        ("GROUP", 15),
        ("TOPIC", 15),
        ("PARTITION", 10),
        ("NEW-OFFSET", 0),
    ]);
    for Plan { group, offsets } in plans {
        for reset in offsets {
            table.row([
                group.name().to_owned(),
                reset.partition.topic().to_owned(),
                reset.partition.partition().to_string(),
                reset.to.to_string(),
            ]);
        }
    }
    table.print_apart(out)
}

fn export(plans: &[Plan], names_group: bool, out: &mut impl Write) -> Outcome {
    for Plan { group, offsets } in plans {
        for reset in offsets {
            let row = Row {
                group: group.name().to_owned(),
                partition: reset.partition.clone(),
                offset: reset.to,
            };
            writeln!(out, "{}", row.line(names_group))?;
        }
    }
    Ok(())
}
