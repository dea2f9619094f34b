//! From the text of a key to its nodes.

use super::Written;
use super::code::Code;
use super::finding::{Findings, Span};
use crate::api::legacy::{Node, YamlError, YamlErrorKind, parse_yaml};

/// Reads the YAML of a key whose maps have these keys. `None`: it is none, which is told.
pub(super) fn parse(value: &Written<'_>, _known: &[&'static str], findings: &mut Findings) -> Option<Node> {
    match parse_yaml(value.value) {
        Ok(node) => Some(node),
        Err(error) => {
            refuse(value, error, findings);
            None
        }
    }
}

/// Says why a text cannot be read, and nothing of the text: a key pair may stand in it.
fn refuse(value: &Written<'_>, error: YamlError, findings: &mut Findings) {
    let (code, message) = match error.kind {
        YamlErrorKind::Excessive => (
            Code::Excessive,
            "is larger, deeper or more aliased than configuration can be: write it out, one entry a registry",
        ),
        YamlErrorKind::Documents => (Code::NotYaml, "is more than one YAML document: delete the line ---"),
        YamlErrorKind::Syntax => (
            Code::NotYaml,
            "is no YAML: begin each entry with \"- instanceId: …\" and put its other keys straight beneath instanceId, each with a colon and a blank",
        ),
    };
    findings.add(code, value.key, line_span(value.value, error.line), message);
}

/// The bytes of a line without its blanks.
pub(super) fn line_span(text: &str, line: Option<u32>) -> Span {
    let index = usize::try_from(line?).ok()?.checked_sub(1)?;
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if number == index {
            let bare = line.trim_start_matches(is_blank);
            let start = at + (line.len() - bare.len());
            return Some(start..start + bare.trim_end().len());
        }
        at += line.len();
    }
    // The fault may be seen only at the end.
    (index > 0).then_some(text.len()..text.len())
}

/// Whether a character is a blank within a line, of any width.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}' | '\u{3000}' | '\u{feff}' | '\u{200b}')
}

/// Whether a line begins with a key and a colon of any width.
pub(super) fn starts_with_key(line: &str, key: &str) -> bool {
    let Some((head, rest)) = line.split_at_checked(key.len()) else { return false };
    head.eq_ignore_ascii_case(key) && rest.trim_start_matches(is_blank).starts_with([':', '：'])
}
