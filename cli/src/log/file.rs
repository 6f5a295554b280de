//! The log as files: appended to by any number of processes at once, turned over by size, never in the way of a pull. What the lines say is
//! the business of [`super::events`].
//!
//! A line is one write to a file that is open for appending, so lines of several processes do not tear each other, and whoever is killed
//! leaves whole lines behind. Only a full disk cuts a line short; the next one then begins on a line of its own.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Size at which the file becomes an older one, in bytes: some ten thousand lines.
pub(crate) const MAX_BYTES: u64 = 5 << 20;
/// Older files that are kept: `pull.log.1` is the youngest of them.
pub(crate) const OLDER: usize = 4;

/// Everyone may read, the owner may write.
const FILE_MODE: u32 = 0o644;
/// Everyone may look in.
const FOLDER_MODE: u32 = 0o755;

/// The log, open for writing.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    id: FileId,
    /// Size at which it is turned over.
    max_bytes: u64,
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    /// Of the file that has this name now, if there is one.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|data| Self(data.dev(), data.ino()))
    }

    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|data| Self(data.dev(), data.ino()))
    }
}

/// The files of a log, youngest first.
pub(crate) fn files(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let path = path.to_owned();
    (0..=OLDER).map(move |age| aged(&path, age))
}

impl LogFile {
    /// Opens it, and makes it and its folder if they are not there.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, MAX_BYTES)
    }

    pub(super) fn open_with(path: &Path, max_bytes: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
            // What the umask took away.
            fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))?;
        }
        let file = open(path)?;
        Ok(Self { path: path.to_owned(), id: FileId::of(&file)?, file, max_bytes })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line, whose end is added too.
    ///
    /// # Errors
    /// When it could not be written whole, for example because the disk is full. The next line can be tried all the same.
    pub(crate) fn append(&mut self, line: &str) -> io::Result<()> {
        self.follow()?;
        if self.file.metadata()?.len() >= self.max_bytes {
            self.turn_over()?;
        }
        let whole = format!("{}{line}\n", if is_torn(&self.file)? { "\n" } else { "" });
        let written = self.file.write(whole.as_bytes())?;
        if written == whole.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    /// Goes on in the file that has the name now, if another process has turned over or somebody has taken the file away.
    fn follow(&mut self) -> io::Result<()> {
        if FileId::at(&self.path) != Some(self.id) {
            *self = Self::open_with(&self.path, self.max_bytes)?;
        }
        Ok(())
    }

    /// Makes this file the youngest of the older ones. Whoever finds another process at it leaves it to that one: what is written meanwhile
    /// goes into the file as it is, whatever its name.
    fn turn_over(&mut self) -> io::Result<()> {
        if self.file.try_lock().is_err() {
            return Ok(());
        }
        // The lock is that of the file, so this looks once more whether it is still the one that has the name.
        if FileId::at(&self.path) == Some(self.id) {
            for age in (0..OLDER).rev() {
                match fs::rename(aged(&self.path, age), aged(&self.path, age + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        self.file.unlock()?;
        self.follow()
    }
}

/// The name of the log's file of this age; 0 is the one that is written to.
fn aged(path: &Path, age: usize) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = options.create(true).open(path)?;
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            Ok(file)
        }
        opened => opened,
    }
}

/// Whether the last line has no end, whoever wrote it. What is being written this moment may look so too; then an empty line comes between.
fn is_torn(file: &File) -> io::Result<bool> {
    let Some(at) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut last = [0];
    file.read_exact_at(&mut last, at)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let texts: Vec<_> = files(path).filter_map(|path| fs::read_to_string(path).ok()).collect();
        texts.iter().rev().flat_map(|text| text.lines()).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn folder_and_file_are_made_and_everyone_may_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/pull.log");
        LogFile::open(&path).unwrap().append("one").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o644, 0o755));
        LogFile::open(&path).unwrap().append("two").unwrap();
        assert_eq!(lines(&path), ["one", "two"]);
    }

    #[test]
    fn a_file_that_is_full_becomes_an_older_one_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pull.log");
        let mut log = LogFile::open_with(&path, 20).unwrap();
        (0..40).for_each(|n| log.append(&format!("line {n:04}")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1 + OLDER);
        let kept = lines(&path);
        assert_eq!(kept.last().unwrap(), "line 0039");
        assert_eq!(kept.len(), 2 * (1 + OLDER), "two lines fill a file");
        assert!(kept.is_sorted());
    }

    #[test]
    fn lines_of_many_writers_stay_whole_and_none_is_lost_though_files_are_turned_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pull.log");
        let write = |writer: usize| {
            let mut log = LogFile::open_with(&path, 40_000).unwrap();
            (0..200).for_each(|n| log.append(&format!("<{writer} {n:03} {}>", "x".repeat(100))).unwrap());
        };
        thread::scope(|scope| (0..6).for_each(|writer| _ = scope.spawn(move || write(writer))));
        let mut kept = lines(&path);
        assert!(kept.iter().all(|line| line.starts_with('<') && line.ends_with('>') && line.len() == 108), "whole");
        assert!(FileId::at(&aged(&path, 1)).is_some(), "it was turned over");
        kept.sort();
        kept.dedup();
        assert_eq!(kept.len(), 6 * 200);
    }

    #[test]
    fn behind_a_line_that_was_cut_short_the_next_begins_on_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pull.log");
        fs::write(&path, "whole\nhal").unwrap();
        let mut log = LogFile::open(&path).unwrap();
        log.append("next").unwrap();
        log.append("last").unwrap();
        assert_eq!(lines(&path), ["whole", "hal", "next", "last"]);
    }

    #[test]
    fn a_full_disk_is_an_error_and_nothing_else() {
        let mut log = LogFile::open(Path::new("/dev/full")).unwrap();
        assert_eq!(log.append("line").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pull.log");
        let mut log = LogFile::open(&path).unwrap();
        log.append("gone").unwrap();
        fs::remove_file(&path).unwrap();
        log.append("here").unwrap();
        assert_eq!(lines(&path), ["here"]);
    }
}
