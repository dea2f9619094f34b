//! Findings as rustc draws them: the line, a caret, and the line as it should be.

use std::io;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Patch, Renderer, Snippet};

use super::report::LintReport;
use crate::cli::diagnostic::{Diagnostic, Lines};
use crate::cli::document::Source;
use crate::model::legacy::Severity;

/// The most lines that are drawn of one finding.
const MAX_LINES: usize = 8;

/// The longest line that is drawn: one of JSON may be all of a file.
const MAX_LINE_BYTES: usize = 400;

/// The most lines whose changes are drawn. The message describes the others.
const MAX_CHANGED_LINES: usize = 16;

pub(super) fn write(report: &LintReport, colour: bool, to: &mut dyn io::Write) -> io::Result<()> {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    for diagnostic in &report.diagnostics {
        writeln!(to, "{}\n", renderer.render(&groups(report, diagnostic)))?;
    }
    writeln!(to, "{}", summary(report))
}

/// Returns the counts, as `2 errors, 1 warning`.
pub(super) fn summary(report: &LintReport) -> String {
    let counted = |(severity, name): (Severity, &str)| match report.count(severity) {
        0 => None,
        1 => Some(format!("1 {name}")),
        more => Some(format!("{more} {name}s")),
    };
    let all = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let all: Vec<String> = all.into_iter().filter_map(counted).collect();
    if all.is_empty() {
        "no findings: the configuration is served as written".to_owned()
    } else {
        all.join(", ")
    }
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    }
}

fn groups<'a>(report: &'a LintReport, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
    let title = format!("{}: {}", diagnostic.key, diagnostic.code.title().replace('`', ""));
    let title = level(diagnostic.severity).primary_title(title).id(diagnostic.code.as_str());
    let Some((source, lines)) = report.sources.get(diagnostic.source) else {
        return vec![title.element(Level::HELP.message(diagnostic.message.as_str()))];
    };
    let window =
        diagnostic.span.as_ref().and_then(|span| LineWindow::around(source, lines, span.clone(), MAX_LINES));
    let (Some(span), Some(window)) = (&diagnostic.span, window) else {
        let mut origin = Origin::path(source.name.as_str());
        if let Some(span) = &diagnostic.span {
            let at = lines.position(&source.text, span.start);
            origin = origin.line(at.line).char_column(at.column);
        }
        return vec![title.element(origin).element(Level::HELP.message(diagnostic.message.as_str()))];
    };
    let annotation = AnnotationKind::Primary.span(window.span(span)).label(diagnostic.message.as_str());
    let snippet = Snippet::source(window.text).line_start(window.line).path(source.name.as_str());
    let mut groups = vec![title.element(snippet.annotation(annotation))];
    let changed = diagnostic.edits.first().zip(diagnostic.edits.last());
    let changed = changed.map(|(first, last)| first.span.start..last.span.end.max(first.span.start));
    if let Some(window) = changed.and_then(|span| LineWindow::around(source, lines, span, MAX_CHANGED_LINES))
    {
        let patches =
            diagnostic.edits.iter().map(|edit| Patch::new(window.span(&edit.span), edit.text.as_str()));
        let snippet = Snippet::source(window.text).line_start(window.line).path(source.name.as_str());
        groups.push(Level::HELP.secondary_title("write").element(snippet.patches(patches)));
    }
    groups
}

/// The lines of a text around a place.
struct LineWindow<'a> {
    text: &'a str,
    start: usize,
    line: usize,
}

impl<'a> LineWindow<'a> {
    /// Takes the lines around a place. `None`: they are too many or too long.
    fn around(source: &'a Source, at: &Lines, span: Range<usize>, lines: usize) -> Option<Self> {
        let text = source.text.as_str();
        let start = text.get(..span.start)?.rfind('\n').map_or(0, |end| end + 1);
        let end = text.get(span.end..)?.find('\n').map_or(text.len(), |end| span.end + end);
        let start = if start == 0 && text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8().min(span.start)
        } else {
            start
        };
        let shown = text.get(start..end)?.trim_end_matches('\r');
        let fits = shown.lines().count() <= lines && shown.lines().all(|line| line.len() <= MAX_LINE_BYTES);
        fits.then(|| Self { text: shown, start, line: at.line(start) })
    }

    fn span(&self, span: &Range<usize>) -> Range<usize> {
        let within = |at: usize| at.saturating_sub(self.start).min(self.text.len());
        within(span.start)..within(span.end)
    }
}
