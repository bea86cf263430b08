//! The examples work: each runs without arguments, as a newcomer would run it, and what it prints
//! says so. `pipeline` is killed again and again on its way.
//!
//! Method: `cargo test` builds the examples beside this test (`cargo test --test it` does not: it runs
//! those that are there); they are run as processes of their own.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::{TempDir, tempdir};

mod consumer_group_mistakes;
mod consumer_group_text;
mod consumer_groups;
mod doctor;
mod groups;
mod topics;

/// `target/<profile>/examples/<name>`; this test is in `target/<profile>/deps`.
fn example(name: &str) -> Command {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let mut path = profile.join("examples").join(name);
    path.set_extension(env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "{} is not built: run `cargo test`, or `cargo build --examples` before",
        path.display()
    );
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end; what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let printed = printed(&output);
    assert!(output.status.success(), "{command:?}\n{printed}");
    printed
}

/// Runs it; what it printed while it failed.
fn run_to_failure(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{command:?}\n{printed}");
    assert!(!printed.contains("panicked"), "{printed}");
    printed
}

fn printed(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn run_with_stdin(command: &mut Command, input: &[u8]) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = printed(&output);
    assert!(output.status.success(), "{command:?}\n{printed}");
    printed
}

#[test]
fn quickstart_finds_its_records_after_a_restart() {
    let printed = run(&mut example("quickstart"));
    assert!(printed.contains("wrote 1001 records"), "{printed}");
    assert!(
        printed.contains("reopened: 1001 records, group `dashboard` has processed 1001 of them"),
        "{printed}"
    );
}

#[test]
fn quickstart_goes_on_in_its_directory() {
    let dir = tempdir().unwrap();
    for round in 1..=2 {
        let printed = run(example("quickstart").arg("--data-dir").arg(dir.path()));
        let expected = format!("reopened: {} records", 1001 * round);
        assert!(printed.contains(&expected), "{printed}");
        assert!(printed.contains("read 1001 records"), "{printed}");
    }
}

#[test]
fn every_other_example_shows_what_it_is_for() {
    for (name, expected) in [
        ("consumer_group", "100000 of 100000 records processed"),
        ("consumer_groups", "('copy', 'dashboard') was successful."),
        ("console_producer", "3 records written to console"),
        ("console_consumer", "Processed a total of 4 messages"),
        ("doctor", "orders-0: 2 batches, 2 records kept"),
        ("dump_log", "compresscodec: lz4"),
        ("perf", "Percentiles: 50th = "),
        ("pipeline", "in the topic exactly once, in order"),
        ("synced_writes", "4 thread(s)"),
        ("backup", "the copy opens cleanly"),
        ("topics", "Deleted topic clicks."),
        ("work_queue", "1980 jobs done, 20 given up"),
    ] {
        let printed = run(&mut example(name));
        assert!(printed.contains(expected), "{name}\n{printed}");
    }
}

#[test]
fn perf_prints_what_kafkas_tools_print() {
    let dir = tempdir().unwrap();
    let payload = dir.path().join("payload");
    fs::write(&payload, "one\ntwo\nthree\n").unwrap();
    let perf = |command: &str, more: &[&str]| {
        let mut perf = example("perf");
        perf.arg(command).args(["--topic", "clicks"]);
        perf.arg("--data-dir").arg(dir.path().join("data"));
        run(perf.args(more))
    };
    let payload = payload.to_str().unwrap();
    let sent = perf(
        "producer",
        &[
            "--num-records",
            "300",
            "--payload-file",
            payload,
            "--throughput",
            "1000",
            "--reporting-interval",
            "100",
            "--producer-props",
            "linger.ms=1",
            "compression.type=lz4",
            "--print-metrics",
        ],
    );
    let total = sent.lines().find(|line| line.ends_with(" ms 99.9th."));
    let total = total.unwrap_or_else(|| panic!("{sent}"));
    assert!(total.starts_with("300 records sent, "), "{sent}");
    assert!(total.contains(" records/sec (0.00 MB/sec), "), "{sent}");
    let progress = sent
        .lines()
        .filter(|line| line.ends_with(" ms max latency."));
    assert!(progress.count() >= 2, "300 ms, a line each 100: {sent}");
    assert!(
        sent.contains("clicks-0: log start offset 0, end offset 300"),
        "{sent}"
    );

    let read = perf("consumer", &["--messages", "300", "--group", "g"]);
    let [header, line] = read.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(header.starts_with("start.time, end.time, data.consumed.in.MB, MB.sec, "));
    assert_eq!(
        header.split(", ").count(),
        line.split(", ").count(),
        "{read}"
    );
    assert_eq!(line.split(", ").nth(4), Some("300"), "{read}");
    let more = [
        "--messages",
        "1",
        "--group",
        "g",
        "--timeout",
        "10",
        "--hide-header",
    ];
    let read = perf("consumer", &more);
    assert!(
        read.contains("Exiting before consuming"),
        "the group has read all: {read}"
    );

    let pinged = perf("end-to-end", &["--num-records", "50", "--spin"]);
    assert!(pinged.starts_with("Avg latency: "), "{pinged}");
    let mut unknown = example("perf");
    unknown.args([
        "producer",
        "--num-records",
        "1",
        "--producer-props",
        "linger=5",
    ]);
    assert!(run_to_failure(&mut unknown).contains("unknown property linger"));
}

#[test]
fn the_console_tools_pass_records_on() {
    let dir = tempdir().unwrap();
    let with_dir = |name: &str| {
        let mut command = example(name);
        command.arg("--data-dir").arg(dir.path());
        command.args(["--topic", "clicks"]);
        command
    };
    let input = b"alice=/home\nbob=/a\xff\nalice=/cart=full\nlast=".as_slice();
    let properties = [
        "--property",
        "parse.key=true",
        "--property",
        "key.separator==",
    ];
    let mut produce = with_dir("console_producer");
    let written = run_with_stdin(produce.args(properties).arg("--sync"), input);
    assert!(written.contains("4 records written"), "{written}");

    let consume = |more: &[&str]| {
        let mut command = with_dir("console_consumer");
        command.args(["--timeout-ms", "200", "--property", "print.key=true"]);
        let output = command.args(more).output().unwrap();
        assert!(output.status.success(), "{}", printed(&output));
        output.stdout
    };
    let all = b"alice\t/home\nbob\t/a\xff\nalice\t/cart=full\nlast\t\n";
    assert_eq!(consume(&["--from-beginning"]), all);
    assert_eq!(consume(&[]), b"", "the end is the default, as in Kafka");
    assert_eq!(
        consume(&["--partition", "0", "--offset", "-1"]),
        b"last\t\n"
    );
    let group = ["--group", "g", "--from-beginning", "--max-messages", "3"];
    assert_eq!(
        consume(&group),
        b"alice\t/home\nbob\t/a\xff\nalice\t/cart=full\n"
    );
    assert_eq!(
        consume(&group),
        b"last\t\n",
        "the group goes on where it left off"
    );
}

#[test]
fn dump_log_reads_every_vector_that_kafka_clients_wrote() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/record-batches");
    let dir = tempdir().unwrap();
    let mut looked_at = 0;
    for vector in fs::read_dir(vectors)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if vector.extension().is_none_or(|suffix| suffix != "bin") {
            continue;
        }
        let expected = fs::read_to_string(vector.with_extension("json")).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
        let log = dir.path().join("00000000000000000000.log");
        fs::copy(&vector, &log).unwrap();
        let printed = run(example("dump_log")
            .args(["--json", "--print-data-log", "--files"])
            .arg(&log));
        let batches: Vec<serde_json::Value> = printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let expected = expected["batches"].as_array().unwrap();
        assert_eq!(batches.len(), expected.len(), "{}", vector.display());
        for (batch, expected) in batches.iter().zip(expected) {
            for (ours, theirs) in [
                ("baseOffset", "base_offset"),
                ("lastOffset", "last_offset"),
                ("producerId", "producer_id"),
                ("lastSequence", "last_sequence"),
                ("crc", "crc"),
                ("position", "position"),
            ] {
                assert_eq!(
                    batch[ours],
                    expected[theirs],
                    "{ours} of {}",
                    vector.display()
                );
            }
            assert_eq!(batch["isvalid"], true);
            let count = |batch: &serde_json::Value| batch["records"].as_array().map(Vec::len);
            assert_eq!(count(batch), count(expected), "{}", vector.display());
        }
        looked_at += 1;
    }
    assert!(looked_at > 15);
}

#[test]
fn dump_log_tells_damage_and_goes_on() {
    let dir = tempdir().unwrap();
    for _ in 0..3 {
        let mut producer = example("console_producer");
        producer.arg("--data-dir").arg(dir.path());
        run_with_stdin(&mut producer, b"one\n");
    }
    let log = dir.path().join("console-0/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    let printed = run_to_failure(example("dump_log").arg("--files").arg(&log));
    let count = |text| printed.matches(text).count();
    assert_eq!(
        (count("isvalid: true"), count("isvalid: false")),
        (2, 1),
        "{printed}"
    );
}

#[test]
fn mistakes_of_the_user_are_answered_in_words() {
    let dir = tempdir().unwrap();
    let missing = dir.path().join("missing");
    for (name, options, message) in [
        ("console_consumer", ["--topic", "t"], "no data directory"),
        ("topics", ["--list", "--describe"], "cannot be used with"),
    ] {
        let mut command = example(name);
        let output = command
            .arg("--data-dir")
            .arg(&missing)
            .args(options)
            .output()
            .unwrap();
        let printed = printed(&output);
        assert!(
            !output.status.success() && printed.contains(message),
            "{name}\n{printed}"
        );
    }
    let printed = run_to_failure(example("pipeline").arg("--input").arg(&missing));
    assert!(printed.contains("cannot read"), "{printed}");
    let printed = run_to_failure(
        example("dump_log")
            .arg("--files")
            .arg(missing.join("0.log")),
    );
    assert!(printed.contains("cannot open"), "{printed}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    for name in [
        "quickstart",
        "pipeline",
        "console_consumer",
        "topics",
        "dump_log",
        "consumer_groups",
    ] {
        let mut child = example(name)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let printed = printed(&output);
        assert!(
            output.status.success() && !printed.contains("panicked"),
            "{name}\n{printed}"
        );
    }
}

/// A file for the pipeline, and where its topic goes.
struct Pipeline {
    dir: TempDir,
}

impl Pipeline {
    fn new(input: &[u8]) -> Self {
        let dir = tempdir().unwrap();
        fs::write(dir.path().join("input"), input).unwrap();
        Self { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self) -> Command {
        let mut command = example("pipeline");
        command.arg("--input").arg(self.dir.path().join("input"));
        command.arg("--data-dir").arg(self.data());
        command
    }

    /// Bytes of all segments.
    fn size(&self) -> u64 {
        let dirs = fs::read_dir(self.data()).into_iter().flatten().flatten();
        let dirs = dirs.filter(|dir| dir.file_name().to_string_lossy().starts_with("log-lines-"));
        let files = dirs.flat_map(|dir| fs::read_dir(dir.path()).into_iter().flatten().flatten());
        files
            .filter(|file| {
                file.path()
                    .extension()
                    .is_some_and(|suffix| suffix == "log")
            })
            .map(|file| file.metadata().map_or(0, |metadata| metadata.len()))
            .sum()
    }

    fn run(&self) -> String {
        run(&mut self.command())
    }
}

/// Waits until `holds`; false if the process ended before.
fn wait_while_running(child: &mut Child, holds: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "the pipeline does not get on");
        thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn a_killed_pipeline_neither_loses_nor_repeats_a_line() {
    const LINES: usize = 5_000;
    let lines = (0..LINES).map(|number| format!("line {number} of host-{}\n", number % 97));
    let lines = lines.collect::<Vec<_>>().concat();
    let pipeline = Pipeline::new(lines.as_bytes());
    let mut killed = 0;
    for round in 0..6_u64 {
        let mut child = pipeline
            .command()
            .args(["--slow", "5", "--batch-lines", "20", "--no-show"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Each time it gets a little further: not by the clock, which a busy machine stretches.
        let target = pipeline.size() + 10_000 + 700 * round;
        let reached = wait_while_running(&mut child, || pipeline.size() >= target);
        killed += u64::from(reached);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed >= 4, "it was too fast to be killed: {killed}");
    let printed = pipeline.run();
    assert!(printed.contains("the last run was killed"), "{printed}");
    assert!(
        !printed.contains("found 0 lines") && !printed.contains("added 0 "),
        "{printed}"
    );
    let expected = format!("each of the {LINES} lines of the file is in the topic exactly once");
    assert!(printed.contains(&expected), "{printed}");
    let again = pipeline.run();
    assert!(
        again.contains(&format!("found {LINES} lines in the topic, added 0")),
        "{again}"
    );
}

#[test]
fn a_pipeline_follows_a_file_that_grows() {
    let pipeline = Pipeline::new(b"one\ntwo\n");
    assert!(pipeline.run().contains("each of the 2 lines"));
    fs::write(pipeline.dir.path().join("input"), b"one\ntwo\nthree\n").unwrap();
    let printed = pipeline.run();
    assert!(
        printed.contains("found 2 lines in the topic, added 1"),
        "{printed}"
    );
    assert!(printed.contains("each of the 3 lines"), "{printed}");

    fs::write(pipeline.dir.path().join("input"), b"other\nlines\n").unwrap();
    let printed = run_to_failure(&mut pipeline.command());
    assert!(printed.contains("the file was replaced"), "{printed}");
}

#[test]
fn a_pipeline_takes_any_bytes_for_lines() {
    let mut input = b"\n\nplain\n\xff\xfe not UTF-8\n\r\n \n".to_vec();
    input.extend(vec![b'x'; 3 << 20]);
    input.extend(b"\n\0\0\nno newline at the end");
    let pipeline = Pipeline::new(&input);
    let printed = pipeline.run();
    assert!(printed.contains("raising max.message.bytes"), "{printed}");
    assert!(printed.contains("each of the 9 lines"), "{printed}");
    let printed = pipeline.run();
    assert!(
        printed.contains("found 9 lines in the topic, added 0"),
        "{printed}"
    );

    let printed = Pipeline::new(b"").run();
    assert!(printed.contains("each of the 0 lines"), "{printed}");
}
