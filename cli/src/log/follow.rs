//! One log as lines, the older ones first and then those that come: across a turn of its files, and while others write. Nothing here knows
//! what a line says.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use super::file::{FileId, MAX_BYTES, files};

/// Longest line, in bytes; what is longer is no line of ours and is left out.
const MAX_LINE: usize = 1 << 20;
/// Most bytes that are read of one file: more than a log has before it is turned over.
const MAX_READ: u64 = MAX_BYTES + MAX_LINE as u64;

/// A log that is read.
#[derive(Debug)]
pub(crate) struct Follower {
    path: PathBuf,
    open: Option<Open>,
    /// A line whose end has not come yet.
    rest: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
    /// Another file has the name now. One more look, for who was about to write, and then it is that one's turn.
    old: bool,
}

impl Follower {
    /// The last lines of the log, at most `last`, oldest first, and who follows it from there on. Without a log there are none, yet.
    ///
    /// # Errors
    /// When there is a log that cannot be read.
    pub(crate) fn open(path: &Path, last: usize) -> io::Result<(Self, Vec<String>)> {
        let mut follower = Self { path: path.to_owned(), open: None, rest: Vec::new() };
        let mut lines = follower.poll()?;
        for older in files(path).skip(1) {
            if lines.len() >= last {
                break;
            }
            match File::open(&older) {
                Ok(file) => _ = lines.splice(0..0, split(&mut tail(file)?)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        lines.drain(..lines.len().saturating_sub(last));
        Ok((follower, lines))
    }

    /// Whether there is a log.
    pub(crate) const fn is_there(&self) -> bool {
        self.open.is_some()
    }

    /// The whole lines that have come since the last time.
    ///
    /// # Errors
    /// When there is a log that cannot be read.
    pub(crate) fn poll(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            if self.open.is_none() && !self.begin(&mut lines)? {
                return Ok(lines);
            }
            let Some(open) = &mut self.open else { return Ok(lines) };
            if open.file.metadata()?.len() < open.file.stream_position()? {
                // Somebody has emptied it.
                open.file.rewind()?;
                self.rest.clear();
            }
            (&open.file).take(MAX_READ).read_to_end(&mut self.rest)?;
            lines.extend(split(&mut self.rest));
            if self.rest.len() > MAX_LINE {
                self.rest.clear();
            }
            if !open.old {
                open.old = FileId::at(&self.path) != Some(open.id);
                return Ok(lines);
            }
            self.open = None;
            self.rest.clear();
        }
    }

    /// Opens the file that has the name now; `false` if none has.
    fn begin(&mut self, lines: &mut Vec<String>) -> io::Result<bool> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let id = FileId::of(&file)?;
        self.rest = tail(file.try_clone()?)?;
        lines.extend(split(&mut self.rest));
        self.open = Some(Open { file, id, old: false });
        Ok(true)
    }
}

/// The last bytes of a file, from the beginning of a line on.
fn tail(mut file: File) -> io::Result<Vec<u8>> {
    let skipped = file.metadata()?.len().saturating_sub(MAX_READ);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    (&file).take(MAX_READ).read_to_end(&mut bytes)?;
    if skipped > 0 {
        let begin = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        bytes.drain(..begin);
    }
    Ok(bytes)
}

/// Takes the whole lines out of these bytes, and leaves what has no end yet.
fn split(bytes: &mut Vec<u8>) -> Vec<String> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines: Vec<u8> = bytes.drain(..end).collect();
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line.len() <= MAX_LINE);
    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::log::file::LogFile;

    fn log(folder: &tempfile::TempDir) -> (PathBuf, LogFile) {
        let path = folder.path().join("pull.log");
        let log = LogFile::open_with(&path, 20).unwrap();
        (path, log)
    }

    #[test]
    fn the_last_lines_come_from_older_files_too_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut log) = log(&folder);
        (0..7).for_each(|n| log.append(&format!("line {n:04}")).unwrap());
        let last = |n| Follower::open(&path, n).unwrap().1;
        assert_eq!(last(3), ["line 0004", "line 0005", "line 0006"]);
        assert_eq!(last(100).len(), 7);
        assert_eq!(last(0), [""; 0]);
    }

    #[test]
    fn who_follows_misses_nothing_while_files_are_turned_over() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut log) = log(&folder);
        let (mut follower, seen) = Follower::open(&path, 10).unwrap();
        assert_eq!(seen, [""; 0]);
        let mut got = Vec::new();
        for n in 0..30 {
            log.append(&format!("line {n:04}")).unwrap();
            got.extend(follower.poll().unwrap());
        }
        (0..2).for_each(|_| got.extend(follower.poll().unwrap()));
        assert_eq!(got, (0..30).map(|n| format!("line {n:04}")).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_written_into_a_file_that_was_just_turned_over_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut late) = log(&folder);
        late.append("first").unwrap();
        let (mut follower, _) = Follower::open(&path, 10).unwrap();
        let older = path.with_extension("log.1");
        fs::rename(&path, &older).unwrap();
        fs::write(&path, "third\n").unwrap();
        assert_eq!(follower.poll().unwrap(), [""; 0], "it is seen that there is another");
        fs::write(&older, "first\nsecond\n").unwrap();
        assert_eq!(follower.poll().unwrap(), ["second", "third"]);
    }

    #[test]
    fn half_a_line_is_waited_for_and_a_file_that_was_emptied_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pull.log");
        let (mut follower, _) = Follower::open(&path, 10).unwrap();
        assert!(!follower.is_there() && follower.poll().unwrap().is_empty());
        fs::write(&path, "one\ntw").unwrap();
        assert_eq!(follower.poll().unwrap(), ["one"]);
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(follower.poll().unwrap(), ["two"]);
        fs::write(&path, "new\n").unwrap();
        assert_eq!(follower.poll().unwrap(), ["new"]);
    }
}
