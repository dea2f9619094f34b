//! Text that another program must replace first: variables, expressions of templates, encrypted values, and the marks
//! of a merge.

mod kind;
mod lexer;

use std::ops::Range;

pub(crate) use kind::{Kind, PREVIEW_STACK};
pub(crate) use lexer::{braces, find};

use super::code::Code;

/// A text that was not rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unrendered {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
    /// Whether a line has nothing else.
    pub(crate) alone: bool,
}

/// The first byte of what is put in the place of a text: a character that Unicode does not assign, in two bytes.
pub(crate) const HIDDEN: char = '\u{378}';

impl Unrendered {
    /// Returns its finding's code.
    pub(crate) fn code(&self) -> Code {
        self.kind.code()
    }

    /// Says what it is, and the command that renders it.
    pub(crate) fn message(&self, text: &str) -> String {
        self.kind.message(&self.shown(text))
    }

    /// Returns it as written, but nothing of a secret.
    fn shown(&self, text: &str) -> String {
        let written = text.get(self.span.clone()).unwrap_or_default();
        let line = super::line::line_before(text, self.span.start).unwrap_or_default().to_ascii_lowercase();
        let secret = ["accesskey", "secret", "password"].iter().any(|name| line.contains(name))
            || !super::text::can_show(&written.replace(char::is_whitespace, ""));
        match self.kind {
            Kind::Merge => written.chars().take(7).collect(),
            Kind::Sops | Kind::Eyaml => {
                written.split_inclusive(',').next().map_or_else(String::new, |head| format!("{head}…]"))
            }
            Kind::AnsibleVault => written.chars().take_while(|c| *c != ';').collect(),
            Kind::Placeholder if secret => "the text in < >".to_owned(),
            // What follows the name may be a default.
            _ if secret => {
                let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-') || !c.is_ascii();
                let opens = written.find(word).unwrap_or(written.len());
                let name = written[opens..].find(|c: char| !word(c)).map_or(written.len(), |end| opens + end);
                let rest = written[name..].trim_start_matches(' ');
                let closes = rest.len() <= 2 && !rest.contains(char::is_alphanumeric);
                let close = if written.starts_with("${") { "}" } else { "" };
                if closes {
                    super::finding::clip(written, 80)
                } else {
                    format!("{}…{close}", &written[..name])
                }
            }
            _ => super::finding::clip(written, 80),
        }
    }
}

/// Writes the name of a file in the command of a message, and leaves alone what the message quotes.
pub(crate) fn with_file(message: &str, file: &str) -> String {
    match message.rsplit_once(kind::BEFORE_COMMAND) {
        Some((head, command)) => {
            format!("{head}{}{}", kind::BEFORE_COMMAND, command.replace(" FILE", &format!(" {file}")))
        }
        None => message.to_owned(),
    }
}

/// Puts other text of the same length in the place of each, so that what is around it can be read: a comment for one
/// that is alone in its line, or else a word that no value may have.
pub(crate) fn hide(text: &str, found: &[Unrendered]) -> String {
    let mut hidden = String::with_capacity(text.len());
    let mut done = 0;
    for (number, Unrendered { span, alone, .. }) in found.iter().enumerate() {
        hidden.push_str(&text[done..span.start]);
        let length = span.len();
        if *alone {
            hidden.push('#');
            hidden.extend(std::iter::repeat_n('-', length.saturating_sub(1)));
        } else {
            // Two of them are two items of a list, which drops a repeated one.
            let word = number.to_string();
            let rest = length.saturating_sub(HIDDEN.len_utf8());
            hidden.push(HIDDEN);
            hidden.extend(word.chars().rev().chain(std::iter::repeat('v')).take(rest));
        }
        done = span.end;
    }
    hidden.push_str(&text[done..]);
    hidden
}
