//! What ran it: processor, memory, kernel, file system, versions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub file_system: String,
    pub compiler: String,
}

impl Machine {
    /// The file system is that of `dir`.
    pub fn look(dir: &Path) -> Self {
        let unknown = || "unknown".to_owned();
        let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(unknown);
        let memory = field("/proc/meminfo", "MemTotal");
        let kilobytes = memory.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kilobytes.map_or(0, |kilobytes| (kilobytes + (1 << 19)) >> 20),
            kernel: format!("Linux {}", version(kernel.trim())),
            file_system: file_system(dir).unwrap_or_else(unknown),
            compiler: output("rustc", &["--version"]).unwrap_or_else(unknown),
        }
    }
}

/// Without the suffix that names whoever built it.
fn version(release: &str) -> &str {
    release.split('-').next().unwrap_or(release)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The type of the mount that `dir` is in: the longest mount point above it, the last of equals.
fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (point, kind) = (fields.next()?, fields.next()?);
            dir.starts_with(point).then(|| (point.len(), kind.to_owned()))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

/// Today's date, by the system's own tool: no package is needed for it.
pub fn today() -> String {
    output("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default()
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Versions of all packages, from this package's Cargo.lock.
pub fn versions() -> BTreeMap<String, String> {
    let lock = include_str!("../Cargo.lock");
    let quoted = |line: &str, name: &str| {
        let value = line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"')?;
        Some(value.to_owned())
    };
    let mut versions = BTreeMap::new();
    let mut package = None;
    for line in lock.lines() {
        if let Some(name) = quoted(line, "name") {
            package = Some(name);
        } else if let (Some(name), Some(version)) = (&package, quoted(line, "version")) {
            versions.insert(name.clone(), version);
        }
    }
    versions
}
