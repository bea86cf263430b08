//! A file that takes the space that others are to miss.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

/// The file system gives space by pages of this size.
pub const PAGE: u64 = 4096;

/// See the module's description.
pub struct Ballast(PathBuf);

impl Ballast {
    pub fn new() -> Self {
        Self(PathBuf::from(super::MOUNT).join("ballast"))
    }

    /// Takes so many bytes.
    pub fn take(&self, bytes: usize) {
        fs::write(&self.0, vec![1; bytes]).unwrap();
    }

    /// Takes all but so many pages.
    pub fn leave(&self, pages: u64) {
        let mut file = File::create(&self.0).unwrap();
        let mut len = 0;
        for size in [1 << 20, PAGE] {
            let piece = vec![1; usize::try_from(size).unwrap()];
            while file.write_all(&piece).is_ok() {
                len += size;
            }
            // What was written of a piece that did not fit.
            file.set_len(len).unwrap();
            let end = std::io::SeekFrom::Start(len);
            std::io::Seek::seek(&mut file, end).unwrap();
        }
        file.set_len(len.saturating_sub(pages * PAGE)).unwrap();
    }

    pub fn remove(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Pages that are free.
pub fn free_pages() -> u64 {
    rustix::fs::statvfs(super::MOUNT).unwrap().f_bfree
}
