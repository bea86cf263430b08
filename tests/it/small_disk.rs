//! A real file system that is full: a tmpfs of 64 MiB.
//!
//! ```text
//!   parent (this test binary) ─▶ unshare: a mount namespace of its own ─▶ mount tmpfs ─▶ child (the same binary)
//! ```
//! Whoever may mount (root) does; others get a user namespace to do it in. Where neither is possible the tests
//! say so and prove nothing; with `STREAMLOG_NEEDS_SMALL_DISK` set, as `.ci/run` has it, they fail then.
//!
//! What is promised: a call succeeds, or says that the disk is full, and then nothing has changed. Readers go
//! on. Once there is room, the same producer goes on, and all that was acknowledged is there.

mod ballast;
mod child;
mod fill;
mod steps;

use std::process::{Command, Output, Stdio};

/// Set for the child: the scene.
const SCENE: &str = "STREAMLOG_SMALL_DISK_SCENE";
/// Set by who wants to be told if there is no such file system to be had.
const FORCE: &str = "STREAMLOG_NEEDS_SMALL_DISK";

/// Where the child finds it: the directory exists everywhere, and what is in it is only hidden there.
const MOUNT: &str = "/mnt";

#[test]
fn a_full_disk_loses_nothing_and_everybody_goes_on_once_there_is_room() {
    play("fill");
}

#[test]
fn a_disk_budget_below_the_disk_is_met_first() {
    play("budget");
}

#[test]
fn a_disk_that_is_full_at_any_step_leaves_what_was_there() {
    play("steps");
}

/// Plays a scene in a child that has the small file system.
fn play(scene: &str) {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let Some(way) = ways
        .iter()
        .find(|way| unshare(way, "true").is_ok_and(|it| it.status.success()))
    else {
        assert!(
            std::env::var_os(FORCE).is_none(),
            "no small file system can be mounted here, neither as root nor in a user namespace"
        );
        eprintln!("SKIPPED, and nothing proved: `unshare` cannot mount a small file system here");
        return;
    };
    let binary = std::env::current_exe().unwrap();
    let test = "small_disk::child::process";
    let command = format!("'{}' {test} --exact --nocapture", binary.display());
    let output = unshare_scene(way, &command, scene);
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("played"),
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

fn unshare(way: &[&str], command: &str) -> std::io::Result<Output> {
    scene_command(way, command).output()
}

fn unshare_scene(way: &[&str], command: &str, scene: &str) -> Output {
    scene_command(way, command)
        .env(SCENE, scene)
        .output()
        .unwrap()
}

/// Runs a command where the small file system is mounted.
fn scene_command(way: &[&str], command: &str) -> Command {
    let script = format!("mount -t tmpfs -o size=64m small {MOUNT} && {command}");
    let mut unshare = Command::new("unshare");
    unshare
        .args(way)
        .args(["--propagation", "private", "sh", "-c", &script]);
    unshare.stdin(Stdio::null());
    unshare
}
