//! A damaged directory: opens, reads, or says what is wrong; it never shows a wrong record.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use streamlog::sim::{DiskImage, SimDisk};
use streamlog::{
    Broker, Compression, ConsumerRecord, ManualClock, Position, Record, Result, TopicConfig,
};

const ROOT: &str = "data";
const START: i64 = 1_700_000_000_000;
/// Records of a partition when damage is done.
const RECORDS: u64 = 60;

/// What is damaged: directories after an orderly close, and after a kill.
static IMAGES: LazyLock<[DiskImage; 4]> = LazyLock::new(|| {
    [
        image(false, true),
        image(false, false),
        // With committed offsets: fifty partitions more.
        image(true, true),
        image(true, false),
    ]
});

/// The first byte chooses a directory, each further five say one change of one file.
pub fn directory(bytes: &[u8]) {
    let Some((choice, changes)) = bytes.split_first() else {
        return;
    };
    // Large directories are slow: seldom.
    let large = if choice % 16 == 0 { 2 } else { 0 };
    let image = &IMAGES[large + usize::from(choice / 16 % 2)];
    let disk = SimDisk::new();
    for (path, _) in image.files() {
        let bytes = image.read(&path).expect("it is listed");
        disk.write(path, bytes).expect("a disk in memory");
    }
    let mut files: Vec<_> = image.files().into_iter().map(|(path, _)| path).collect();
    // Those of the topics first: they are the most interesting.
    files.sort_by_key(|path| path.to_string_lossy().contains("__"));
    let mut story = Story::default();
    for change in changes.chunks_exact(5).take(12) {
        damage(&disk, &files, change, &mut story);
    }
    let mut adopted = false;
    // Twice: what the first one repaired, the second one reads.
    for _ in 0..2 {
        // An error is an answer.
        if let Ok(broker) = open(&disk) {
            story.0.push(format!("{:?}", broker.recovery_report()));
            adopted |= !broker.recovery_report().adopted_topics.is_empty();
            look(&broker, adopted);
            let _ = broker.close();
        }
    }
}

/// What was done, to be told after a panic.
#[derive(Default)]
struct Story(Vec<String>);

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.join("\n"));
        }
    }
}

fn damage(disk: &SimDisk, files: &[PathBuf], change: &[u8], story: &mut Story) {
    let path = &files[usize::from(change[0]) % files.len()];
    let Some(mut bytes) = disk.read(path) else {
        return;
    };
    let at = usize::from(u16::from_be_bytes([change[2], change[3]]));
    let at = at % (bytes.len() + 1);
    let value = change[4];
    story.0.push(format!(
        "{}: change {} at {at} of {} with {value}",
        path.display(),
        change[1] % 8,
        bytes.len()
    ));
    match change[1] % 8 {
        0 | 1 if at < bytes.len() => bytes[at] ^= value.max(1),
        2 if at < bytes.len() => bytes[at] = value,
        3 => bytes.truncate(at),
        4 => bytes.resize(bytes.len() + usize::from(value), 0),
        5 => bytes.extend(std::iter::repeat_n(value, usize::from(change[3]))),
        6 => {
            let end = (at + usize::from(value) * 4).min(bytes.len());
            bytes[at..end].fill(0);
        }
        7 if value < 64 => {
            disk.remove(path);
            return;
        }
        _ => {}
    }
    disk.write(path, bytes).expect("a disk in memory");
}

fn open(disk: &SimDisk) -> Result<Broker> {
    Broker::builder(ROOT)
        .storage(disk.clone())
        .clock(ManualClock::new(START))
        .background(false)
        .seed(3)
        .open()
}

/// Reads all there is. Every record has to be the one that was written there, unless the manifest was
/// lost: then it may be Kafka's directory, with gaps where it likes.
fn look(broker: &Broker, adopted: bool) {
    for topic in broker.topics() {
        for partition in topic.partitions() {
            let Ok(mut reader) = partition.reader(Position::Earliest) else {
                continue;
            };
            let mut last = None;
            // Each turn goes on behind what cannot be read.
            for _ in 0..RECORDS + 20 {
                match reader.next() {
                    Ok(Some(record)) => {
                        assert!(Some(record.offset()) > last, "offsets rise");
                        last = Some(record.offset());
                        assert!(adopted || is_right(&record), "a wrong record: {record:?}");
                    }
                    Ok(None) => break,
                    Err(_) => {
                        let next = reader.position() + 1;
                        let _ = reader.seek(Position::Offset(next));
                    }
                }
            }
            let _ = partition.offset_for_timestamp(START + 5);
            let end = partition.high_watermark();
            let value = value(topic.name(), end);
            let new = Record::value_only(&value).timestamp(timestamp(end));
            if let Ok(offset) = partition.append(&[new]) {
                assert!(offset >= end, "appended at {offset}, before {end}");
            }
        }
    }
    let consumer = broker.consumer().group("group").build();
    if let Ok(mut consumer) = consumer
        && consumer.subscribe(["one", "two"]).is_ok()
    {
        let _ = consumer.poll(Duration::ZERO);
        let _ = consumer.commit();
    }
}

fn is_right(record: &ConsumerRecord<'_>) -> bool {
    record.value() == Some(value(record.topic(), record.offset()).as_bytes())
        && record.timestamp() == timestamp(record.offset())
}

fn timestamp(offset: u64) -> i64 {
    START + i64::try_from(offset).expect("it is small")
}

/// What the record of this topic and offset says.
fn value(topic: &str, offset: u64) -> String {
    let mut value = format!("{topic}@{offset}");
    for number in 0..offset % 7 {
        let _ = write!(value, ", {}", number * offset);
    }
    value
}

/// Makes a directory with two topics, several segments, two leader epochs, two producers.
fn image(commits: bool, close: bool) -> DiskImage {
    let disk = SimDisk::new();
    let broker = open(&disk).expect("a new directory");
    fill(&broker, 0).expect("the disk is in memory");
    // A kill in the middle: from here on there is another leader epoch.
    let disk = disk.duplicate();
    let broker = open(&disk).expect("a killed one");
    fill(&broker, RECORDS / 2).expect("the disk is in memory");
    if commits {
        let consumer = broker
            .consumer()
            .group("group")
            .auto_offset_reset(Position::Earliest)
            .build();
        let mut consumer = consumer.expect("valid settings");
        consumer.subscribe(["one", "two"]).expect("they exist");
        consumer.poll(Duration::ZERO).expect("records");
        consumer.commit().expect("the disk is in memory");
    }
    if close {
        broker.close().expect("the disk is in memory");
        disk.image()
    } else {
        disk.duplicate().image()
    }
}

/// Writes the next half of the records to each topic.
fn fill(broker: &Broker, first: u64) -> Result<()> {
    for (topic, segment_bytes, codec) in [
        ("one", 900, Compression::None),
        ("two", 1 << 20, Compression::Lz4),
    ] {
        if first == 0 {
            let config = TopicConfig::default()
                .segment_bytes(segment_bytes)
                .index_interval_bytes(100);
            broker.create_topic(topic, config)?;
        }
        let producer = broker
            .producer()
            .compression(codec)
            .linger(Duration::from_secs(1))
            .build()?;
        for offset in first..first + RECORDS / 2 {
            let value = value(topic, offset);
            producer.send(Record::to(topic).value(&value).timestamp(timestamp(offset)))?;
            if offset % 5 == 4 {
                producer.flush()?;
            }
        }
        producer.flush()?;
        if first == 0 {
            broker.topic(topic)?.partition(0)?.flush()?;
        }
    }
    Ok(())
}

/// The files of all directories, for the corpus of the decoders.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let images = IMAGES.iter();
    images
        .flat_map(|image| {
            image.files().into_iter().map(|(path, _)| {
                let bytes = image.read(&path).expect("it is listed").to_vec();
                (path.to_string_lossy().into_owned(), bytes)
            })
        })
        .collect()
}

/// Keys and values of committed offsets.
pub fn offsets_records() -> Vec<(Vec<u8>, Vec<u8>)> {
    let disk = SimDisk::new();
    for (path, _) in IMAGES[2].files() {
        let bytes = IMAGES[2].read(&path).expect("it is listed");
        disk.write(path, bytes).expect("a disk in memory");
    }
    let broker = open(&disk).expect("it is whole");
    let mut found = Vec::new();
    for partition in broker
        .topic("__consumer_offsets")
        .expect("commits")
        .partitions()
    {
        let mut reader = partition.reader(Position::Earliest).expect("it is open");
        while let Some(record) = reader.next().expect("it is whole") {
            let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
            found.push((bytes(record.key()), bytes(record.value())));
        }
    }
    found
}
