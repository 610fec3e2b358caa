//! Text of a width: paragraphs, bars and tables.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use super::Screen;

/// Collects the lines of a report.
pub(super) struct Canvas {
    screen: Screen,
    text: String,
}

/// How a cell stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Colours, as escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Bold,
    Warning,
    Failure,
}

impl Canvas {
    pub(super) fn new(screen: Screen) -> Self {
        let width = screen.width.clamp(40, 200);
        Self { screen: Screen { width, ..screen }, text: String::new() }
    }

    pub(super) fn width(&self) -> usize {
        self.screen.width
    }

    /// How many rows of a list are shown, where `usual` fit well.
    pub(super) fn rows(&self, usual: usize) -> usize {
        if self.screen.all { usize::MAX } else { usual }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// A line as it is, without its trailing blanks; in this ink, where there are colours.
    fn line(&mut self, line: &str, ink: Option<Ink>) {
        let line = line.trim_end();
        match ink.filter(|_| self.screen.colour && !line.is_empty()) {
            Some(ink) => {
                let code = match ink {
                    Ink::Bold => "1",
                    Ink::Warning => "33",
                    Ink::Failure => "31",
                };
                self.text.push_str(&format!("\x1b[{code}m{line}\x1b[0m\n"));
            }
            None => {
                self.text.push_str(line);
                self.text.push('\n');
            }
        }
    }

    /// A heading, with an empty line before it unless it is the first.
    pub(super) fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.line("", None);
        }
        for line in self.wrapped("", "", text) {
            self.line(&line, Some(Ink::Bold));
        }
    }

    /// Words, broken into lines; all but the first begin below the end of `lead`.
    pub(super) fn paragraph(&mut self, lead: &str, text: &str) {
        self.inked(None, lead, text);
    }

    pub(super) fn inked(&mut self, ink: Option<Ink>, lead: &str, text: &str) {
        let indent = " ".repeat(lead.chars().count());
        for line in self.wrapped(lead, &indent, text) {
            self.line(&line, ink);
        }
    }

    /// Lines that are to be pasted, as they are; what is too wide is broken anywhere.
    pub(super) fn verbatim(&mut self, indent: &str, text: &str) {
        let room = self.screen.width - indent.len();
        for line in text.lines() {
            let chars: Vec<char> = self.plain(line).chars().collect();
            for piece in chars.chunks(room) {
                let piece: String = piece.iter().collect();
                self.line(&format!("{indent}{piece}"), None);
            }
        }
    }

    fn wrapped(&self, lead: &str, indent: &str, text: &str) -> Vec<String> {
        let text = self.plain(text);
        let columns = |text: &str| text.chars().count();
        let (begin, width) = (columns(indent), self.screen.width);
        let mut lines = Vec::new();
        let (mut line, mut used) = (lead.to_owned(), columns(lead));
        let mut is_empty = true;
        for word in text.split_whitespace() {
            let (mut word, mut left) = (word, columns(word));
            if !is_empty && used + 1 + left > width {
                lines.push(std::mem::replace(&mut line, indent.to_owned()));
                (used, is_empty) = (begin, true);
            }
            if !is_empty {
                line.push(' ');
                used += 1;
            }
            // A word wider than a line is broken where the line ends.
            while used + left > width {
                let room = width.saturating_sub(used);
                let at = word.char_indices().nth(room).map_or(word.len(), |(at, _)| at);
                line.push_str(&word[..at]);
                (word, left) = (&word[at..], left - room);
                lines.push(std::mem::replace(&mut line, indent.to_owned()));
                used = begin;
            }
            line.push_str(word);
            used += left;
            is_empty = false;
        }
        if !is_empty || lines.is_empty() {
            lines.push(line);
        }
        lines
    }

    /// A table without rules; its first row is the head. Cells are of the log, and made safe here.
    pub(super) fn table(&mut self, columns: &[Align], rows: &[Vec<String>]) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(self.screen.width).unwrap_or(u16::MAX));
        for row in rows {
            table.add_row(row.iter().map(|cell| self.cell(cell)).collect::<Vec<_>>());
        }
        for (index, align) in columns.iter().enumerate() {
            let Some(column) = table.column_mut(index) else { continue };
            let gap = if columns.len() > 6 { 1 } else { 2 };
            column.set_padding((0, if index + 1 == columns.len() { 0 } else { gap }));
            // Figures are never broken; names and lists are, where there is no room.
            if *align == Align::Right {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        let lines: Vec<String> = table.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            self.line(line, (index == 0).then_some(Ink::Bold));
        }
    }

    /// What a cell shows: where columns are narrow, more would be a column of letters.
    fn cell(&self, text: &str) -> String {
        let shown = self.plain(text);
        match shown.char_indices().nth(LONGEST_CELL) {
            None => shown,
            Some((at, _)) => format!("{}{}", &shown[..at], self.plain("…")),
        }
    }

    /// What is left out of a list.
    pub(super) fn more(&mut self, all: usize, shown: usize) {
        if all > shown {
            let text = format!("... and {} more: --all shows them", all - shown);
            self.paragraph("", &text);
        }
    }

    /// A bar of at most this number of columns, for a share of `whole`.
    pub(super) fn bar(&self, part: u64, whole: u64, columns: usize) -> String {
        let eighths = share(part, whole, columns * 8);
        let (full, rest) = (eighths / 8, eighths % 8);
        if !self.screen.unicode {
            let full = if part > 0 { full.max(1) } else { full };
            return "#".repeat(full);
        }
        let rest = match (full, rest) {
            (0, 0) if part > 0 => "▏",
            (_, rest) => EIGHTHS.get(rest).copied().unwrap_or_default(),
        };
        "█".repeat(full) + rest
    }

    /// Three bars behind one another: what is well, what was refused, and what failed. They are as long as their
    /// shares: one failure of many does not show, and its figure does.
    pub(super) fn split_bar(&self, row: [u64; 3], whole: u64, columns: usize) -> String {
        let [all, refused, failed] = row;
        let length = share(all, whole, columns).max(usize::from(all > 0));
        let refused = share(refused, all, length);
        let failed = share(failed, all, length).min(length - refused);
        let [well, other, bad] = self.shades();
        well.repeat(length - refused - failed) + &other.repeat(refused) + &bad.repeat(failed)
    }

    /// What is well, what was refused, and what failed.
    pub(super) fn shades(&self) -> [&'static str; 3] {
        if self.screen.unicode { ["█", "░", "▒"] } else { ["#", ".", "x"] }
    }

    /// One character for each figure.
    pub(super) fn sparkline(&self, figures: &[u64]) -> String {
        let most = figures.iter().copied().max().unwrap_or(0);
        let levels: &[char] = if self.screen.unicode {
            &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        } else {
            &['.', ':', '-', '=', '+', '*', '#', '@']
        };
        let level = |figure: u64| match figure {
            0 => ' ',
            figure => levels[share(figure, most, levels.len() - 1)],
        };
        figures.iter().map(|figure| level(*figure)).collect()
    }

    /// Text of ours or of the log, as this screen can show it.
    pub(super) fn plain(&self, text: &str) -> String {
        let safe = safe(text);
        if self.screen.unicode {
            return safe;
        }
        safe.chars()
            .map(|c| match c {
                '·' => "|".to_owned(),
                '…' => "...".to_owned(),
                '█' | '▏' => "#".to_owned(),
                c if c.is_ascii() => c.to_string(),
                c => c.escape_unicode().to_string(),
            })
            .collect()
    }
}

/// `text` with everything escaped that is not printable and one column wide: control characters,
/// terminal sequences, marks, directions, and letters of scripts whose width depends on the terminal.
pub(super) fn safe(text: &str) -> String {
    let is_shown = |c: char| matches!(c, ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{24f}' | '…' | '▁'..='█' | '▉'..='▏' | '░' | '▒');
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_shown(c) {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
        out
    })
}

/// `part` of `whole` on a scale that goes to `scale`, rounded.
fn share(part: u64, whole: u64, scale: usize) -> usize {
    if whole == 0 {
        return 0;
    }
    let scaled = (u128::from(part) * scale as u128 + u128::from(whole) / 2) / u128::from(whole);
    usize::try_from(scaled).unwrap_or(scale).min(scale)
}

/// The number of characters of a cell that are shown.
const LONGEST_CELL: usize = 240;

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
