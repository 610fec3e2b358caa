//! `top`: the peers and what they do, shown again each second.
//!
//! The terminal is left as it was, however this ends: by `q`, Ctrl-C, a signal, or a gateway that ends.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{NoAnswer, Target};
use super::show;
use crate::cli::{Exit, print, print_error};
use crate::control::documents::{PeerRow, Peers, Status};
use crate::control::protocol::{Answer, Command};

/// Runs the command.
pub(super) fn run(target: &Target) -> Exit {
    let first = match Figures::ask(target) {
        Ok(first) => first,
        Err(error) => return super::no_answer(&error),
    };
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return print(&first.screen(None, Size { width: usize::MAX, height: usize::MAX }));
    }
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let screen = match Screen::open() {
        Ok(screen) => screen,
        Err(error) => return failed(&error),
    };
    let ended = runtime.block_on(live(target, &screen, first));
    // The terminal is as it was before anything is said on it.
    drop(screen);
    match ended {
        Ok(()) => Exit::Ok,
        Err(Ended::NoAnswer(error)) => super::no_answer(&error),
        Err(Ended::Io(error)) => failed(&error),
    }
}

fn failed(error: &io::Error) -> Exit {
    print_error(&format!("top: the terminal cannot be used: {error}"));
    Exit::Failed
}

/// Why it ends without having been told to.
enum Ended {
    NoAnswer(NoAnswer),
    Io(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

async fn live(target: &Target, screen: &Screen, first: Figures) -> Result<(), Ended> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut keys = keys()?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let (mut before, mut now) = (None, first);
    loop {
        screen.draw(&now.screen(before.as_ref(), Size::of_terminal()))?;
        tokio::select! {
            _ = ticks.tick() => {
                let next = Figures::ask(target).map_err(Ended::NoAnswer)?;
                before = Some(std::mem::replace(&mut now, next));
            }
            _ = resized.recv() => {}
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            pressed = keys.recv() => match pressed {
                Some(key) if !QUIT.contains(&key) => {}
                // Or no more input: nobody could end it any longer.
                Some(_) | None => return Ok(()),
            },
        }
    }
}

/// The keys that are pressed. They are read in a thread of its own, which ends with the process: nothing else
/// can wait for a terminal and leave it as it is for others that use it.
fn keys() -> io::Result<mpsc::Receiver<u8>> {
    let (pressed, keys) = mpsc::channel(16);
    let read = move || {
        for key in io::stdin().lock().bytes().map_while(Result::ok) {
            if pressed.blocking_send(key).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read)?;
    Ok(keys)
}

/// What is shown.
struct Figures {
    at: Timestamp,
    status: Status,
    peers: Peers,
}

impl Figures {
    fn ask(target: &Target) -> Result<Self, NoAnswer> {
        let (at, status) = document(target, &Command::Status {})?;
        let (_, peers) = document(target, &Command::Peers { name: None })?;
        Ok(Self { at, status, peers })
    }

    /// The figures, with what came since `before`, on one screen.
    fn screen(&self, before: Option<&Self>, size: Size) -> String {
        let status = &self.status;
        let since = |now: u64, then: u64| now.saturating_sub(then);
        let total = |status: &Status| status.requests.answered + status.requests.refused;
        let rate = before.map(|before| {
            let seconds = self.at.duration_since(before.at).as_secs_f64().max(0.001);
            let came = since(total(status), total(&before.status));
            format!("{:.1} requests/s, ", came as f64 / seconds)
        });
        let mut out = format!(
            "{} since {:.0}, revision {}{}\n{}{} connections of {}, XiVO failed {}\n\n",
            status.phase,
            status.since,
            status.configuration.revision,
            if status.configuration.differs.is_some() { ", DIFFERS FROM DISK" } else { "" },
            rate.unwrap_or_default(),
            status.connections.open,
            status.connections.most,
            status.upstream.failed,
        );
        let old = |name: &str| {
            before.and_then(|before| before.peers.peers.iter().find(|peer| peer.name == name))
        };
        let asked = |peer: &PeerRow| peer.requests.answered + peer.requests.refused;
        let new =
            |peer: &PeerRow| since(asked(peer), old(&peer.name).map_or_else(|| asked(peer), asked));
        let mut peers: Vec<PeerRow> = self.peers.peers.clone();
        peers.sort_by_key(|peer| (std::cmp::Reverse((new(peer), asked(peer))), peer.name.clone()));
        let shown = Peers { peers, unknown: self.peers.unknown.clone() };
        out += &show::peers(&shown, self.at);
        fit(&out, size)
    }
}

/// A document of a gateway, and the moment that it tells of.
fn document<T: serde::de::DeserializeOwned>(
    target: &Target,
    command: &Command,
) -> Result<(Timestamp, T), NoAnswer> {
    let (answer, _) = target.ask(command, PATIENCE)?;
    match answer {
        Answer { ok: Some(document), at, .. } => {
            serde_json::from_value(document).map(|document| (at, document)).map_err(|error| {
                NoAnswer::Failed(format!("what the gateway answers is not understood: {error}"))
            })
        }
        Answer { error, .. } => {
            Err(NoAnswer::Failed(error.map(|refused| refused.message).unwrap_or_default()))
        }
    }
}

/// As much of `text` as the terminal has room for; the last line says how it ends.
fn fit(text: &str, size: Size) -> String {
    let cut = |line: &str| line.chars().take(size.width).collect::<String>() + "\n";
    let lines = text.lines().take(size.height.saturating_sub(1));
    lines.map(cut).collect()
}

#[derive(Clone, Copy)]
struct Size {
    width: usize,
    height: usize,
}

impl Size {
    fn of_terminal() -> Self {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Self { width: size.ws_col.into(), height: size.ws_row.into() }
            }
            _ => Self { width: 80, height: 24 },
        }
    }
}

/// The terminal while it is used, until it is dropped.
struct Screen {
    before: Termios,
}

impl Screen {
    /// Shows a second screen without a cursor, and takes keys one by one.
    fn open() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // Lines still end as lines.
        raw.output_modes = before.output_modes;
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        let screen = Self { before };
        screen.write("\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J")?;
        Ok(screen)
    }

    /// Shows a text from the first line on; what stood there before is cleared, so that nothing flickers.
    fn draw(&self, text: &str) -> io::Result<()> {
        let lines = text.replace('\n', "\x1b[K\n");
        self.write(&format!("\x1b[H{lines}\x1b[Jq or Ctrl-C ends it\x1b[K"))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone, there is nothing to put back.
        let _ = self.write("\x1b[?25h\x1b[?1049l");
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, &self.before);
    }
}

/// `q`, `Q`, Ctrl-C, Ctrl-D and Ctrl-\, which a terminal in raw mode passes on.
const QUIT: [u8; 5] = [b'q', b'Q', 0x03, 0x04, 0x1c];

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(2);
