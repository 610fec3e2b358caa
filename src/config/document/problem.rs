//! What is wrong or doubtful in the configuration: where, what was found, what is allowed, what to do.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::{Deserialize, Serialize, Serializer};

use crate::location::Location;

/// Whether a problem keeps the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// Legal, but perhaps not what was meant.
    Warning,
}

/// The text of one configuration file.
#[derive(Debug)]
pub(crate) struct Document {
    file: Arc<PathBuf>,
    text: String,
    line_starts: Vec<usize>,
}

impl Document {
    pub(crate) fn new(file: PathBuf, text: String) -> Arc<Self> {
        let line_starts =
            std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        let line_starts = line_starts.collect();
        Arc::new(Self { file: Arc::new(file), text, line_starts })
    }

    /// A file that could not be read: it has a name and no text.
    pub(crate) fn unread(file: PathBuf) -> Arc<Self> {
        Self::new(file, String::new())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The line of the byte at `offset`, counted from 0.
    pub(crate) fn line_index(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset).saturating_sub(1)
    }

    pub(crate) fn location(&self, offset: usize) -> Location {
        let line = u32::try_from(self.line_index(offset) + 1).unwrap_or(u32::MAX);
        Location::new(Arc::clone(&self.file), line)
    }

    /// Where line `index` begins, and its text without the line end.
    pub(crate) fn line(&self, index: usize) -> (usize, &str) {
        let start = self.line_starts.get(index).copied().unwrap_or(self.text.len());
        let rest = &self.text[start..];
        (start, rest.lines().next().unwrap_or_default())
    }
}

/// A stretch of a file, or the file as a whole where no stretch of it is to blame.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    document: Arc<Document>,
    span: Option<Range<usize>>,
    label: String,
}

impl Mark {
    pub(crate) fn new(document: &Arc<Document>, span: Range<usize>, label: String) -> Self {
        Self { document: Arc::clone(document), span: Some(span), label }
    }

    pub(crate) fn whole_file(document: &Arc<Document>) -> Self {
        Self { document: Arc::clone(document), span: None, label: String::new() }
    }

    fn offset(&self) -> usize {
        self.span.as_ref().map_or(0, |span| span.start)
    }

    fn line_number(&self) -> usize {
        self.document.line_index(self.offset()) + 1
    }

    /// The column in characters, counted from 1, as editors count.
    fn column(&self) -> usize {
        let (start, line) = self.document.line(self.line_number() - 1);
        let before = self.offset().saturating_sub(start);
        line.char_indices().take_while(|(at, _)| *at < before).count() + 1
    }

    /// The marked line, and the marked bytes of it: of a span over several lines, those of the first.
    fn excerpt(&self) -> Option<(&str, Range<usize>)> {
        let span = self.span.as_ref()?;
        let (start, line) = self.document.line(self.line_number() - 1);
        let from = span.start.saturating_sub(start).min(line.len());
        let to = span.end.saturating_sub(start).clamp(from, line.len());
        Some((line, from..to))
    }

    /// The same, cut to what a reader can take in: drawing all of a long line takes time beyond
    /// proportion, for each of its problems.
    fn window(&self) -> Option<(&str, Range<usize>)> {
        let (line, marked) = self.excerpt()?;
        if line.len() <= LONGEST_LINE {
            return Some((line, marked));
        }
        let boundary = |mut at: usize| {
            while !line.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let from = boundary(marked.start.saturating_sub(LONGEST_LINE / 4));
        let to = boundary((from + LONGEST_LINE).min(line.len()));
        let marked = marked.start.min(to) - from..marked.end.min(to) - from;
        Some((line.get(from..to)?, marked))
    }

    /// Where it is; to be drawn where [`Self::window`] does not begin at the line's beginning.
    fn origin(&self) -> Origin<'_> {
        let path = self.document.file().to_string_lossy();
        Origin::path(path).line(self.line_number()).char_column(self.column())
    }

    fn is_cut(&self) -> bool {
        self.excerpt().is_some_and(|(line, _)| line.len() > LONGEST_LINE)
    }

    fn snippet(&self, kind: AnnotationKind) -> Option<Snippet<'_, Annotation<'_>>> {
        let (line, marked) = self.window()?;
        let mut annotation = kind.span(marked);
        if !self.label.is_empty() {
            annotation = annotation.label(self.label.as_str());
        }
        let snippet = Snippet::source(line).line_start(self.line_number()).annotation(annotation);
        if self.is_cut() {
            return Some(snippet);
        }
        Some(snippet.path(self.document.file().to_string_lossy()))
    }
}

/// One thing that is wrong or doubtful.
///
/// Its message is a sentence; its label stands at the marked value and says what is allowed; its
/// help says what to write.
#[derive(Clone, Debug)]
pub struct Problem {
    severity: Severity,
    message: String,
    mark: Mark,
    related: Vec<Mark>,
    help: Option<String>,
}

impl Problem {
    pub(crate) fn error(message: String, mark: Mark) -> Self {
        Self { severity: Severity::Error, message, mark, related: Vec::new(), help: None }
    }

    pub(crate) fn warning(message: String, mark: Mark) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message, mark) }
    }

    pub(crate) fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    pub(crate) fn with_related(mut self, mark: Mark) -> Self {
        self.related.push(mark);
        self
    }

    /// Whether it keeps the configuration from being used.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The file, as the configuration named it.
    pub fn file(&self) -> &Path {
        self.mark.document.file()
    }

    /// The line, counted from 1; 1 where the file as a whole is meant.
    pub fn line(&self) -> usize {
        self.mark.line_number()
    }

    /// The column in characters, counted from 1; 1 where the file as a whole is meant.
    pub fn column(&self) -> usize {
        self.mark.column()
    }

    /// For sorting within a file.
    pub(crate) fn offset(&self) -> usize {
        self.mark.offset()
    }

    /// Its file and line.
    pub(crate) fn location(&self) -> Location {
        self.mark.document.location(self.mark.offset())
    }

    /// What is wrong, with the value that was found.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What stands at the marked value: mostly what is allowed there. May be empty.
    pub fn label(&self) -> &str {
        &self.mark.label
    }

    /// What to do, where there is something definite to say.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The problem as a compiler would show it, without a final line end: the message, the place,
    /// the source line with the value marked, and the help.
    pub fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str());
        let mut group = match self.mark.snippet(AnnotationKind::Primary) {
            Some(snippet) if self.mark.is_cut() => {
                title.element(self.mark.origin()).element(snippet)
            }
            Some(snippet) => title.element(snippet),
            None => title.element(Origin::path(self.file().to_string_lossy())),
        };
        // A mark in the same file is drawn as a snippet of its own as well: it may be far away.
        group = group
            .elements(self.related.iter().filter_map(|mark| mark.snippet(AnnotationKind::Context)));
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

/// One line, for logs: `policies/lyon.toml:4:10: error: …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let (file, line, column) = (self.file().display(), self.line(), self.column());
        write!(f, "{file}:{line}:{column}: {severity}: {}", self.message)
    }
}

/// A mark as programs read it.
#[derive(Serialize)]
struct MarkView<'a> {
    file: String,
    line: usize,
    column: usize,
    label: &'a str,
    source: Option<&'a str>,
}

impl<'a> MarkView<'a> {
    fn new(mark: &'a Mark) -> Self {
        Self {
            file: mark.document.file().to_string_lossy().into_owned(),
            line: mark.line_number(),
            column: mark.column(),
            label: &mark.label,
            source: mark.window().map(|(line, _)| line),
        }
    }
}

/// A problem as programs read it.
#[derive(Serialize)]
struct ProblemView<'a> {
    severity: Severity,
    message: &'a str,
    #[serde(flatten)]
    mark: MarkView<'a>,
    help: Option<&'a str>,
    related: Vec<MarkView<'a>>,
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = ProblemView {
            severity: self.severity,
            message: &self.message,
            mark: MarkView::new(&self.mark),
            help: self.help(),
            related: self.related.iter().map(MarkView::new).collect(),
        };
        view.serialize(serializer)
    }
}

/// Everything found in a configuration that cannot be used: at least one error, and the warnings.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `found`, which holds an error.
    pub(crate) fn new(found: Vec<Problem>) -> Self {
        Self(found)
    }

    /// All of them: those of the main file first, then policy by policy, each from top to bottom.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// All of them rendered, with a blank line between them.
    pub fn render(&self, renderer: &Renderer) -> String {
        let rendered: Vec<String> = self.iter().map(|problem| problem.render(renderer)).collect();
        rendered.join("\n\n")
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line for each.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The longest source line that is shown whole, in bytes.
const LONGEST_LINE: usize = 240;
