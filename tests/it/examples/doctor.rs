//! `doctor` says by its exit code what it found, and to scripts in JSON what it did.

use serde_json::Value;
use streamlog::{Broker, Record, TopicConfig};

use super::*;

fn doctor(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let (command, options) = args.split_first().unwrap();
    let mut doctor = example("doctor");
    let output = doctor.arg(command).arg(dir).args(options).output().unwrap();
    assert!(
        !printed(&output).contains("panicked"),
        "{}",
        printed(&output)
    );
    (output.status.code(), printed(&output))
}

fn json(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[test]
fn doctor_finds_damage_and_salvages_the_rest() {
    let dir = tempdir().unwrap();
    let dir = dir.path();
    let broker = Broker::open(dir).unwrap();
    let orders = broker
        .create_topic("orders", TopicConfig::default())
        .unwrap();
    for order in ["first", "second", "third"] {
        let records = [Record::value_only(order)];
        orders.partition(0).unwrap().append(&records).unwrap();
    }
    let (code, printed) = doctor(dir, &["verify"]);
    assert_eq!(code, Some(2), "{printed}");
    assert!(printed.contains("is in use by another broker"), "{printed}");
    broker.close().unwrap();

    let (code, printed) = doctor(dir, &["verify"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("3 records") && printed.contains("clean"),
        "{printed}"
    );
    let (code, printed) = doctor(dir, &["salvage"]);
    assert_eq!((code, printed.trim()), (Some(0), "no partition to salvage"));

    let log = dir.join("orders-0/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    let (code, printed) = doctor(dir, &["verify", "--json"]);
    assert_eq!(code, Some(1), "{printed}");
    let report = json(&printed);
    assert_eq!(report["damaged"], true);
    assert_eq!(report["findings"][0]["offsets"], serde_json::json!([1, 2]));
    let (code, printed) = doctor(dir, &["salvage"]);
    assert_eq!(code, Some(2), "it asks before: {printed}");
    assert!(printed.contains("add --yes"), "{printed}");
    let (code, printed) = doctor(dir, &["salvage", "--dry-run"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("lost: offsets 1..2"), "{printed}");
    let (code, printed) = doctor(
        dir,
        &["salvage", "--yes", "--json", "--partition", "orders-0"],
    );
    assert_eq!(code, Some(1), "{printed}");
    let report = json(&printed);
    assert_eq!(report["partitions"][0]["records"], 2);
    assert!(Path::new(report["partitions"][0]["kept_aside"].as_str().unwrap()).is_dir());
    let (code, printed) = doctor(dir, &["verify"]);
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn doctor_refuses_what_it_does_not_understand() {
    let dir = tempdir().unwrap();
    for args in [
        &["verify", "--fix"][..],
        &["salvage", "--partition", "orders"],
        &["heal"],
    ] {
        let (code, printed) = doctor(dir.path(), args);
        assert_eq!(code, Some(2), "{printed}");
    }
    let (code, printed) = doctor(&dir.path().join("nowhere"), &["verify"]);
    assert_eq!(code, Some(2), "{printed}");
    assert!(printed.contains("no data directory"), "{printed}");
}
