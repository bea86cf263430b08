//! `consumer_groups` answers mistakes in words, and does nothing.

use super::consumer_groups::Groups;
use super::printed;

#[test]
fn what_there_is_not_is_told_and_nothing_is_done() {
    let groups = Groups::new();
    let before = groups.committed("a");
    for (options, message) in [
        (
            "--describe --group a --group nobody",
            "error: unknown group `nobody`",
        ),
        (
            "--reset-offsets --group nobody --all-topics --to-earliest --execute",
            "unknown group `nobody`",
        ),
        (
            "--reset-offsets --group a --topic x --to-earliest --execute",
            "unknown topic `x`",
        ),
        (
            "--reset-offsets --group a --topic clicks:0,7 --to-earliest --execute",
            "has no partition 7",
        ),
        (
            "--reset-offsets --group a --group b --topic clicks --shift-by 1 --execute",
            "group `b` has no committed offset",
        ),
        (
            "--reset-offsets --group a --to-earliest --execute",
            "one of the reset scopes must be given",
        ),
        (
            "--reset-offsets --group a --from-file /nowhere/x.csv --execute",
            "cannot read /nowhere/x.csv",
        ),
        ("--delete --group nobody", "unknown group `nobody`"),
        (
            "--delete-offsets --group nobody --topic clicks",
            "unknown group `nobody`",
        ),
        (
            "--delete-offsets --group a --topic clicks --topic x",
            "unknown topic `x`",
        ),
        (
            "--delete-offsets --group a --topic clicks:0",
            "offsets are deleted for whole topics",
        ),
        (
            "--delete-offsets --group a --group b --topic clicks",
            "takes one --group",
        ),
    ] {
        let printed = groups.run_to_failure(options);
        assert!(printed.contains(message), "{options}\n{printed}");
    }
    assert_eq!(groups.committed("a"), before);
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    let groups = Groups::new();
    for options in [
        "--group a",
        "--list --describe --group a",
        "--list --group a",
        "--list --members",
        "--list --dry-run",
        "--describe --all-groups --all-topics",
        "--reset-offsets --group a --topic clicks --to-earliest --offsets",
        "--describe",
        "--describe --group a --all-groups",
        "--describe --group a --members --state",
        "--describe --group a --verbose",
        "--describe --group a --to-earliest",
        "--delete --group a --topic clicks",
        "--delete --group a --execute",
        "--delete-offsets --group a",
        "--reset-offsets --group a --topic clicks",
        "--reset-offsets --group a --topic clicks --to-earliest --to-latest",
        "--reset-offsets --group a --topic clicks --all-topics --to-earliest",
        "--reset-offsets --group a --topic clicks --from-file x",
        "--reset-offsets --group a --topic clicks --to-earliest --dry-run --execute",
        "--reset-offsets --group a --topic clicks:x --to-earliest",
        "--reset-offsets --group a --topic clicks --to-offset -1",
        "--reset-offsets --group a --topic clicks --to-datetime yesterday",
        "--reset-offsets --group a --topic clicks --by-duration P1M",
    ] {
        let output = groups.command(options).output().unwrap();
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{options}\n{printed}");
        assert!(printed.starts_with("error: "), "{options}\n{printed}");
    }
}
