//! How fast `report` reads a log, and in how much memory, beside goaccess on the same file.
//!
//! ```text
//! cargo bench --bench report                         # a million lines
//! cargo bench --bench report -- --lines 10000000     # about 2 GB, in the temporary directory
//! ```
//!
//! The log is generated, in nginx's `combined`: 20 peers over a week, 100,000 terms, 5 % refused, a few thousand
//! unknown callers, 2 % other requests. It is read once beforehand, so that both find it in the page cache. Then the
//! programs take turns for as many rounds as asked; the time is a clock's on the wall from start to end, the memory
//! the most that the process had (`VmHWM`). Ratios are of one round each; the median is shown.
//!
//! goaccess writes JSON to a file, which is its fastest output; without it (`apt-get install goaccess`) the gateway's
//! own figures are shown alone. Both may use all cores: goaccess 1.7 uses one.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let (lines, rounds) = arguments()?;
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("access.log");
    let size = generate(&log, lines)?;
    io::copy(&mut File::open(&log)?, &mut io::sink())?;
    say(format!("{lines} lines, {:.2} GB", size as f64 / 1e9));
    let goaccess = Command::new("goaccess").arg("--version").stdout(Stdio::null()).status().is_ok();
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let ours = measure(&mut ours(&log, directory.path()), &directory.path().join("out.json"))?;
        say(format!("round {round}: report   {}", ours.text(lines)));
        if goaccess {
            let theirs =
                measure(&mut goaccess_on(&log, directory.path()), &directory.path().join("out"))?;
            say(format!("round {round}: goaccess {}", theirs.text(lines)));
            let memory = theirs.memory as f64 / ours.memory as f64;
            ratios.push((theirs.time.as_secs_f64() / ours.time.as_secs_f64(), memory));
        }
    }
    if let Some((time, memory)) = median(&ratios) {
        say(format!("goaccess takes {time:.1} times as long and {memory:.1} times the memory"));
    }
    Ok(())
}

fn arguments() -> io::Result<(u64, u32)> {
    let (mut lines, mut rounds) = (1_000_000, 3);
    let mut words = std::env::args().skip(1);
    let number = |word: Option<String>| {
        word.and_then(|word| word.parse().ok())
            .ok_or_else(|| io::Error::other("usage: report [--lines N] [--rounds N]"))
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--lines" => lines = number(words.next())?,
            "--rounds" => rounds = u32::try_from(number(words.next())?).unwrap_or(1),
            "--bench" => {}
            other => {
                return Err(io::Error::other(format!(
                    "{other}: usage: report [--lines N] [--rounds N]"
                )));
            }
        }
    }
    Ok((lines, rounds))
}

fn ours(log: &Path, directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phonebook-gateway"));
    command.args(["report", "--json", "--log-format", "combined"]).arg(log).current_dir(directory);
    command
}

fn goaccess_on(log: &Path, directory: &Path) -> Command {
    let mut command = Command::new("goaccess");
    command.arg(log).args(["--log-format=COMBINED", "--no-global-config", "--no-progress", "-o"]);
    command.arg(directory.join("goaccess.json")).current_dir(directory);
    command
}

/// What a program took.
struct Taken {
    time: Duration,
    /// Bytes.
    memory: u64,
}

impl Taken {
    fn text(&self, lines: u64) -> String {
        let seconds = self.time.as_secs_f64();
        let rate = lines as f64 / seconds / 1e6;
        let memory = self.memory as f64 / 1e6;
        format!("{seconds:7.2} s  {rate:6.3} million lines/s  {memory:8.1} MB")
    }
}

/// Runs a program to its end, and looks at its memory until then.
fn measure(command: &mut Command, out: &Path) -> io::Result<Taken> {
    let begin = Instant::now();
    let mut child = command.stdout(File::create(out)?).stderr(Stdio::null()).spawn()?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut memory = 0;
    let exit = loop {
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        memory = memory.max(peak(&status).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    };
    let time = begin.elapsed();
    if exit.success() {
        Ok(Taken { time, memory })
    } else {
        Err(io::Error::other(format!("{command:?} ended with {exit}")))
    }
}

/// `VmHWM` in bytes.
fn peak(status: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn median(ratios: &[(f64, f64)]) -> Option<(f64, f64)> {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let times = ratios.iter().map(|ratio| ratio.0).collect();
    let memories = ratios.iter().map(|ratio| ratio.1).collect();
    Some((middle(times)?, middle(memories)?))
}

/// Writes the log and yields its size.
fn generate(path: &Path, lines: u64) -> io::Result<u64> {
    const WEEK: u64 = 7 * 86_400;
    let mut random = fastrand::Rng::with_seed(7);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for number in 0..lines {
        let second = number * WEEK / lines;
        let (day, hour, minute) = (16 + second / 86_400, second / 3600 % 24, second / 60 % 60);
        let time = format!("{day:02}/Nov/2026:{hour:02}:{minute:02}:{:02} +0000", second % 60);
        let term = random.u32(..100_000);
        let path = "/service/ipbx/json.php/restricted/pbx_services/phonebook";
        let kind = random.u32(..1000);
        if kind < 20 {
            let address = random.u32(..5000);
            writeln!(
                out,
                "198.51.{}.{} - - [{time}] \"GET / HTTP/1.1\" 403 146 \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"",
                address / 250,
                address % 250
            )?;
            continue;
        }
        let peer = random.u32(..20).min(random.u32(..20));
        let (status, bytes) = match kind {
            20..50 => (429, 215),
            50..52 => (502, 240),
            52..60 => (403, 233),
            60..300 => (204, 0),
            _ => (200, 400 + term % 3000),
        };
        writeln!(
            out,
            "192.0.2.{peer} - xivo-site-{peer} [{time}] \"GET {path}?act=search&search=name{term} HTTP/1.1\" {status} {bytes} \"-\" \"python-requests/2.28.1\"",
        )?;
    }
    out.into_inner()?.metadata().map(|metadata| metadata.len())
}

fn say(text: String) {
    let _ = writeln!(io::stdout(), "{text}");
}
