//! A process that is stopped and goes on (Ctrl-Z, a debugger, a laptop's lid) loses no member for that.
//!
//! ```text
//!   child: two members poll, "ready" ─▶ parent: SIGSTOP, longer than their poll interval, SIGCONT
//!   child: they poll again, and are who they were ─▶ "kept"
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use streamlog::{Broker, TopicConfig};

const ROLE: &str = "STREAMLOG_PAUSED_CHILD";
/// Not so short that a busy machine lets it pass.
const INTERVAL: Duration = Duration::from_secs(2);

#[test]
fn a_stopped_process_keeps_its_members() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["groups::paused::process", "--exact", "--nocapture"])
        .env(ROLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let mut stdin = child.stdin.take().unwrap();
    assert!(lines.any(|line| line.ends_with("ready")));
    signal(child.id(), "STOP");
    // Time is what this is about: longer than the interval, and than any oversight of the scheduler.
    let end = Instant::now() + INTERVAL * 2;
    while Instant::now() < end {
        std::thread::park_timeout(end - Instant::now());
    }
    signal(child.id(), "CONT");
    stdin.write_all(b"go on\n").unwrap();
    let last = lines.find(|line| line.starts_with('@'));
    assert_eq!(last.as_deref(), Some("@kept"));
    drop(stdin);
    child.wait().unwrap();
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// The child, when it is started as one.
#[test]
fn process() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let broker = Broker::in_memory();
    let config = TopicConfig::default().partitions(2);
    broker.create_topic("t", config).unwrap();
    let mut members = [(); 2].map(|()| {
        let builder = broker.consumer().group("g").max_poll_interval(INTERVAL);
        let mut member = builder.build().unwrap();
        member.subscribe(["t"]).unwrap();
        member
    });
    let mut who = || {
        for _ in 0..3 {
            for member in &mut members {
                member.poll(Duration::ZERO).unwrap();
            }
        }
        let ids = members.iter().map(|member| {
            let assignment = member.assignment();
            (member.member_id().unwrap().to_owned(), assignment)
        });
        ids.collect::<Vec<_>>()
    };
    let before = who();
    println!("\nready");
    // Outside of a poll, where members are late.
    let _ = std::io::stdin().read(&mut [0; 16]);
    // What the housekeeping thread does when it wakes is done before this.
    broker.run_housekeeping().unwrap();
    let after = who();
    let kept = after == before;
    println!(
        "\n@{}",
        if kept {
            "kept".to_owned()
        } else {
            format!("{before:?} became {after:?}")
        }
    );
}
