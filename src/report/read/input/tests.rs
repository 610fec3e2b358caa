use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// All lines of these files with the numbers of their files, and the errors.
fn read(paths: &[PathBuf]) -> (Vec<(usize, String)>, Vec<String>) {
    let sources: Vec<Source> = paths.iter().cloned().map(Source::File).collect();
    let count = Arc::new(AtomicU64::new(0));
    let planned = plan(&sources, &Formats::with(Vec::new(), 0), &count).files;
    let mut feed = Feed::new(planned, Arc::clone(&count));
    let (mut block, mut read, mut errors, mut blocks) =
        (Block::default(), Vec::new(), Vec::new(), 0);
    while let Some(next) = feed.next(&mut block) {
        match next {
            Ok(place) => {
                assert_eq!(place.block, blocks);
                blocks += 1;
                read.extend(
                    lines(&block).map(|it| (place.file, String::from_utf8_lossy(it).into_owned())),
                );
            }
            Err((file, error)) => errors.push(format!("{file}: {error}")),
        }
    }
    (read, errors)
}

fn packed(program: &str, text: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&text).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
}

#[test]
fn a_file_is_the_same_plain_and_packed_and_in_several_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // More than a block, so that lines go over its edge.
    let text: String = (0..80_000).map(|number| format!("{LINE}{number}\n")).collect();
    assert!(text.len() > BLOCK);
    fs::write(path("plain"), &text).unwrap();
    let (plain, errors) = read(&[path("plain")]);
    assert_eq!((plain.len(), errors.len()), (80_000, 0));
    assert!(plain.iter().enumerate().all(|(n, (_, line))| *line == format!("{LINE}{n}")));
    for program in ["gzip", "zstd"] {
        if !has(program) {
            eprintln!("{program} is missing here: left out");
            continue;
        }
        let (first, second) = text.split_at(text.len() / 3);
        let whole =
            [packed(program, first.as_bytes()), packed(program, second.as_bytes())].concat();
        fs::write(path("packed"), whole).unwrap();
        let (unpacked, errors) = read(&[path("packed")]);
        assert!(errors.is_empty(), "{program}: {errors:?}");
        assert!(unpacked == plain, "{program}");
    }
}

#[test]
fn a_torn_packed_file_says_so_and_the_next_one_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let line = |number: u32| LINE.replace("GET /", &format!("GET /{number}")) + "\n";
    let text: String = (0..200_000).map(line).collect();
    packed.write_all(text.as_bytes()).unwrap();
    let mut packed = packed.finish().unwrap();
    packed.truncate(packed.len() / 2);
    fs::write(path("a.gz"), packed).unwrap();
    fs::write(path("b"), format!("{LINE}\n").replace("2026", "2027")).unwrap();
    let (read, errors) = read(&[path("b"), path("a.gz")]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].starts_with("0: ") && errors[0].contains("a.gz could not be unpacked to its end"),
        "{errors:?}"
    );
    assert!(read.len() > 1000);
    assert_eq!(read.iter().filter(|(file, _)| *file == 1).count(), 1);
}

#[test]
fn rotated_files_are_found_and_come_in_the_order_of_their_times() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (name, year) in
        [("a.log", 2026), ("a.log.1", 2025), ("a.log.2", 2024), ("a.log-20230101", 2023)]
    {
        fs::write(path(name), format!("{LINE}\n").replace("2026", &year.to_string())).unwrap();
    }
    for other in
        ["a.log.bak", "a.log.", "a.log-", "a.log.x1", "a.b.log", "ab.1.log", "a..log", "b.1.log"]
    {
        fs::write(path(other), "not one of them").unwrap();
    }
    let found = rotated(&path("a.log"));
    assert_eq!(found.len(), 4, "{found:?}");
    let planned = plan(&found, &Formats::with(Vec::new(), 0), &Arc::default()).files;
    let names: Vec<&str> = planned.iter().filter_map(|it| it.name.rsplit('/').next()).collect();
    assert_eq!(names, ["a.log-20230101", "a.log.2", "a.log.1", "a.log"]);
}

#[test]
fn whatever_logrotate_is_told_to_name_them_rotated_files_are_known() {
    for (log, rotated) in [
        ("access.log", &["access.log", "access.log.1", "access.log.10.gz", "access.log.gz"][..]),
        (
            "access.log",
            &["access.log-20261123", "access.log-2026112314.xz", "access.log-1795404830"],
        ),
        ("access.log", &["access.log.2026-11-23", "access.log_20261123.zst"]),
        ("access.log", &["access.log-2026-11-23T14:30:00", "access.log-20261123-1795404830.bz2"]),
        // With its `extension`.
        (
            "access.log",
            &[
                "access.1.log",
                "access.2.log.gz",
                "access-20261123.log",
                "access.2026-11-23.log.zst",
            ],
        ),
        ("xivo.access.log", &["xivo.access.1.log", "xivo.access.log.1"]),
        ("access", &["access.1", "access-20261123.gz"]),
    ] {
        for other in rotated {
            assert!(is_rotated(log, other), "{other} of {log}");
        }
    }
    for (log, other) in [
        ("access.log", "access.log.old"),
        ("access.log", "access.log.1.bak"),
        ("access.log", "access-ssl.log"),
        ("access.log", "access-.log"),
        ("access.log", "access1.log"),
        ("access.log", "access.1.log.txt"),
        ("access.log", "access.1"),
        ("xivo.access.log", "xivo.1.log"),
        (".log", ".1.log"),
        ("access", "access.log.1"),
    ] {
        assert!(!is_rotated(log, other), "{other} of {log}");
    }
}

#[test]
fn lines_have_no_ends_and_empty_ones_are_none() {
    let found: Vec<&[u8]> = lines(b"a\r\n\n\nb\n\r\nc").collect();
    assert_eq!(found, [&b"a"[..], b"b", b"c"]);
}

#[test]
fn the_logs_of_peers_are_found_wherever_the_name_stands() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("lyon")).unwrap();
    for name in [
        "lyon.log",
        "lyon.log.1",
        "paris.log-20261123.gz",
        "-.log",
        "other.txt",
        "lyon.log.bak",
        "lyon/a.log",
        "of-lyon-lyon",
        "of-lyon-paris",
        "of-.b-.b.2",
    ] {
        fs::write(root.join(name), LINE).unwrap();
    }
    let found = |first: &str, rest: &[&str]| -> Vec<String> {
        let rest = rest.iter().map(|&piece| piece.to_owned()).collect();
        let path = PeerPath::new(root.join(first).into_os_string(), rest);
        let name = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        of_peers(&path).iter().map(name).collect()
    };
    // `join` ends with a slash where nothing follows it.
    assert_eq!(found("", &[".log"]), ["-.log", "lyon.log", "paris.log"]);
    assert_eq!(found("", &["/a.log"]), ["lyon/a.log"]);
    assert_eq!(found("of-", &["-", ""]), ["of-.b-.b", "of-lyon-lyon"]);
}

#[test]
fn a_hole_before_the_first_line_is_left_out_however_long() {
    let directory = tempfile::tempdir().unwrap();
    for length in [1, PEEKED, BLOCK - 1, BLOCK, 3 * BLOCK + 7] {
        let path = directory.path().join("a.log");
        let mut text = vec![0; length];
        text.extend_from_slice(format!("{LINE}\n{LINE}\n").as_bytes());
        fs::write(&path, text).unwrap();
        let (read, errors) = read(&[path]);
        assert_eq!(read, vec![(0, LINE.to_owned()); 2], "{length}");
        assert!(errors.is_empty());
    }
}

#[test]
fn the_parts_of_a_line_come_in_one_block() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let time = "2026-11-23T03:33:50.123456789Z stdout";
    let mut text = String::new();
    while text.len() < BLOCK + 1000 {
        text += &format!("{time} P {LINE}\n{time} P {LINE}\n{time} F {LINE}\n");
    }
    fs::write(&path, &text).unwrap();
    let planned = plan(&[Source::File(path)], &Formats::with(Vec::new(), 0), &Arc::default()).files;
    let mut feed = Feed::new(planned, Arc::default());
    let (mut block, mut whole) = (Block::default(), Vec::new());
    while let Some(next) = feed.next(&mut block) {
        next.unwrap();
        let last = lines(&block).last().unwrap();
        assert!(last.starts_with(format!("{time} F ").as_bytes()), "{}", last.escape_ascii());
        whole.extend_from_slice(&block);
    }
    assert!(whole == text.as_bytes());
}

const LINE: &str = r#"::1 - - [23/Nov/2026:03:33:50 +0000] "GET / HTTP/1.1" 200 1 "-" "-""#;
