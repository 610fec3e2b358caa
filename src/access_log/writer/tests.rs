use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

fn settings(path: &Path, buffer: usize) -> LogSettings {
    LogSettings { buffer, max_field: 0, ..LogSettings::to(LogTarget::File(path.to_owned())) }
}

fn open(path: &Path, buffer: usize) -> (AccessLogs, LogCounters) {
    let logs = AccessLogs::open(&[settings(path, buffer)], &Supervisor::default()).unwrap();
    let counters = logs.counters().remove(0);
    (logs, counters)
}

fn push(buffer: &mut LineBuffer, line: &str) {
    buffer.push(|out| {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    });
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "what was waited for did not come");
        thread::yield_now();
    }
}

fn fifo(directory: &Path) -> PathBuf {
    let path = directory.join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    path
}

/// A reader that need not wait for a writer, and that a writer need not wait for.
fn reader(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[test]
fn lines_of_several_workers_arrive_whole_and_each_workers_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    fs::write(&path, "here before\n").unwrap();
    // 4 × 3000 lines of 14 bytes are fewer batches than the queue holds, so none can be lost.
    let (logs, counters) = open(&path, 4096);
    thread::scope(|scope| {
        for worker in 0..4 {
            let mut buffers = logs.buffers();
            scope.spawn(move || {
                for number in 0..3000 {
                    push(&mut buffers[0], &format!("worker {worker} {number:04}"));
                }
            });
        }
    });
    logs.finish(PATIENCE);
    assert_eq!((counters.lines_written(), counters.lines_lost()), (12_000, 0));
    let content = fs::read_to_string(&path).unwrap();
    let content = content.strip_prefix("here before\n").unwrap();
    assert_eq!(content.lines().count(), 12_000);
    for worker in 0..4 {
        let start = format!("worker {worker} ");
        let of_worker = content.lines().filter(|line| line.starts_with(&start));
        let expected = (0..3000).map(|number| format!("{start}{number:04}"));
        assert!(of_worker.eq(expected));
    }
}

#[test]
fn a_burst_of_lines_that_go_each_by_itself_loses_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let (logs, counters) = open(&path, 0);
    // Fewer than the queue holds, so none can be lost however slow the disk is.
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut buffer = logs.buffers().remove(0);
            scope.spawn(move || (0..2000).for_each(|_| push(&mut buffer, &"x".repeat(200))));
        }
    });
    logs.finish(PATIENCE);
    assert_eq!((counters.lines_written(), counters.lines_lost()), (8000, 0));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 8000);
}

#[test]
fn a_target_that_is_stuck_holds_no_more_memory_than_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(directory.path());
    let _reader = reader(&path);
    let (logs, counters) = open(&path, 64 << 10);
    let mut buffer = logs.buffers().remove(0);
    // 64 MiB; the pipe and the thread take a little, the queue 8 MiB.
    (0..64 << 10).for_each(|_| push(&mut buffer, &"x".repeat(1023)));
    assert!(counters.lines_lost() > 50 << 10, "{} lines were lost", counters.lines_lost());
    logs.finish(Duration::ZERO);
}

#[test]
fn rotation_under_load_loses_and_tears_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let (logs, counters) = open(&path, 1024);
    let pushed = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            let mut buffers = logs.buffers();
            let (pushed, stop, counters) = (&pushed, &stop, &counters);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = pushed.fetch_add(1, Ordering::Relaxed);
                    push(&mut buffers[0], &format!("line {number:010}"));
                    // 64 lines are a batch, so that at most a few dozen batches are on their way and
                    // the queue is never full.
                    wait_until(|| {
                        number.saturating_sub(counters.lines_written()) < 2000
                            || stop.load(Ordering::Relaxed)
                    });
                }
            });
        }
        for rotation in 0..6 {
            let so_far = counters.lines_written();
            wait_until(|| counters.lines_written() > so_far + 3000);
            fs::rename(&path, directory.path().join(format!("access.log.{rotation}"))).unwrap();
            logs.reopen();
            wait_until(|| path.exists());
        }
        stop.store(true, Ordering::Relaxed);
    });
    logs.finish(PATIENCE);
    let pushed = pushed.into_inner();
    assert_eq!((counters.lines_written(), counters.lines_lost()), (pushed, 0));
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let content = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(content.is_empty() || content.ends_with('\n'));
        lines.extend(content.lines().map(str::to_owned));
    }
    assert_eq!(lines.len() as u64, pushed);
    let expected: BTreeSet<String> = (0..pushed).map(|n| format!("line {n:010}")).collect();
    assert!(lines.into_iter().collect::<BTreeSet<_>>() == expected);
}

#[test]
fn what_was_queued_before_a_reopen_is_in_the_old_file_and_what_came_later_in_the_new() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let old = directory.path().join("access.log.1");
    let (logs, _) = open(&path, 0);
    let mut buffers = logs.buffers();
    for _ in 0..100 {
        push(&mut buffers[0], "before");
    }
    fs::rename(&path, &old).unwrap();
    logs.reopen();
    wait_until(|| path.exists());
    push(&mut buffers[0], "after");
    drop(buffers);
    logs.finish(PATIENCE);
    assert_eq!(fs::read_to_string(&old).unwrap(), "before\n".repeat(100));
    assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
}

#[test]
fn a_directory_that_has_vanished_at_reopen_keeps_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let logs_directory = directory.path().join("logs");
    let moved = directory.path().join("moved");
    fs::create_dir(&logs_directory).unwrap();
    let (logs, counters) = open(&logs_directory.join("access.log"), 0);
    let mut buffers = logs.buffers();
    push(&mut buffers[0], "one");
    fs::rename(&logs_directory, &moved).unwrap();
    logs.reopen();
    wait_until(|| !logs.logs[0].shared.reopen.load(Ordering::SeqCst));
    push(&mut buffers[0], "two");
    wait_until(|| counters.lines_written() == 2);
    // Once the directory is there again, so is the log.
    fs::create_dir(&logs_directory).unwrap();
    logs.reopen();
    wait_until(|| logs_directory.join("access.log").exists());
    push(&mut buffers[0], "three");
    drop(buffers);
    logs.finish(PATIENCE);
    assert_eq!(fs::read_to_string(moved.join("access.log")).unwrap(), "one\ntwo\n");
    assert_eq!(fs::read_to_string(logs_directory.join("access.log")).unwrap(), "three\n");
    assert_eq!(counters.lines_lost(), 0);
}

#[test]
fn a_full_disk_loses_lines_that_are_counted_and_pushes_return() {
    let (logs, counters) = open(Path::new("/dev/full"), 64);
    let mut buffers = logs.buffers();
    for number in 0..1000 {
        push(&mut buffers[0], &format!("line {number}"));
    }
    drop(buffers);
    logs.finish(PATIENCE);
    assert_eq!((counters.lines_written(), counters.lines_lost()), (0, 1000));
}

#[test]
fn a_reader_that_has_stopped_blocks_no_worker_and_gets_whole_lines_when_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(directory.path());
    let mut reader = reader(&path);
    let (logs, counters) = open(&path, 0);
    let mut buffers = logs.buffers();
    let line = "x".repeat(1023);
    let mut pushed = 0;
    // The pipe takes some, the queue some more, and then they are lost, at once.
    while counters.lines_lost() < 1000 {
        push(&mut buffers[0], &line);
        pushed += 1;
    }
    drop(buffers);
    let lost = counters.lines_lost();
    // Everything that was not lost is in the pipe or in the queue, so no read waits for ever.
    let mut content = vec![0; 1024];
    for _ in 0..pushed - lost {
        reader.read_exact(&mut content).unwrap();
        assert!(content.starts_with(line.as_bytes()) && content.ends_with(b"\n"));
    }
    logs.finish(PATIENCE);
    assert_eq!((counters.lines_written(), counters.lines_lost()), (pushed - lost, lost));
}

#[test]
fn finish_does_not_wait_longer_than_told_for_a_target_that_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(directory.path());
    let reader = reader(&path);
    let (logs, counters) = open(&path, 0);
    let mut buffers = logs.buffers();
    let mut pushed = 0;
    while counters.lines_lost() == 0 {
        push(&mut buffers[0], &"x".repeat(1023));
        pushed += 1;
    }
    drop(buffers);
    logs.finish(Duration::ZERO);
    assert!(counters.lines_written() < pushed);
    // The thread is not needed any more, but ends: without a reader its writes fail.
    drop(reader);
    wait_until(|| counters.lines_written() + counters.lines_lost() == pushed);
}

#[test]
fn a_pipe_whose_reader_has_gone_loses_lines_like_a_full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(directory.path());
    let gone = reader(&path);
    let (logs, counters) = open(&path, 0);
    drop(gone);
    let mut buffers = logs.buffers();
    push(&mut buffers[0], "one");
    wait_until(|| counters.lines_lost() == 1);
    let mut back = reader(&path);
    push(&mut buffers[0], "two");
    let mut content = [0; 4];
    back.read_exact(&mut content).unwrap();
    assert_eq!(&content, b"two\n");
    drop(buffers);
    logs.finish(PATIENCE);
    assert_eq!((counters.lines_written(), counters.lines_lost()), (1, 1));
}

#[test]
fn lines_that_come_after_the_finish_are_lost_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let (logs, counters) = open(&path, 0);
    let mut buffers = logs.buffers();
    push(&mut buffers[0], "one");
    logs.finish(PATIENCE);
    push(&mut buffers[0], "two");
    assert_eq!((counters.lines_written(), counters.lines_lost()), (1, 1));
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
}

#[test]
fn every_log_gets_its_own_lines_with_its_own_settings() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["a.log", "b.log"].map(|name| directory.path().join(name));
    let first = LogSettings { max_field: 99, ..settings(&paths[0], 64) };
    let second = LogSettings { flush: Duration::from_secs(9), ..settings(&paths[1], 0) };
    let logs = AccessLogs::open(&[first, second], &Supervisor::default()).unwrap();
    let mut buffers = logs.buffers();
    assert_eq!((buffers[0].max_field(), buffers[1].max_field()), (99, 0));
    assert_eq!(buffers[1].flush_after(), Duration::from_secs(9));
    push(&mut buffers[0], "one");
    push(&mut buffers[1], "two");
    assert!(!buffers[0].is_empty() && buffers[1].is_empty());
    drop(buffers);
    let counters = logs.counters();
    assert_eq!(counters[1].name(), paths[1].display().to_string());
    logs.finish(PATIENCE);
    assert_eq!(fs::read_to_string(&paths[0]).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(&paths[1]).unwrap(), "two\n");
}

#[test]
fn a_new_log_is_not_for_everybody_to_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let (logs, _) = open(&path, 0);
    logs.finish(PATIENCE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
}

#[test]
fn standard_output_opens_reopens_and_finishes() {
    let target = LogTarget::Stdout;
    let settings = LogSettings { target, ..settings(Path::new(""), 64) };
    let logs = AccessLogs::open(&[settings], &Supervisor::default()).unwrap();
    let counters = logs.counters().remove(0);
    logs.reopen();
    logs.finish(PATIENCE);
    assert_eq!(counters.name(), "standard output");
    assert_eq!((counters.lines_written(), counters.lines_lost()), (0, 0));
}

/// What is said when `path` cannot be opened.
fn refusal(path: &Path) -> String {
    AccessLogs::open(&[settings(path, 0)], &Supervisor::default()).unwrap_err().to_string()
}

#[test]
fn an_open_that_fails_says_which_file_why_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let missing = directory.join("missing/access.log");
    let message = refusal(&missing);
    assert!(
        message.starts_with(&format!(
            "cannot open the access log {}: No such file or directory (os error 2). Its directory {} \
             does not exist. Make it as the gateway's user (uid {}): mkdir -p {}; or",
            missing.display(),
            directory.join("missing").display(),
            rustix::process::geteuid().as_raw(),
            directory.join("missing").display()
        )),
        "{message}"
    );
    let message = refusal(directory);
    assert!(message.contains("It is a directory: name a file in it"), "{message}");
    fs::write(directory.join("file"), "").unwrap();
    let message = refusal(&directory.join("file/access.log"));
    assert!(message.contains("is not a directory: change [[access_log]] `path`"), "{message}");
}

#[test]
fn a_pipe_that_nobody_reads_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let message = refusal(&fifo(directory.path()));
    assert!(message.contains("a pipe that nobody reads: start its reader first"), "{message}");
}

#[test]
fn advice_names_the_user_and_the_directory() {
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let uid = format!("(uid {})", rustix::process::geteuid().as_raw());
    let advise = |path: &str, error| advice(&LogTarget::File(path.into()), error);
    assert!(advise("/var/log/x/access.log", &denied).contains(&uid));
    assert!(advise("/var/log/x/access.log", &denied).ends_with("in /var/log/x"));
    assert!(advise("access.log", &denied).ends_with("in ."));
    let full = io::Error::from(io::ErrorKind::StorageFull);
    assert_eq!(advise("/srv/a.log", &full), "Make room on the file system of /srv");
    assert!(advice(&LogTarget::Stdout, &denied).contains("its reader runs"));
}

#[test]
fn what_the_logs_of_a_name_have_written_is_never_less() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["first.log", "second.log"].map(|name| directory.path().join(name));
    let (mut logs, _) = open(&first, 0);
    let written = |logs: &AccessLogs| -> Vec<u64> {
        logs.totals().values().map(|total| total.written).collect()
    };
    let replace = |logs: &mut AccessLogs, path: &Path| {
        let next = logs.prepare(&[settings(path, 0)], &Supervisor::default()).unwrap();
        logs.replace(next);
    };
    push(&mut logs.buffers()[0], "one");
    wait_until(|| written(&logs) == [1]);
    replace(&mut logs, &second);
    push(&mut logs.buffers()[0], "two");
    push(&mut logs.buffers()[0], "three");
    wait_until(|| written(&logs) == [1, 2]);
    replace(&mut logs, &first);
    push(&mut logs.buffers()[0], "four");
    wait_until(|| written(&logs) == [2, 2]);
    // Once their threads have ended, nothing but the sums is kept of those that were removed.
    wait_until(|| logs.leaving.iter().all(|leaving| leaving.thread.is_finished()));
    replace(&mut logs, &second);
    assert!(logs.removed.len() <= 1 && !logs.past.is_empty());
    assert_eq!(written(&logs), [2, 2]);
}

#[test]
fn logs_can_be_reopened_from_any_thread() {
    fn shared_between_threads<T: Send + Sync>() {}
    fn sent_to_a_worker<T: Send>() {}
    shared_between_threads::<AccessLogs>();
    shared_between_threads::<LogCounters>();
    sent_to_a_worker::<LineBuffer>();
}

/// Ample for a busy machine; nothing that works waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
