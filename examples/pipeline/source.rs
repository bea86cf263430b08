//! The file: which one, its lines, and where each line is.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Logs that Unix systems have, most talkative first.
const USUAL_LOGS: [&str; 5] = [
    "/var/log/dpkg.log",
    "/var/log/apt/history.log",
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/alternatives.log",
];
/// A log that nobody asked for is taken only up to this size.
const LARGEST_FOUND: u64 = 256 << 20;
/// A longer line is refused: it would have to fit into memory, and into one record.
pub(crate) const LONGEST_LINE: usize = 64 << 20;

/// The file to read. Its length is taken once: what is added while we read is for the next run.
pub(crate) struct Input {
    path: PathBuf,
    len: u64,
    /// It was made up, and goes away at the end.
    made_up: Option<NamedTempFile>,
}

impl Input {
    /// The file given, or else a log of this machine, or else one that is made up.
    pub(crate) fn find(given: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        if let Some(path) = given {
            return Self::open(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()).into());
        }
        let found = candidates()
            .into_iter()
            .filter_map(|path| Self::open(&path).ok())
            .find(|input| (1..=LARGEST_FOUND).contains(&input.len));
        found.map_or_else(Self::make_up, Ok)
    }

    fn open(path: &Path) -> std::io::Result<Self> {
        let metadata = File::open(path)?.metadata()?;
        if !metadata.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        Ok(Self {
            path: path.to_path_buf(),
            len: metadata.len(),
            made_up: None,
        })
    }

    fn make_up() -> Result<Self, Box<dyn Error>> {
        let file = NamedTempFile::new()?;
        fs::write(file.path(), made_up_log(20_000)?)?;
        let mut input = Self::open(file.path())?;
        input.made_up = Some(file);
        Ok(input)
    }

    pub(crate) fn describe(&self) -> String {
        let (path, len) = (self.path.display(), self.len);
        let made_up = match self.made_up {
            Some(_) => " (made up: no log was found on this machine)",
            None => "",
        };
        format!("{path}, {len} bytes{made_up}")
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The lines from `place` on.
    pub(crate) fn lines_from(&self, place: Place) -> std::io::Result<Lines> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(place.position))?;
        let left = self.len.saturating_sub(place.position);
        Ok(Lines {
            reader: BufReader::with_capacity(256 << 10, file).take(left),
            next: place,
            text: Vec::new(),
        })
    }
}

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Byte position of its first byte.
    pub(crate) position: u64,
    /// Its number, from 1.
    pub(crate) line: u64,
}

impl Place {
    pub(crate) const START: Self = Self {
        position: 0,
        line: 1,
    };
}

/// A line without its newline. It may be empty, and need not be UTF-8.
pub(crate) struct Line<'a> {
    pub(crate) place: Place,
    pub(crate) text: &'a [u8],
}

/// Reads line by line.
pub(crate) struct Lines {
    reader: std::io::Take<BufReader<File>>,
    next: Place,
    text: Vec<u8>,
}

impl Lines {
    /// The next line; `None` at the end. The last one may lack a newline.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, Box<dyn Error>> {
        self.text.clear();
        let longest = LONGEST_LINE as u64 + 1;
        let count = self
            .reader
            .by_ref()
            .take(longest)
            .read_until(b'\n', &mut self.text)?;
        if count == 0 {
            return Ok(None);
        }
        let place = self.next;
        if self.text.last() == Some(&b'\n') {
            self.text.pop();
        } else if self.text.len() > LONGEST_LINE {
            let number = place.line;
            return Err(
                format!("line {number} is longer than {LONGEST_LINE} bytes: not a log?").into(),
            );
        }
        self.next = Place {
            position: place.position + count as u64,
            line: place.line + 1,
        };
        Ok(Some(Line {
            place,
            text: &self.text,
        }))
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = USUAL_LOGS.iter().map(PathBuf::from).collect();
    if let Some(home) = env::var_os("HOME") {
        paths.push(Path::new(&home).join(".bash_history"));
    }
    let others = fs::read_dir("/var/log").into_iter().flatten().flatten();
    let mut others: Vec<_> = others.map(|entry| entry.path()).collect();
    others.retain(|path| path.extension().is_some_and(|suffix| suffix == "log"));
    others.sort();
    paths.extend(others);
    paths
}

/// What a web server might have logged.
fn made_up_log(lines: u64) -> Result<String, std::fmt::Error> {
    let (methods, paths) = (
        ["GET", "GET", "GET", "POST"],
        ["/", "/cart", "/about", "/login", "/pay"],
    );
    let mut text = String::new();
    let mut random = 1_u64;
    let mut pick = |count: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(random >> 33).unwrap_or(0) % count
    };
    for number in 0..lines {
        let (minute, second) = (number / 60 % 60, number % 60);
        let (method, path) = (methods[pick(methods.len())], paths[pick(paths.len())]);
        let (client, millis, bytes) = (pick(256), pick(400), pick(90_000));
        writeln!(
            text,
            "12:{minute:02}:{second:02} 10.0.0.{client} {method} {path} 200 {bytes} {millis}ms"
        )?;
    }
    Ok(text)
}
