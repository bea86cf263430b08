//! Copies between a simulated disk and the machine's own file system, to look at a case with other
//! tools or to start from one.

use std::fs;
use std::io;
use std::path::Path;

use super::SimDisk;

impl SimDisk {
    /// A recording disk that holds a copy of a directory of the machine, at the same path.
    ///
    /// # Errors
    /// What reading the directory gives.
    pub fn from_directory(dir: impl AsRef<Path>) -> io::Result<Self> {
        let disk = Self::recording();
        disk.load(dir.as_ref())?;
        Ok(disk.duplicate())
    }

    fn load(&self, dir: &Path) -> io::Result<()> {
        self.plant_dir(dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                self.load(&path)?;
            } else {
                self.write(&path, fs::read(&path)?)?;
            }
        }
        Ok(())
    }

    /// Writes all files and directories below `dir` of the machine, which is made if it is missing.
    /// Absolute paths of the disk become relative to `dir`.
    ///
    /// # Errors
    /// What writing gives.
    pub fn write_to(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        let inside = |path: &Path| dir.as_ref().join(path.strip_prefix("/").unwrap_or(path));
        fs::create_dir_all(&dir)?;
        let image = self.image();
        for path in image.directories() {
            fs::create_dir_all(inside(&path))?;
        }
        for (path, _) in image.files() {
            fs::write(inside(&path), image.read(&path).unwrap_or_default())?;
        }
        Ok(())
    }
}
