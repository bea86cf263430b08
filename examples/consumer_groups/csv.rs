//! The files of `--export` and `--from-file`: `topic,partition,offset`, or `group,topic,partition,offset`
//! where there may be several groups. The name of a group may hold anything, so it may be quoted.

use streamlog::{Offset, TopicPartition};

/// Where a group is, or is to go on, in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) group: String,
    pub(crate) partition: TopicPartition,
    pub(crate) offset: Offset,
}

impl Row {
    /// The line of this row, without its end.
    pub(crate) fn line(&self, names_group: bool) -> String {
        let (topic, number) = (self.partition.topic(), self.partition.partition());
        let line = format!("{topic},{number},{}", self.offset);
        if names_group {
            format!("{},{line}", quoted(&self.group))
        } else {
            line
        }
    }
}

fn quoted(name: &str) -> String {
    let is_plain = !name.contains([',', '"', '\r', '\n']) && name.trim() == name;
    if is_plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// All rows of a file. Those that name no group are about `only_group`, if there is one.
pub(crate) fn rows(text: &str, only_group: Option<&str>) -> Result<Vec<Row>, String> {
    let records = records(text)?;
    let records = records.iter().filter(|(_, fields)| *fields != [""]);
    records
        .map(|(number, fields)| {
            row(fields, only_group).map_err(|reason| format!("line {number}: {reason}"))
        })
        .collect()
}

fn row(fields: &[String], only_group: Option<&str>) -> Result<Row, String> {
    let (group, topic, partition, offset) = match (fields, only_group) {
        ([group, topic, partition, offset], _) => (group.as_str(), topic, partition, offset),
        ([topic, partition, offset], Some(group)) => (group, topic, partition, offset),
        ([_, _, _], None) => return Err("it names no group, and there may be several".to_owned()),
        _ => return Err("it is not [group,]topic,partition,offset".to_owned()),
    };
    let partition = number(partition, "partition")?;
    Ok(Row {
        group: group.to_owned(),
        partition: TopicPartition::new(topic.trim(), partition),
        offset: number(offset, "offset")?,
    })
}

fn number<T: std::str::FromStr>(field: &str, what: &str) -> Result<T, String> {
    let parsed = field.trim().parse();
    parsed.map_err(|_| format!("`{field}` is not the number of {what}s"))
}

/// The fields of each record, with the line on which it begins. A field in quotes may hold commas, ends
/// of lines, and quotes, doubled.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let (mut records, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begins_on, mut is_quoted) = (1, 1, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        line += usize::from(character == '\n');
        match character {
            '"' if is_quoted => match characters.next_if_eq(&'"') {
                Some(quote) => field.push(quote),
                None => is_quoted = false,
            },
            character if is_quoted => field.push(character),
            '"' if field.is_empty() => is_quoted = true,
            ',' => fields.push(std::mem::take(&mut field)),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' => {
                fields.push(std::mem::take(&mut field));
                records.push((begins_on, std::mem::take(&mut fields)));
                begins_on = line;
            }
            character => field.push(character),
        }
    }
    if is_quoted {
        return Err(format!("line {begins_on}: a quote is not closed"));
    }
    fields.push(field);
    records.push((begins_on, fields));
    Ok(records)
}
