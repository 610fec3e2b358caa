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
    let mut file = open_target(&LogTarget::File(path.clone())).unwrap();
    file.write_all(b"old\n").unwrap();
    let before = file.regular_length();
    file.write_all(b"one\ntw").unwrap();
    assert!(remove_torn(&mut file, before, 4, 6));
    file.write_all(b"next\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\none\nnext\n");
    assert!(!remove_torn(&mut file, before, 4, 6), "the length is no longer what was left");
}
