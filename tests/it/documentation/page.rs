//! The repository's Markdown files, as far as tests look at them: headings, tables, fenced blocks, and the text between.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A Markdown file.
#[derive(Debug)]
pub(super) struct Page {
    /// Relative to the repository, such as `docs/tls.md`.
    pub(super) name: String,
    pub(super) text: String,
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The first word behind the fence: `toml`, `console`, `sh`.
    pub(super) language: String,
    /// What follows it: a file's name, or what the block is for.
    pub(super) label: String,
    pub(super) text: String,
    /// The fence's line, counted from 1.
    pub(super) line: usize,
}

/// A line of a page.
enum Part<'a> {
    Text(&'a str),
    /// A fence that opens a block, and its line's number.
    Fence(&'a str, usize),
    Code(&'a str),
    End,
}

pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the repository.
pub(super) fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(repository().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let name = directory.join(entry.file_name());
            let text = name.to_str().unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !text.starts_with('.') && !text.ends_with("target") {
                open.push(name);
            } else if kind.is_file() && text.ends_with(".md") {
                found.push(page(text));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() > 15, "{found:?}");
    found
}

/// One page.
pub(super) fn page(name: &str) -> Page {
    let text = fs::read_to_string(repository().join(name)).unwrap();
    Page { name: name.to_owned(), text }
}

impl Page {
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut inside = false;
        self.text.lines().enumerate().map(move |(at, line)| {
            match (line.trim_start().strip_prefix("```"), inside) {
                (Some(_), true) => {
                    inside = false;
                    Part::End
                }
                (Some(rest), false) => {
                    inside = true;
                    Part::Fence(rest, at + 1)
                }
                (None, true) => Part::Code(line),
                (None, false) => Part::Text(line),
            }
        })
    }

    /// The fenced blocks, in their order.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for part in self.parts() {
            match (part, blocks.last_mut()) {
                (Part::Fence(words, line), _) => {
                    let (language, label) = words.split_once(' ').unwrap_or((words, ""));
                    blocks.push(Block {
                        language: language.to_owned(),
                        label: label.trim().to_owned(),
                        text: String::new(),
                        line,
                    });
                }
                (Part::Code(line), Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                _ => {}
            }
        }
        blocks
    }

    /// The blocks with this language and label.
    pub(super) fn blocks_of(&self, language: &str, label: &str) -> Vec<Block> {
        let is_it = |block: &Block| block.language == language && block.label == label;
        self.blocks().into_iter().filter(is_it).collect()
    }

    /// The lines outside of fenced blocks.
    pub(super) fn prose(&self) -> impl Iterator<Item = &str> {
        self.parts().filter_map(|part| match part {
            Part::Text(line) => Some(line),
            Part::Fence(..) | Part::Code(_) | Part::End => None,
        })
    }

    /// The headings, without their marks.
    pub(super) fn headings(&self) -> Vec<&str> {
        self.prose().filter_map(heading).collect()
    }

    /// The rows of the tables under this heading, up to the next heading; without their head.
    pub(super) fn rows(&self, under: &str) -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut here = false;
        for line in self.prose() {
            if let Some(heading) = heading(line) {
                here = heading == under;
            } else if here && line.starts_with("|--") {
                // What stands above the line is the head.
                rows.pop();
            } else if here && line.starts_with('|') {
                rows.push(cells(line));
            }
        }
        assert!(!rows.is_empty(), "{} has no table under \"{under}\"", self.name);
        rows
    }

    /// The code spans of the prose.
    pub(super) fn spans(&self) -> Vec<String> {
        self.prose().flat_map(spans).collect()
    }
}

/// A heading's text.
fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len()).then(|| text.strip_prefix(' ')).flatten()
}

/// The cells of a table's row.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    let inner = inner.replace("\\|", "\u{0}");
    inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// A line's pieces: code spans, without their backticks, and what is between them.
pub(super) fn pieces(line: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let opened = &rest[start..];
        let ticks = opened.len() - opened.trim_start_matches('`').len();
        let (fence, after) = opened.split_at(ticks);
        let Some(end) = after.find(fence) else { break };
        found.push((false, rest[..start].to_owned()));
        found.push((true, after[..end].trim().to_owned()));
        rest = &after[end + ticks..];
    }
    found.push((false, rest.to_owned()));
    found
}

/// The code spans of a line, or of a cell.
pub(super) fn spans(text: &str) -> Vec<String> {
    pieces(text).into_iter().filter(|(is_code, _)| *is_code).map(|(_, text)| text).collect()
}

#[test]
fn the_reader_of_pages_sees_blocks_tables_and_spans() {
    let text = "# Top\n| a | b |\n|---|---|\n| `x\\|y` | 2 |\n```toml a.toml\n# no heading\n| no | row |\n```\n\
                ## `[next]`\n| c |\n|---|\n| 3 |\n";
    let page = Page { name: "x.md".to_owned(), text: text.to_owned() };
    assert_eq!(page.headings(), ["Top", "`[next]`"]);
    assert_eq!(page.rows("Top"), [["`x|y`", "2"]]);
    assert_eq!(page.rows("`[next]`"), [["3"]]);
    let blocks = page.blocks();
    assert_eq!(blocks.len(), 1);
    let Block { language, label, text, line } = &blocks[0];
    assert_eq!((language.as_str(), label.as_str(), *line), ("toml", "a.toml", 5));
    assert_eq!(text, "# no heading\n| no | row |\n");
    assert_eq!(spans("a `b` and ``c ` d`` e"), ["b", "c ` d"]);
}
