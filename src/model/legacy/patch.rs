//! Changes to a text, a copy with them made, and the way back to the text.

use std::ops::Range;

/// A change to the value that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes to replace; empty to insert.
    pub span: Range<usize>,
    /// The text to write there.
    pub text: String,
}

/// A text with changes made.
pub(crate) struct PatchedText {
    pub(crate) text: String,
    changes: Vec<MadeChange>,
}

struct MadeChange {
    /// The byte of the patched text at which it begins.
    start: usize,
    /// How many bytes it wrote there.
    length: usize,
    /// The bytes of the source that it replaced.
    replaced: Range<usize>,
}

impl PatchedText {
    /// Makes the changes. One that overlaps an earlier one, or does not fit the text, is left out.
    pub(crate) fn new<'e>(source: &str, edits: impl IntoIterator<Item = &'e Edit>) -> Self {
        let mut edits: Vec<&Edit> =
            edits.into_iter().filter(|edit| source.get(edit.span.clone()).is_some()).collect();
        edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
        let mut patched = Self { text: String::with_capacity(source.len()), changes: Vec::new() };
        let mut done = 0;
        for Edit { span, text } in edits {
            let Some(kept) = source.get(done..span.start) else { continue };
            patched.text.push_str(kept);
            let (start, length) = (patched.text.len(), text.len());
            patched.changes.push(MadeChange { start, length, replaced: span.clone() });
            patched.text.push_str(text);
            done = span.end;
        }
        patched.text.push_str(source.get(done..).unwrap_or_default());
        patched
    }

    /// Returns whether nothing was changed.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns the byte of the source for a byte of the patched text. A text that was put in is at the place where
    /// it was put.
    pub(crate) fn origin(&self, at: usize) -> usize {
        self.origin_after(at, self.changes.partition_point(|change| change.start <= at))
    }

    /// Returns the byte of the source for a byte that some of the changes are before.
    fn origin_after(&self, at: usize, before: usize) -> usize {
        let last = before.checked_sub(1).and_then(|last| self.changes.get(last));
        let Some(MadeChange { start, length, replaced }) = last else { return at };
        match (at - start).checked_sub(*length) {
            Some(beyond) => replaced.end + beyond,
            None => replaced.start,
        }
    }

    /// Returns the bytes of the source for bytes of the patched text. What was removed at their end is not among them.
    pub(crate) fn origin_of(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.origin(span.start);
        if span.is_empty() {
            return start..start;
        }
        let before = self.changes.partition_point(|change| change.start < span.end);
        start..self.origin_after(span.end, before).max(start)
    }
}
