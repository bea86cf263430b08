//! What `tests/interop/run` needs of streamlog: write a data directory for Kafka to judge, read one that Kafka wrote.
//!
//! ```text
//! streamlog-interop generate <dir> <records.jsonl> <offsets.jsonl> <groups.jsonl>
//!                                                new topics and groups, and what should be found in them
//! streamlog-interop compact <dir> <records.jsonl> <offsets.jsonl> <groups.jsonl>
//!                                                the same, compacted and shortened; appends to the last two
//! streamlog-interop crash <dir> <topic> <records.jsonl>
//!                                                a partition for each stage of a compaction, cut short there
//! streamlog-interop recompact <dir> <topic>...   compacts them twice, a day apart; what it appended between, to stdout
//! streamlog-interop starts <dir> <topic>...      the partitions' log start offsets, to stdout
//! streamlog-interop append <dir> <topic>...      one record to every partition, and says where it went
//! streamlog-interop read <dir> <topic>...        every record of the partitions' logs, aborted ones too, to stdout
//! streamlog-interop consume <dir> <topic>...     every record a read_committed consumer gets, to stdout
//! streamlog-interop committed <dir> <topic> <group>...    the groups' committed offsets, to stdout
//! streamlog-interop groups <dir> <groups.jsonl> <offsets.jsonl>    all groups, and all that they committed
//! streamlog-interop go-on <dir> <group>...       joins each group, commits one more, leaves; what it committed, to stdout
//! ```

mod compact;
mod crash;
mod generate;
mod groups;
mod lines;
mod read;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["generate", dir, records, offsets, groups] => {
            generate::generate(dir, records, offsets, groups)
        }
        ["compact", dir, records, offsets, groups] => {
            compact::compact(dir, records, offsets, groups)
        }
        ["crash", dir, topic, records] => crash::crash(dir, topic, records),
        ["recompact", dir, topics @ ..] => compact::recompact(dir, topics),
        ["starts", dir, topics @ ..] => compact::starts(dir, topics),
        ["append", dir, topics @ ..] => generate::append(dir, topics),
        ["read", dir, topics @ ..] => read::read(dir, topics),
        ["consume", dir, topics @ ..] => read::consume(dir, topics),
        ["committed", dir, topic, groups @ ..] => read::committed(dir, topic, groups),
        ["groups", dir, groups, offsets] => groups::list(dir, groups, offsets),
        ["go-on", dir, groups @ ..] => groups::go_on(dir, groups),
        _ => Err("usage: streamlog-interop <what> <dir> ...; see the source".into()),
    }
}
