use super::*;

/// Takes `room` bytes, at most `stride` at once, and then fails.
struct Disk {
    content: Vec<u8>,
    room: usize,
    stride: usize,
    regular: bool,
    /// Appended by somebody else as soon as this is full.
    other: &'static [u8],
    interrupt: bool,
}

impl Disk {
    fn new(content: &[u8], room: usize) -> Self {
        Self {
            content: content.to_vec(),
            room,
            stride: usize::MAX,
            regular: true,
            other: b"",
            interrupt: false,
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.interrupt) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let taken = bytes.len().min(self.room).min(self.stride);
        if taken == 0 {
            self.content.extend_from_slice(std::mem::take(&mut self.other));
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.content.extend_from_slice(&bytes[..taken]);
        self.room -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Disk {
    fn regular_length(&self) -> Option<u64> {
        self.regular.then_some(self.content.len() as u64)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.content.truncate(usize::try_from(length).unwrap());
        Ok(())
    }
}

/// The lines that were lost, and whether a torn piece is left.
fn write(disk: &mut Disk, batch: &[u8]) -> (u64, bool) {
    let mut torn = false;
    let lost = write_batch(disk, batch, &mut torn).map_or_else(|failure| failure.lost, |()| 0);
    (lost, torn)
}

#[test]
fn short_and_interrupted_writes_are_continued() {
    let mut disk = Disk { stride: 3, interrupt: true, ..Disk::new(b"old\n", 100) };
    assert_eq!(write(&mut disk, b"one\ntwo\n"), (0, false));
    assert_eq!(disk.text(), "old\none\ntwo\n");
}

#[test]
fn wherever_the_disk_fills_only_whole_lines_stay_and_the_others_are_counted() {
    let batch = b"one\ntwo2\nthree\n";
    for room in 0..batch.len() {
        let mut disk = Disk::new(b"old\n", room);
        let (kept, lost) = match room {
            0..4 => ("old\n", 3),
            4..9 => ("old\none\n", 2),
            _ => ("old\none\ntwo2\n", 1),
        };
        assert_eq!(write(&mut disk, batch), (lost, false), "room {room}");
        assert_eq!(disk.text(), kept, "room {room}");
    }
}

#[test]
fn a_torn_line_that_another_has_written_after_is_not_cut_off() {
    let mut disk = Disk { other: b"other\n", ..Disk::new(b"old\n", 6) };
    assert_eq!(write(&mut disk, b"one\ntwo\n"), (1, true));
    assert_eq!(disk.text(), "old\none\ntwother\n");
}

#[test]
fn a_file_that_was_truncated_after_a_torn_line_begins_with_a_whole_one() {
    let mut disk = Disk::new(b"", 100);
    let mut torn = true;
    write_batch(&mut disk, b"one\n", &mut torn).unwrap();
    assert_eq!((disk.text(), torn), ("one\n", false));
}

#[test]
fn a_torn_line_in_a_pipe_is_closed_before_the_next_line() {
    let mut disk = Disk { regular: false, ..Disk::new(b"", 6) };
    let mut torn = false;
    let failure = write_batch(&mut disk, b"one\ntwo\nthree\n", &mut torn).unwrap_err();
    assert_eq!((failure.lost, torn), (2, true));
    let failure = write_batch(&mut disk, b"four\n", &mut torn).unwrap_err();
    assert_eq!((failure.lost, torn), (1, true));
    disk.room = 100;
    write_batch(&mut disk, b"five\n", &mut torn).unwrap();
    assert_eq!(disk.text(), "one\ntw\nfive\n");
    assert!(!torn);
}

#[test]
fn writing_goes_on_after_the_disk_has_room_again() {
    let mut disk = Disk::new(b"", 6);
    assert_eq!(write(&mut disk, b"one\ntwo\n"), (1, false));
    disk.room = 100;
    assert_eq!(write(&mut disk, b"three\n"), (0, false));
    assert_eq!(disk.text(), "one\nthree\n");
}

#[test]
fn a_real_file_is_cut_back_to_its_last_whole_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let mut file = open_file(&path).unwrap();
    file.write_all(b"old\n").unwrap();
    let before = file.regular_length();
    file.write_all(b"one\ntw").unwrap();
    assert!(remove_torn(&mut file, before, 4, 6));
    file.write_all(b"next\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\none\nnext\n");
    assert!(!remove_torn(&mut file, before, 4, 6), "the length is no longer what was left");
}

/// What a reader finds: the lines of all members.
fn unzipped(bytes: &[u8]) -> String {
    let mut text = String::new();
    io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(bytes), &mut text).unwrap();
    text
}

fn member(lines: &str) -> Vec<u8> {
    let mut member = Vec::new();
    compress(lines.as_bytes(), 1, &mut member).unwrap();
    member
}

#[test]
fn wherever_the_disk_fills_the_torn_member_is_removed_and_the_next_can_be_read() {
    let first = member("one\n");
    let second = member("two\nthree\n");
    for room in 0..second.len() {
        let mut disk = Disk::new(&first, room);
        let mut torn = None;
        assert!(write_member(&mut disk, &second, &mut torn).is_err());
        assert_eq!((unzipped(&disk.content), &torn), ("one\n".into(), &None), "room {room}");
        disk.room = usize::MAX;
        write_member(&mut disk, &second, &mut torn).unwrap();
        assert_eq!(unzipped(&disk.content), "one\ntwo\nthree\n");
    }
}

#[test]
fn a_torn_member_that_could_not_be_removed_is_removed_before_the_next() {
    let whole = member("one\n");
    let mut content = whole.clone();
    content.extend_from_slice(&whole[..9]);
    let mut disk = Disk::new(&content, usize::MAX);
    let mut torn = Some(Torn { start: whole.len() as u64, end: content.len() as u64 });
    write_member(&mut disk, &member("two\n"), &mut torn).unwrap();
    assert_eq!((unzipped(&disk.content), torn), ("one\ntwo\n".into(), None));
}

#[test]
fn what_another_has_written_behind_a_torn_member_is_not_cut_off() {
    let mut disk = Disk { other: b"other", ..Disk::new(b"", 9) };
    let mut torn = None;
    assert!(write_member(&mut disk, &member("one\n"), &mut torn).is_err());
    assert_eq!(torn, Some(Torn { start: 0, end: 9 }));
    disk.room = usize::MAX;
    let before = disk.content.clone();
    write_member(&mut disk, &member("two\n"), &mut torn).unwrap();
    let behind = disk.content.strip_prefix(before.as_slice()).unwrap();
    assert_eq!((unzipped(behind), torn), ("two\n".into(), None));
}

#[test]
fn each_batch_is_a_member_by_itself_and_the_file_can_be_read_after_each() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log.gz");
    let mut file = LogFile::open(&path, Some(6)).unwrap();
    let mut expected = String::new();
    for number in 0..5 {
        let lines = format!("line {number}\n").repeat(100);
        file.write(lines.as_bytes(), 100).unwrap();
        expected.push_str(&lines);
        assert_eq!(unzipped(&std::fs::read(&path).unwrap()), expected);
    }
    let mut full = LogFile::open(Path::new("/dev/full"), Some(1)).unwrap();
    assert_eq!(full.write(b"one\ntwo\n", 2).unwrap_err().lost, 2);
}
