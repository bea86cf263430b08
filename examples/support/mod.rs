//! What the examples share: where the data goes, printing, and how a failure is told.
#![allow(dead_code, reason = "every example uses a part of this")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use streamlog::{Broker, Topic, TopicConfig};
use tempfile::TempDir;

/// What `run` functions of the examples return.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// Ends an example: says on stderr why it failed. Whoever reads its output may stop reading
/// (`… | head`): that is no failure.
pub(crate) fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A line on stderr, if anybody is there to read it.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let json = error
        .downcast_ref::<serde_json::Error>()
        .and_then(serde_json::Error::io_error_kind);
    io.or(json) == Some(ErrorKind::BrokenPipe)
}

/// The directory that an example works in.
pub(crate) struct DataDir {
    path: PathBuf,
    /// Removes itself at the end of the example.
    temporary: Option<TempDir>,
}

impl DataDir {
    /// The directory given with `--data-dir`, or else a temporary one.
    pub(crate) fn new(given: Option<&Path>) -> io::Result<Self> {
        if let Some(path) = given {
            return Ok(Self {
                path: path.to_path_buf(),
                temporary: None,
            });
        }
        let temporary = tempfile::Builder::new().prefix("streamlog-").tempdir()?;
        Ok(Self {
            path: temporary.path().to_path_buf(),
            temporary: Some(temporary),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// True if it goes away with the example.
    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }
}

/// The topic of this name; made with `config` if there is none.
pub(crate) fn topic_or_create(
    broker: &Broker,
    name: &str,
    config: TopicConfig,
) -> streamlog::Result<Topic> {
    match broker.topic(name) {
        Err(streamlog::Error::UnknownTopic { .. }) => broker.create_topic(name, config),
        found => found,
    }
}

/// Fails the example, with a message, unless `holds`.
pub(crate) fn check(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(format!("check failed: {}", what()).into())
    }
}

/// `count` things a second, in words.
pub(crate) fn rate(count: u64, elapsed: std::time::Duration) -> String {
    let nanos = elapsed.as_nanos().max(1);
    format!("{}/s", u128::from(count) * 1_000_000_000 / nanos)
}

/// Splits `name=value`, for clap.
pub(crate) fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not name=value"))?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// `true` or `false`, as Kafka's properties spell it.
pub(crate) fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!(
            "property {name} is true or false, and not `{value}`"
        )),
    }
}

/// How many records of a topic a group has not committed yet. What is written while this looks counts as
/// unread.
pub(crate) fn unread(broker: &Broker, group: &str, topic: &str) -> streamlog::Result<u64> {
    let committed: BTreeMap<_, _> = broker.group(group).export()?.into_iter().collect();
    let partitions = broker.topic(topic)?.partitions().into_iter();
    Ok(partitions
        .map(|partition| {
            let start = partition.log_start_offset();
            let committed = committed.get(partition.id()).copied().unwrap_or(start);
            partition.high_watermark().saturating_sub(committed)
        })
        .sum())
}
