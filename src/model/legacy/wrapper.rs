//! Lines that were copied along with a text and are not part of it: the `|` of a manifest, the code fences of Markdown, the
//! marks of a text in a shell or in Terraform.

use std::ops::Range;

use super::content::Content;
use super::line::is_block_header;
use super::patch::Edit;

/// The words that people end such a text with.
const ENDS: [&str; 9] = ["EOT", "EOF", "EOL", "EOS", "EOM", "END", "YAML", "YML", "HEREDOC"];

/// A line, or its first sign, that is not part of the text.
pub(crate) struct Wrapper {
    /// Its bytes without spaces.
    pub(crate) span: Range<usize>,
    /// What to remove, with the line break.
    pub(crate) edit: Edit,
    pub(crate) message: String,
}

/// Finds such lines in the text of a key.
pub(crate) fn in_value(text: &str) -> Vec<Wrapper> {
    let lines = contents(text);
    let mut found = Vec::new();
    let last = lines.len().saturating_sub(1);
    let mut after_key = false;
    let mut end: Option<String> = None;
    if lines.len() < 2 {
        return found;
    }
    for (index, (line, span)) in lines.iter().enumerate() {
        let body = &text[span.clone()];
        let opened = (index == 0).then(|| heredoc(body)).flatten();
        if !after_key && is_block_header(body) {
            let message =
                format!("the {body} belongs to the manifest and not to the value: delete this line");
            found.push(whole(text, line, span, message));
        } else if is_fence(body) {
            found.push(whole(text, line, span, fence()));
        } else if let Some(word) = opened {
            end = Some(word.to_owned());
            found.push(whole(text, line, span, heredoc_mark(word)));
        } else if index == last
            && (end.as_deref() == Some(body) || ENDS.contains(&body) && !text.contains("<<"))
        {
            found.push(whole(text, line, span, heredoc_mark(body)));
        } else if let Some(sign) = header_before_text(body).filter(|_| index == 0) {
            let written = &body[..sign];
            let message =
                format!("the {} belongs to the manifest and not to the value: delete it", written.trim_end());
            let span = span.start..span.start + written.trim_end().len();
            let edit = Edit { span: span.start..span.start + sign, text: String::new() };
            found.push(Wrapper { span, edit, message });
        }
        after_key = body.ends_with(':');
    }
    found
}

/// Finds the lines before and after a whole file that are not part of it.
pub(crate) fn around(text: &str) -> Vec<Wrapper> {
    let lines = contents(text);
    let mut found = Vec::new();
    let (Some((first, first_span)), Some((last, last_span))) = (lines.first(), lines.last()) else {
        return found;
    };
    if lines.len() < 2 {
        return found;
    }
    let (begins, ends) = (&text[first_span.clone()], &text[last_span.clone()]);
    let word = heredoc(begins).or_else(|| command(begins));
    if is_fence(begins) {
        found.push(whole(text, first, first_span, fence()));
    } else if let Some(word) = word {
        found.push(whole(text, first, first_span, heredoc_mark(word)));
    }
    let closes = word.is_some_and(|word| word == ends);
    if is_fence(ends) {
        found.push(whole(text, last, last_span, fence()));
    } else if closes || ENDS.contains(&ends) && !text.contains("<<") {
        found.push(whole(text, last, last_span, heredoc_mark(ends)));
    }
    found
}

/// Returns the lines that have more than a comment, each with the bytes of its content.
fn contents(text: &str) -> Vec<(Content, Range<usize>)> {
    let content = |line: Content| {
        let body = text[line.start..line.content_end].trim_start_matches('\u{feff}');
        let at = line.content_end - body.len();
        let start = at + (body.len() - body.trim_start().len());
        let length = body.trim().len();
        (length > 0).then_some((line, start..start + length))
    };
    Content::lines(text).filter_map(content).collect()
}

fn whole(text: &str, line: &Content, span: &Range<usize>, message: String) -> Wrapper {
    // The last line has no end of its own: that of the line before goes with it.
    let from = if line.next == line.end {
        text[..line.start].trim_end_matches(['\n', '\r']).len()
    } else {
        line.start
    };
    Wrapper { span: span.clone(), edit: Edit { span: from..line.next, text: String::new() }, message }
}

fn fence() -> String {
    "the code fence ``` belongs to Markdown and not to the text: delete this line".to_owned()
}

fn heredoc_mark(word: &str) -> String {
    let word = super::finding::clip(word, 20);
    format!("the mark {word} belongs to a shell or to Terraform and not to the text: delete this line")
}

fn is_fence(body: &str) -> bool {
    let rest = body.strip_prefix("```").or_else(|| body.strip_prefix("~~~"));
    rest.is_some_and(|rest| rest.trim().chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Returns the word of `<<EOT`, `<<-"EOF"` and the like.
fn heredoc(body: &str) -> Option<&str> {
    let word = body.strip_prefix("<<")?.trim_start_matches(['-', '~', ' ']);
    let word = word.trim_start_matches(['"', '\'', '\\']);
    let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(word.len());
    let rest = word[end..].trim_start_matches(['"', '\'']).trim();
    let plain = word.starts_with(|c: char| c.is_ascii_uppercase())
        && (rest.is_empty() || rest.starts_with(['|', '>']));
    plain.then(|| &word[..end])
}

/// Returns the word of `kubectl apply -f - <<EOF`.
fn command(body: &str) -> Option<&str> {
    let body = body.trim_start_matches(['$', '#', ' ']);
    let runs = ["kubectl ", "cat ", "oc ", "tee "].iter().any(|name| body.starts_with(name));
    heredoc(&body[body.find("<<").filter(|_| runs)?..])
}

/// Returns the length of a block's header and the spaces behind it, where a text begins in the same line.
fn header_before_text(body: &str) -> Option<usize> {
    let rest = body.strip_prefix(['|', '>'])?;
    let spaces = rest.len() - rest.trim_start_matches(' ').len();
    let item = rest.trim_start_matches(' ').starts_with("- ") || rest.starts_with("- ");
    let key = rest.trim_start_matches([' ', '-', '+']).split_once(':').is_some_and(|(key, _)| {
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    });
    (item || key && spaces > 0).then_some(1 + spaces)
}
