//! `--describe`: offsets, members, or state; a table for each group.

use std::collections::BTreeMap;
use std::io::Write;

use streamlog::{Broker, GroupDescription, GroupState, MemberDescription, TopicPartition};

use crate::Options;
use crate::support::{Outcome, note};
use crate::table::{NOTHING, Table, or_nothing};

pub(crate) fn run(
    broker: &Broker,
    groups: &[String],
    options: &Options,
    out: &mut impl Write,
) -> Outcome {
    if options
        .state
        .as_deref()
        .is_some_and(|state| !state.is_empty())
    {
        return Err("--describe does not take a value for --state".into());
    }
    // All before any is printed: one that does not exist is not buried among the others.
    let described = groups
        .iter()
        .map(|group| broker.group(group.as_str()).describe());
    for group in described.collect::<Result<Vec<_>, _>>()? {
        tell_members(&group);
        let table = if options.members {
            members(&group, options.verbose)
        } else if options.state.is_some() {
            state(&group)
        } else {
            offsets(&group)
        };
        if !table.is_empty() {
            table.print_apart(out)?;
        }
    }
    Ok(())
}

/// Kafka's remarks on a group that nobody is in, or that is on the move.
fn tell_members(group: &GroupDescription) {
    let name = &group.name;
    match group.state {
        GroupState::Empty => note(&format!("\nConsumer group '{name}' has no active members.")),
        GroupState::Reconciling => {
            note(&format!(
                "\nWarning: Consumer group '{name}' is rebalancing."
            ));
        }
        _ => {}
    }
}

fn offsets(group: &GroupDescription) -> Table {
    let mut table = Table::new(&[
        ("GROUP", 15),
        ("TOPIC", 15),
        ("PARTITION", 10),
        ("CURRENT-OFFSET", 15),
        ("LOG-END-OFFSET", 15),
        ("LAG", 15),
        ("CONSUMER-ID", 15),
        ("HOST", 15),
        ("CLIENT-ID", 0),
    ]);
    let members: BTreeMap<_, _> = group
        .members
        .iter()
        .map(|member| (&member.member_id, member))
        .collect();
    for offset in &group.offsets {
        let owner = offset.owner.as_ref();
        let owner = owner.and_then(|id| members.get(id).copied());
        let of_owner = |what: fn(&MemberDescription) -> &String| or_nothing(owner.map(what));
        table.row([
            group.name.clone(),
            offset.partition.topic().to_owned(),
            offset.partition.partition().to_string(),
            or_nothing(offset.committed),
            or_nothing(offset.log_end),
            or_nothing(offset.lag),
            of_owner(|member| &member.member_id),
            of_owner(|member| &member.host),
            of_owner(|member| &member.client_id),
        ]);
    }
    table
}

/// A column for `group.instance.id` is there if a member has one; one for assignments, if asked for.
fn members(group: &GroupDescription, is_verbose: bool) -> Table {
    let are_static = group
        .members
        .iter()
        .any(|member| member.instance_id.is_some());
    let mut columns = vec![("GROUP", 15), ("CONSUMER-ID", 15)];
    columns.extend(are_static.then_some(("GROUP-INSTANCE-ID", 17)));
    columns.extend([("HOST", 15), ("CLIENT-ID", 15), ("#PARTITIONS", 15)]);
    columns.extend(is_verbose.then_some(("ASSIGNMENT", 0)));
    let mut table = Table::new(&columns);
    for member in &group.members {
        let mut cells = vec![group.name.clone(), member.member_id.clone()];
        cells.extend(are_static.then(|| member.instance_id.clone().unwrap_or_default()));
        cells.extend([
            member.host.clone(),
            member.client_id.clone(),
            member.assignment.len().to_string(),
        ]);
        cells.extend(is_verbose.then(|| assignment(&member.assignment)));
        table.row(cells);
    }
    table
}

/// `clicks:0,1;orders:2`.
fn assignment(partitions: &[TopicPartition]) -> String {
    let mut topics = BTreeMap::<_, Vec<_>>::new();
    for partition in partitions {
        let numbers = topics.entry(partition.topic()).or_default();
        numbers.push(partition.partition().to_string());
    }
    let topics = topics
        .into_iter()
        .map(|(topic, numbers)| format!("{topic}:{}", numbers.join(",")));
    let topics: Vec<_> = topics.collect();
    if topics.is_empty() {
        NOTHING.to_owned()
    } else {
        topics.join(";")
    }
}

fn state(group: &GroupDescription) -> Table {
    let mut table = Table::new(&[
        ("GROUP", 15),
        ("COORDINATOR (ID)", 25),
        ("ASSIGNMENT-STRATEGY", 20),
        ("STATE", 20),
        ("#MEMBERS", 0),
    ]);
    table.row([
        group.name.clone(),
        "in-process".to_owned(),
        or_nothing(group.assignor.as_ref()),
        group.state.to_string(),
        group.members.len().to_string(),
    ]);
    table
}
