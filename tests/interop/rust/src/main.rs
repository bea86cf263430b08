//! What `tests/interop/run` needs of streamlog: write a data directory for Kafka to judge, read one that Kafka wrote.
//!
//! ```text
//! streamlog-interop generate <dir> <records.jsonl> <offsets.jsonl> <groups.jsonl>
//!                                                new topics and groups, and what should be found in them
//! streamlog-interop append <dir> <topic>...      one record to every partition, and says where it went
//! streamlog-interop read <dir> <topic>...        every record of the partitions' logs, aborted ones too, to stdout
//! streamlog-interop consume <dir> <topic>...     every record a read_committed consumer gets, to stdout
//! streamlog-interop committed <dir> <topic> <group>...    the groups' committed offsets, to stdout
//! streamlog-interop groups <dir> <groups.jsonl> <offsets.jsonl>    all groups, and all that they committed
//! streamlog-interop go-on <dir> <group>...       joins each group, commits one more, leaves; what it committed, to stdout
//! ```

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
        ["append", dir, topics @ ..] => generate::append(dir, topics),
        ["read", dir, topics @ ..] => read::read(dir, topics),
        ["consume", dir, topics @ ..] => read::consume(dir, topics),
        ["committed", dir, topic, groups @ ..] => read::committed(dir, topic, groups),
        ["groups", dir, groups, offsets] => groups::list(dir, groups, offsets),
        ["go-on", dir, groups @ ..] => groups::go_on(dir, groups),
        _ => Err("usage: streamlog-interop generate|append|read|consume|committed|groups|go-on <dir> ...".into()),
    }
}
