//! A killed process loses nothing that it acknowledged, on a real disk.
//!
//! ```text
//!   child: writes in every mode, commits ─▶ pipe: one line for each acknowledgement ─▶ parent
//!   parent: SIGKILL at a random line or moment ─▶ opens what is left, twice ─▶ reads, compares
//! ```
//! The child is this very test binary, run again with an environment variable. Every record's
//! content follows from its writer and number, so the parent knows each record that it reads:
//! * lost: an acknowledged record that is not at its offset;
//! * doubled, reordered: the numbers of one writer in one partition are not 0, 1, 2, …
//! * invented: a record that no writer makes;
//! * torn: a writer's last batch that is not whole.
//!
//! Half of the rounds start in an empty directory; the others go on in one that was killed many times.
//! `STREAMLOG_KILL_ROUNDS` sets the number of rounds, `STREAMLOG_SEED` the choices; the timing is
//! the machine's.

mod child;
mod content;
mod groups;
mod verify;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::random::{Random, from_environment, seed_from_clock};
use child::{DIRECTORY, ROLE, Role, SEED, WRITER};
use verify::{Expected, Files};

/// How many rounds go on in one directory.
const ROUNDS_A_DIRECTORY: u64 = 25;

#[test]
fn acknowledged_records_survive_a_kill() {
    let rounds = from_environment("STREAMLOG_KILL_ROUNDS", 100);
    let seed = from_environment("STREAMLOG_SEED", seed_from_clock());
    println!("STREAMLOG_SEED={seed}");
    let mut random = Random::new(seed);
    let mut lasting = Directory::new();
    for round in 0..rounds {
        if round % 2 == 0 {
            Directory::new().round(round, random.one_in(5), &mut random);
            continue;
        }
        if (round / 2) % ROUNDS_A_DIRECTORY == 0 {
            lasting = Directory::new();
        }
        lasting.round(round, true, &mut random);
        if random.one_in(4) {
            lasting.open_and_close();
        }
    }
}

/// A data directory and what has to be in it.
struct Directory {
    dir: TempDir,
    expected: Expected,
}

impl Directory {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            expected: Expected::default(),
        }
    }

    /// `commits` decides whether a consumer commits: making its topic, of 50 partitions, takes long.
    fn round(&mut self, round: u64, commits: bool, random: &mut Random) {
        self.write_until_killed(round, commits, random);
        let first = self.open_until_killed();
        assert!(!first.starts_with("damage"), "round {round}: {first}");
        let recovered = Files::of(self.dir.path());

        let second = self.open_until_killed();
        assert_eq!(second, "clean", "round {round}: the second open");
        let again = Files::of(self.dir.path());
        assert_eq!(
            recovered.difference(&again),
            None,
            "round {round}: opening again changes no byte"
        );

        let copy = fast_directory();
        recovered.write_to(copy.path());
        self.expected.check(copy.path(), round);
    }

    /// Runs a writing child until a random line of its report, or a random moment.
    fn write_until_killed(&mut self, round: u64, commits: bool, random: &mut Random) {
        let role = if commits {
            Role::WriteAndCommit
        } else {
            Role::Write
        };
        let mut child = self.spawn(role, round, random.number());
        let output = child.stdout.take().unwrap();
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        if random.one_in(8) {
            // While it opens, perhaps before it wrote anything.
            let moment = Instant::now() + Duration::from_micros(random.below(15_000));
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
        } else {
            let count = if random.one_in(2) { 100 } else { 2_500 };
            for line in lines.by_ref().take(random.index(count)) {
                self.expected.note(&line);
            }
        }
        kill(&mut child);
        for line in lines {
            self.expected.note(&line);
        }
    }

    /// Runs a child that opens the directory, until it says what it found.
    fn open_until_killed(&self) -> String {
        let mut child = self.spawn(Role::Open, 0, 0);
        let output = child.stdout.take().unwrap();
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let report = lines.find_map(|line| line.strip_prefix("@report ").map(str::to_owned));
        kill(&mut child);
        report.expect("the directory opens")
    }

    fn open_and_close(&self) {
        let broker = streamlog::Broker::open(self.dir.path()).unwrap();
        assert!(broker.recovery_report().is_clean());
        broker.close().unwrap();
    }

    fn spawn(&self, role: Role, round: u64, seed: u64) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["kill::child::process", "--exact", "--nocapture"])
            .env(ROLE, role.name())
            .env(DIRECTORY, self.dir.path())
            .env(WRITER, (round * child::WRITERS).to_string())
            .env(SEED, seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// A directory for what need not be on a device, in memory if there is a place for that.
fn fast_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    // It dies by our hand, not by a panic of its own.
    assert_eq!(status.code(), None, "the child ended by itself: {status}");
}
