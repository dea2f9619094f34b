//! A copy of a text with changes made, and the way back to the text.

use crate::model::legacy::Edit;

/// A text with changes made.
pub(in crate::cli) struct Draft {
    pub(in crate::cli) text: String,
    /// For each byte, and for the end, where it stands in the text that the draft was made from. What was put in
    /// stands where it was put.
    pub(super) origin: Vec<usize>,
}

impl Draft {
    pub(in crate::cli) fn new(source: &str, edits: &[Edit]) -> Self {
        let mut draft = Self { text: String::with_capacity(source.len()), origin: Vec::new() };
        let mut done = 0;
        for edit in in_order(source, edits) {
            draft.keep(source, done, edit.span.start);
            draft.text.push_str(&edit.text);
            draft.origin.resize(draft.text.len(), edit.span.start);
            done = edit.span.end;
        }
        draft.keep(source, done, source.len());
        draft.origin.push(source.len());
        draft
    }

    fn keep(&mut self, source: &str, from: usize, to: usize) {
        self.text.push_str(&source[from..to]);
        self.origin.extend(from..to);
    }
}

/// The edits from the first to the last. One that overlaps an earlier one, or fits no text, is left out.
pub(super) fn in_order<'e>(source: &str, edits: &'e [Edit]) -> Vec<&'e Edit> {
    let mut sorted: Vec<&Edit> =
        edits.iter().filter(|edit| source.get(edit.span.clone()).is_some()).collect();
    sorted.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut done = 0;
    sorted.retain(|edit| {
        let fits = edit.span.start >= done;
        if fits {
            done = edit.span.end;
        }
        fits
    });
    sorted
}
