//! What opening costs: a large log after a clean close and after a kill, and many partitions.
//!
//! `cargo bench --bench many` prints medians, descriptors, maps and memory; `-- --test` runs the same
//! in small, once. The kill is a copy of the directory taken while the broker is open: what a killed
//! process leaves, with the pages still in the kernel's cache. `STREAMLOG_BENCH_DIR` says where.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use streamlog::{Broker, Partition, Position, Record, Result, TopicConfig};

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "it is what an allocator is made of")]
// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The process that writes until it is killed, by its environment.
const CHILD: &str = "STREAMLOG_BENCH_KILLED";

struct Sizes {
    durable: u64,
    tail: u64,
    partitions: u32,
    segments: u32,
    rounds: usize,
}

const FULL: Sizes = Sizes {
    durable: 2 << 30,
    tail: 64 << 20,
    partitions: 10_000,
    segments: 5,
    rounds: 7,
};

const SMALL: Sizes = Sizes {
    durable: 4 << 20,
    tail: 1 << 20,
    partitions: 20,
    segments: 3,
    rounds: 1,
};

fn main() -> Result<()> {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let sizes = if is_test { SMALL } else { FULL };
    if let Ok(dir) = std::env::var(CHILD) {
        return write_until_killed(Path::new(&dir), &sizes);
    }
    let base = std::env::var_os("STREAMLOG_BENCH_DIR").map_or(std::env::temp_dir(), PathBuf::from);
    let dir = tempfile::tempdir_in(base).expect("a directory can be made");
    let only = std::env::var("STREAMLOG_BENCH_ONLY").unwrap_or_default();
    if "large".contains(&only) {
        large(&dir.path().join("large"), &sizes)?;
    }
    if "many".contains(&only) {
        many(&dir.path().join("many"), &sizes)?;
    }
    Ok(())
}

fn large(dir: &Path, sizes: &Sizes) -> Result<()> {
    println!(
        "one partition, {} MiB, of which {} MiB were never synced:",
        (sizes.durable + sizes.tail) >> 20,
        sizes.tail >> 20
    );
    let program = std::env::current_exe().expect("this program has a path");
    let mut killed = Vec::new();
    let mut clean = Vec::new();
    for _ in 0..sizes.rounds {
        // The segment would be full.
        let _ = std::fs::remove_dir_all(dir);
        let mut child = Command::new(&program)
            .args(std::env::args().skip(1))
            .env(CHILD, dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)
            .expect("the child says something");
        child.kill().expect("the child can be killed");
        child.wait().expect("the child ends");
        let started = Instant::now();
        let broker = Broker::open(dir)?;
        killed.push(started.elapsed());
        let log = broker.topic("t")?.partition(0)?;
        assert_eq!(
            log.high_watermark().to_string(),
            line.trim(),
            "nothing is lost"
        );
        if let Some((_, report)) = broker.recovery_report().partitions.first() {
            println!("  {report:?}");
        }
        drop(log);
        broker.close()?;
        let started = Instant::now();
        let broker = Broker::open(dir)?;
        clean.push(started.elapsed());
        broker.close()?;
    }
    print("open after a kill", killed);
    print("open after a clean close", clean);
    Ok(())
}

/// Fills up to the durable size, syncs, goes on by the tail, says where it ends, and waits.
fn write_until_killed(dir: &Path, sizes: &Sizes) -> Result<()> {
    let broker = Broker::open(dir)?;
    let config = TopicConfig::default()
        .flush_ms(None)
        .segment_bytes((1 << 31) - 1);
    if broker.topic("t").is_err() {
        broker.create_topic("t", config)?;
    }
    let log = broker.topic("t")?.partition(0)?;
    let fill = |end: u64| -> Result<()> {
        let value = [b'x'; 1000];
        let batch: Vec<_> = (0..60).map(|_| Record::value_only(&value)).collect();
        while log.size_bytes() < end {
            log.append(&batch)?;
        }
        Ok(())
    };
    for step in 1..=16 {
        fill((sizes.durable - sizes.tail - (1 << 20)) * step / 16)?;
        log.flush()?;
    }
    let start = log.size_bytes();
    fill(start + sizes.tail)?;
    println!("{}", log.high_watermark());
    std::thread::sleep(Duration::from_secs(3600));
    Ok(())
}

fn many(dir: &Path, sizes: &Sizes) -> Result<()> {
    println!(
        "{} partitions of {} segments each:",
        sizes.partitions, sizes.segments
    );
    let config = TopicConfig::default()
        .partitions(sizes.partitions)
        .segment_bytes(2_000);
    let started = Instant::now();
    let broker = Broker::open(dir)?;
    let topic = broker.create_topic("t", config)?;
    println!(
        "  create                        {:>10.1?}",
        started.elapsed()
    );
    let value = [b'x'; 1000];
    let started = Instant::now();
    for partition in topic.partitions() {
        for _ in 0..sizes.segments {
            partition.append(&[Record::value_only(&value)])?;
        }
    }
    println!(
        "  append, roll                  {:>10.1?}",
        started.elapsed()
    );
    drop(topic);
    let started = Instant::now();
    broker.close()?;
    println!(
        "  close                         {:>10.1?}",
        started.elapsed()
    );
    let mut opens = Vec::new();
    let mut closes = Vec::new();
    for _ in 0..sizes.rounds {
        let before = IN_USE.load(Ordering::Relaxed);
        let started = Instant::now();
        let broker = Broker::open(dir)?;
        opens.push(started.elapsed());
        assert!(broker.recovery_report().clean_shutdown);
        if opens.len() == 1 {
            resources("after the open", before, sizes);
            read_all(&broker)?;
            resources("after reading everything", before, sizes);
            idle(&broker);
        }
        let started = Instant::now();
        broker.close()?;
        closes.push(started.elapsed());
    }
    print("open after a clean close", opens);
    print("close of what nobody changed", closes);
    Ok(())
}

fn read_all(broker: &Broker) -> Result<()> {
    let started = Instant::now();
    for partition in broker.topic("t")?.partitions() {
        let read = count(&partition)?;
        assert_eq!(read, partition.high_watermark());
    }
    println!(
        "  read every segment            {:>10.1?}",
        started.elapsed()
    );
    Ok(())
}

fn count(partition: &Partition) -> Result<u64> {
    let mut reader = partition.reader(Position::Earliest)?;
    let mut read = 0;
    while reader.next()?.is_some() {
        read += 1;
    }
    Ok(read)
}

fn resources(when: &str, before: usize, sizes: &Sizes) {
    let in_use = IN_USE.load(Ordering::Relaxed).saturating_sub(before);
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let maps = maps.lines().filter(|line| line.contains(".log")).count();
    let each = in_use / sizes.partitions as usize;
    println!("  {when}: {files} descriptors, {maps} maps, {each} bytes of memory a partition");
}

/// Time on the processor while nothing happens.
fn idle(_broker: &Broker) {
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().to_owned();
        let field = |at: usize| {
            fields
                .split_whitespace()
                .nth(at)
                .and_then(|it| it.parse().ok())
        };
        field(11).unwrap_or(0_u64) + field(12).unwrap_or(0)
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(2));
    println!(
        "  idle for 2 s                  {:>7} ms of processor",
        (ticks() - before) * 10
    );
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!(
        "  {what:29} {:>10.2?} (from {:.2?} to {:.2?})",
        times[times.len() / 2],
        times[0],
        times[times.len() - 1]
    );
}
