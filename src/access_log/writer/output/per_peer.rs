//! A file for each peer, opened when its first line comes.
//!
//! The files written last stay open, [`MOST_OPEN`] of them.

use std::collections::HashMap;
use std::io;
use std::mem;

use crate::access_log::target::{LogTarget, PeerPath};
use crate::access_log::writer::framing::frames;
use crate::access_log::writer::output::Failure;
use crate::access_log::writer::output::file::LogFile;

/// The files of one log.
#[derive(Debug)]
pub(super) struct PeerFiles {
    path: PeerPath,
    gzip: Option<u32>,
    open: HashMap<Box<str>, Open>,
    /// Counts batches, so that it is known which file was not written for longest.
    batch: u64,
}

#[derive(Debug)]
struct Open {
    file: LogFile,
    used: u64,
}

/// What one batch has for one peer.
#[derive(Debug, Default)]
struct Part {
    bytes: Vec<u8>,
    lines: u64,
}

impl PeerFiles {
    /// Opens none yet, but the directory has to be there.
    pub(super) fn new(path: PeerPath, gzip: Option<u32>) -> io::Result<Self> {
        if !path.directory().metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path, gzip, open: HashMap::new(), batch: 0 })
    }

    /// Appends each frame's line to the file of its name.
    pub(super) fn write(&mut self, batch: &[u8]) -> Result<(), Failure> {
        self.batch += 1;
        let mut parts: HashMap<&str, Part> = HashMap::new();
        for (name, line) in frames(batch) {
            let name = std::str::from_utf8(name).unwrap_or(PeerPath::NOBODY);
            let part = parts.entry(name).or_default();
            part.bytes.extend_from_slice(line);
            part.lines += 1;
        }
        let mut failed: Option<Failure> = None;
        for (name, part) in parts {
            let Err(failure) = self.write_part(name, &part) else { continue };
            match &mut failed {
                Some(first) => first.lost += failure.lost,
                None => {
                    let target = Some(LogTarget::File(self.path.of(name)));
                    failed = Some(Failure { target, ..failure });
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn write_part(&mut self, name: &str, part: &Part) -> Result<(), Failure> {
        let opened = self.file(name);
        match opened {
            Ok(file) => file.write(&part.bytes, part.lines),
            Err(error) => Err(Failure { error, lost: part.lines, target: None }),
        }
    }

    /// The peer's file, open.
    fn file(&mut self, name: &str) -> io::Result<&mut LogFile> {
        let used = self.batch;
        if !self.open.contains_key(name) {
            let file = LogFile::open(&self.path.of(name), self.gzip)?;
            self.make_room();
            self.open.insert(name.into(), Open { file, used });
        }
        let open = self.open.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        open.used = used;
        Ok(&mut open.file)
    }

    /// Closes the file that was not written for longest, if there are as many as may be.
    fn make_room(&mut self) {
        if self.open.len() < MOST_OPEN {
            return;
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.open.remove(&name);
        }
    }

    /// Closes all files; each is reopened when its next line comes.
    pub(super) fn close(&mut self) {
        mem::take(&mut self.open);
    }
}

/// How many files of one log are open at the most.
pub(crate) const MOST_OPEN: usize = 256;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::access_log::writer::framing;

    fn batch(lines: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, line) in lines {
            let start = out.len();
            framing::begin(&mut out, name);
            let at = out.len();
            out.extend_from_slice(line.as_bytes());
            framing::end(&mut out, start, at);
        }
        out
    }

    fn files(directory: &Path, rest: &str) -> PeerFiles {
        let first = directory.join("").into_os_string();
        PeerFiles::new(PeerPath::new(first, vec![rest.to_owned()]), None).unwrap()
    }

    #[test]
    fn each_peer_has_its_lines_in_order_and_nobody_has_a_file_too() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = files(directory.path(), ".log");
        files.write(&batch(&[("lyon", "1\n"), ("-", "2\n"), ("lyon", "3\n")])).unwrap();
        files.write(&batch(&[("lyon", "4\n"), ("metz", "5\n")])).unwrap();
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(read("lyon.log"), "1\n3\n4\n");
        assert_eq!((read("-.log"), read("metz.log")), ("2\n".into(), "5\n".into()));
    }

    #[test]
    fn no_more_files_are_open_than_may_be_and_a_closed_one_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = files(directory.path(), ".log");
        for round in 0..2 {
            for number in 0..MOST_OPEN + 20 {
                files.write(&batch(&[(&format!("peer{number}"), "x\n")])).unwrap();
                assert!(files.open.len() <= MOST_OPEN);
                assert_eq!(files.open.contains_key("peer0"), number < MOST_OPEN, "round {round}");
            }
        }
        for entry in fs::read_dir(directory.path()).unwrap() {
            assert_eq!(fs::read_to_string(entry.unwrap().path()).unwrap(), "x\nx\n");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), MOST_OPEN + 20);
    }

    #[test]
    fn a_missing_directory_loses_the_lines_of_its_peer_only_and_is_seen_once_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = files(directory.path(), "/access.log");
        fs::create_dir(directory.path().join("metz")).unwrap();
        let lines = batch(&[("lyon", "1\n"), ("metz", "2\n"), ("lyon", "3\n")]);
        let failure = files.write(&lines).unwrap_err();
        assert_eq!((failure.lost, failure.error.kind()), (2, io::ErrorKind::NotFound));
        let missing = directory.path().join("lyon/access.log");
        assert_eq!(failure.target, Some(LogTarget::File(missing.clone())));
        fs::create_dir(directory.path().join("lyon")).unwrap();
        files.write(&lines).unwrap();
        assert_eq!(fs::read_to_string(missing).unwrap(), "1\n3\n");
        assert_eq!(fs::read_to_string(directory.path().join("metz/access.log")).unwrap(), "2\n2\n");
    }

    #[test]
    fn the_directory_has_to_be_there_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let open = |first| PeerFiles::new(PeerPath::new(first, vec![".log".into()]), None);
        let missing = directory.path().join("missing").join("");
        assert_eq!(open(missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(directory.path().join("file"), "").unwrap();
        let file = directory.path().join("file").join("");
        assert_eq!(open(file).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
