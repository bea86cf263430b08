//! From the file into the topic, going on where the last run ended.

use std::error::Error;
use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::thread;
use std::time::{Duration, Instant};

use streamlog::{
    Broker, ConsumerRecord, Murmur2Partitioner, Partition, Partitioner, Position, Record, Topic,
};

use crate::source::{Input, Line, Place};
use crate::support::{Outcome, rate};

/// Headers that say where a line is. Text, so that people can read them too.
const POSITION: &str = "source-position";
const LINE: &str = "source-line";
/// What a record takes besides key and value, at most: headers, lengths, timestamp.
const RECORD_OVERHEAD: usize = 128;
/// A batch is appended when it is this large, whatever its number of lines.
const BATCH_BYTES: usize = 256 << 10;

/// How fast to go.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Lines per append.
    pub(crate) batch_lines: usize,
    /// Between appends.
    pub(crate) sleep: Duration,
}

/// What was done.
pub(crate) struct Ingested {
    found: u64,
    added: u64,
    elapsed: Duration,
}

impl fmt::Display for Ingested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, added, .. } = self;
        let speed = rate(*added, self.elapsed);
        write!(
            f,
            "found {found} lines in the topic, added {added} ({speed})"
        )
    }
}

/// Appends every line that the topic does not have yet.
pub(crate) fn ingest(
    broker: &Broker,
    topic: &Topic,
    input: &Input,
    pace: Pace,
    out: &mut impl Write,
) -> Result<Ingested, Box<dyn Error>> {
    let mut writers = topic
        .partitions()
        .into_iter()
        .map(|partition| Writer::resume(partition, topic, input))
        .collect::<Result<Vec<_>, _>>()?;
    let found = writers
        .iter()
        .map(|writer| writer.partition.high_watermark())
        .sum();
    let mut progress = Progress::start(input.len());
    let mut added = 0;
    let mut lines = input.lines_from(smallest(&writers))?;
    while let Some(line) = lines.next()? {
        let number = usize::try_from(partition_of(topic, line.text))?;
        let writer = writers.get_mut(number).ok_or("no such partition")?;
        if writer.has(line.place) {
            continue;
        }
        raise_limit(broker, topic, &line, out)?;
        if writer.take(&line, pace.batch_lines)? {
            thread::sleep(pace.sleep);
        }
        added += 1;
        progress.show(line.place.position, added);
    }
    for writer in &mut writers {
        writer.append()?;
    }
    progress.finish();
    Ok(Ingested {
        found,
        added,
        elapsed: progress.started.elapsed(),
    })
}

/// The partition of a line, which follows from its text and the number of partitions alone.
pub(crate) fn partition_of(topic: &Topic, text: &[u8]) -> u32 {
    let count = topic.partition_count();
    Murmur2Partitioner::default()
        .partition(topic.name(), Some(key_of(text)), None, count)
        .unwrap_or(0)
}

/// The key of a line: what it is about. Lines with equal keys stay in order. In most logs the time
/// comes first; the longest word (a package, a path, an address) then tells lines apart.
fn key_of(text: &[u8]) -> &[u8] {
    let words = text.split(u8::is_ascii_whitespace);
    words.max_by_key(|word| word.len()).unwrap_or_default()
}

/// Where the line of a record is in the file, as its headers say.
pub(crate) fn place_of(record: &ConsumerRecord<'_>) -> Result<Place, Box<dyn Error>> {
    let number = |name| {
        let mut headers = record.headers();
        let header = headers.find(|header| header.key() == name)?;
        str::from_utf8(header.value()?).ok()?.parse().ok()
    };
    if let (Some(position), Some(line)) = (number(POSITION), number(LINE)) {
        return Ok(Place { position, line });
    }
    let (partition, offset) = (record.topic_partition(), record.offset());
    Err(format!("{partition}@{offset} is no line of ours: choose another --topic").into())
}

/// Writes one partition.
struct Writer {
    partition: Partition,
    /// The last line that is in the partition.
    last: Option<Place>,
    pending: Vec<PendingLine>,
    pending_bytes: usize,
}

struct PendingLine {
    text: Vec<u8>,
    position: String,
    line: String,
}

impl Writer {
    /// Finds out how far the partition got, and that it is this file that it holds.
    fn resume(partition: Partition, topic: &Topic, input: &Input) -> Result<Self, Box<dyn Error>> {
        let mut last = None;
        if let Some(stored) = last_record(&partition)? {
            let line = input
                .lines_from(stored.place)?
                .next()?
                .map(|line| line.text.to_vec());
            let expected = partition_of(topic, &stored.text) == partition.id().partition();
            if line.as_ref() != Some(&stored.text) || !expected {
                return Err(changed(&partition, stored.place).into());
            }
            last = Some(stored.place);
        }
        Ok(Self {
            partition,
            last,
            pending: Vec::new(),
            pending_bytes: 0,
        })
    }

    fn has(&self, place: Place) -> bool {
        self.last.is_some_and(|last| place <= last)
    }

    /// Takes a line; true if that led to an append.
    fn take(&mut self, line: &Line<'_>, batch_lines: usize) -> streamlog::Result<bool> {
        let bytes = RECORD_OVERHEAD + 2 * line.text.len();
        let appends = !self.pending.is_empty()
            && (self.pending.len() >= batch_lines || self.pending_bytes + bytes > BATCH_BYTES);
        if appends {
            self.append()?;
        }
        self.pending_bytes += bytes;
        self.pending.push(PendingLine {
            text: line.text.to_vec(),
            position: line.place.position.to_string(),
            line: line.place.line.to_string(),
        });
        Ok(appends)
    }

    /// Appends the pending lines: all of them or, after a failure or crash, none.
    fn append(&mut self) -> streamlog::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let records: Vec<_> = self.pending.iter().map(PendingLine::record).collect();
        self.partition.append(&records)?;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }
}

impl PendingLine {
    fn record(&self) -> Record<'_> {
        Record::value_only(&self.text)
            .key(key_of(&self.text))
            .header(POSITION, &self.position)
            .header(LINE, &self.line)
    }
}

/// The line that a record holds.
struct StoredLine {
    place: Place,
    text: Vec<u8>,
}

fn last_record(partition: &Partition) -> Result<Option<StoredLine>, Box<dyn Error>> {
    let (start, end) = (partition.log_start_offset(), partition.high_watermark());
    if start == end {
        return Ok(None);
    }
    let mut reader = partition.reader(Position::Offset(end - 1))?;
    let record = reader.next()?.ok_or("the last record cannot be read")?;
    let text = record.value().unwrap_or_default().to_vec();
    let place = place_of(&record)?;
    Ok(Some(StoredLine { place, text }))
}

fn changed(partition: &Partition, place: Place) -> String {
    format!(
        "{} ends with line {} of the file, but that line is another one now: the file was replaced \
         or its last line has grown, or the topic has more partitions than before. \
         Choose another --topic or --data-dir",
        partition.id(),
        place.line
    )
}

/// Where to read from: no partition lacks a line before it.
fn smallest(writers: &[Writer]) -> Place {
    let places = writers.iter().map(|writer| writer.last);
    places.min().flatten().unwrap_or(Place::START)
}

/// Makes room for a line that the topic would refuse.
fn raise_limit(broker: &Broker, topic: &Topic, line: &Line<'_>, out: &mut impl Write) -> Outcome {
    // The key is a part of the line; 1 KiB is more than headers and framing take.
    let needed = 2 * line.text.len() + 1024;
    if needed < 512 << 10 {
        return Ok(()); // Any topic takes this: 1 MiB is the default.
    }
    let config = topic.config();
    let limit = config.get("max.message.bytes");
    let limit: usize = limit.map_or(Ok(0), |limit| limit.parse())?;
    if needed > limit {
        let number = line.place.line;
        writeln!(
            out,
            "line {number} is long: raising max.message.bytes from {limit} to {needed}"
        )?;
        broker.alter_topic(topic.name(), (*config).clone().max_message_bytes(needed))?;
    }
    Ok(())
}

/// Says on stderr how it goes, when it takes longer.
struct Progress {
    started: Instant,
    next: Instant,
    shown: bool,
    file_len: u64,
    interval: Duration,
}

impl Progress {
    const PATIENCE: Duration = Duration::from_secs(1);
    /// Lines between looks at the clock.
    const STRIDE: u64 = 64;

    fn start(file_len: u64) -> Self {
        let started = Instant::now();
        // Into a file, less often.
        let factor = if stderr().is_terminal() { 4 } else { 1 };
        Self {
            started,
            next: started + Self::PATIENCE,
            shown: false,
            file_len,
            interval: Duration::from_secs(2) / factor,
        }
    }

    fn show(&mut self, position: u64, added: u64) {
        if !added.is_multiple_of(Self::STRIDE) || Instant::now() < self.next {
            return;
        }
        self.next += self.interval;
        self.shown = true;
        let percent = position * 100 / self.file_len.max(1);
        let speed = rate(added, self.started.elapsed());
        let end = if stderr().is_terminal() { '\r' } else { '\n' };
        // Nobody may be there to read it.
        let _ = write!(
            stderr(),
            "{percent:3} %, {added} lines added ({speed})   {end}"
        );
    }

    fn finish(&self) {
        if self.shown && stderr().is_terminal() {
            let _ = writeln!(stderr());
        }
    }
}
