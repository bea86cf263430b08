//! Goal: no interleaving of threads loses a wake-up, or acknowledges what no sync covered.
//!
//! Method: the library's own files, compiled with loom's locks and atomics (`sync.rs` here), run by
//! loom in every order that two or three threads can take, within the bound of preemptions that each
//! model names. A lost wake-up is a deadlock, which loom reports with the way that led there.
#![allow(
    dead_code,
    reason = "not everything in the library's files has a model"
)]
#![allow(
    unfulfilled_lint_expectations,
    reason = "what the library does not use yet may have a model"
)]

mod commit_models;
#[path = "../../../src/log/group_commit.rs"]
mod group_commit;
#[path = "../../../src/notify.rs"]
mod notify;
mod notify_models;
#[path = "../../../src/group/signal.rs"]
mod signal;
mod signal_models;
mod sync;

/// As far as the library's files need it.
mod record {
    pub(crate) type Offset = u64;
}

/// As far as the library's files need it.
mod error {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct SyncFailed;

    pub(crate) type Result<T> = std::result::Result<T, SyncFailed>;
}

/// Name, most preemptions (`None`: any number), and what to run.
type Model = (&'static str, Option<usize>, fn());

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let models = notify_models::MODELS.iter();
    let models = models
        .chain(commit_models::MODELS)
        .chain(signal_models::MODELS);
    for (name, preemptions, model) in models.filter(|model| model.0.contains(&wanted)) {
        let start = std::time::Instant::now();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = *preemptions;
        builder.max_branches = 10_000;
        builder.check(*model);
        let bound = preemptions.map_or("any number".into(), |bound| format!("up to {bound}"));
        println!(
            "{name}: good with {bound} of preemptions ({:.1?})",
            start.elapsed()
        );
    }
}
