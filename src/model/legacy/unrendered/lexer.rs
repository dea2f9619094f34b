//! Finds texts that were not rendered, line by line.

use std::ops::Range;

use super::{HIDDEN, Kind, Unrendered};
use crate::model::legacy::content::Content;

/// The most bytes of one. A longer text between two signs is something else.
const MAX_BYTES: usize = 300;

/// Finds the texts that were not rendered, outside comments.
pub(crate) fn find(text: &str) -> Vec<Unrendered> {
    let mut found = Vec::new();
    // Nothing can be hidden in a text that has the sign of the hidden.
    if text.contains(HIDDEN) {
        return found;
    }
    for line in Content::lines(text) {
        let whole = &text[line.start..line.end];
        if is_merge_mark(whole) {
            found.push(Unrendered { span: line.start..line.end, kind: Kind::Merge, alone: true });
            continue;
        }
        let content = &text[line.start..line.content_end];
        let first = found.len();
        Lexer { content, at: 0, unclosed: false }.each(|span, kind| {
            let span = line.start + span.start..line.start + span.end;
            found.push(Unrendered { span, kind, alone: false });
        });
        // A line of nothing else is a part of the text, and not a value.
        let [head @ .., last] = &mut found[first..] else { continue };
        let begins = head.first().map_or(last.span.start, |first| first.span.start);
        let before = text[line.start..begins].trim();
        let between = head.windows(2).map(|two| two[0].span.end..two[1].span.start);
        let gaps = between.chain(head.last().map(|of| of.span.end..last.span.start));
        let only = gaps.into_iter().all(|gap| text[gap].trim().is_empty());
        if before.is_empty() && only && text[last.span.end..line.content_end].trim().is_empty() {
            found[first..].iter_mut().for_each(|of| of.alone = true);
        }
    }
    found
}

/// Returns whether a line is one of the marks that Git leaves between the sides of a merge.
fn is_merge_mark(line: &str) -> bool {
    let marked =
        |sign: &str| line.strip_prefix(sign).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    marked("<<<<<<<") || marked(">>>>>>>") || marked("|||||||") || line == "======="
}

struct Lexer<'a> {
    content: &'a str,
    at: usize,
    /// Whether the rest of the line has no bracket that closes an encrypted value.
    unclosed: bool,
}

impl<'a> Lexer<'a> {
    fn each(mut self, mut found: impl FnMut(Range<usize>, Kind)) {
        const SIGNS: [char; 15] =
            ['$', '{', '%', '@', '_', '#', '<', '(', '[', 'E', 'r', 'o', '＜', '《', '!'];
        while let Some(next) = self.content[self.at..].find(SIGNS) {
            self.at += next;
            let rest = &self.content[self.at..];
            let near = &rest[..(0..=rest.len().min(MAX_BYTES))
                .rev()
                .find(|end| rest.is_char_boundary(*end))
                .unwrap_or(0)];
            match self.encrypted(rest).or_else(|| self.token(near)) {
                Some((length, kind)) => {
                    found(self.at..self.at + length, kind);
                    self.at += length;
                }
                None => self.at += rest.chars().next().map_or(1, char::len_utf8),
            }
        }
    }

    /// Returns the length and the kind of an encrypted value, which may be long.
    fn encrypted(&mut self, rest: &str) -> Option<(usize, Kind)> {
        let kinds = [("ENC[AES256_GCM,", Kind::Sops), ("ENC[PKCS7,", Kind::Eyaml)];
        let (_, kind) = kinds.into_iter().find(|(head, _)| rest.starts_with(head) && !self.unclosed)?;
        let end = rest.find(']');
        self.unclosed = end.is_none();
        Some((end? + 1, kind))
    }

    /// Returns the length and the kind of what begins here.
    fn token(&self, rest: &'a str) -> Option<(usize, Kind)> {
        let before = self.content[..self.at].chars().next_back();
        let apart = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
        let sign = rest.chars().next()?;
        match sign {
            '$' => dollar(rest, apart),
            '{' => within(rest, "{{", "}}")
                .map(|(length, inner)| (length, braces(inner)))
                .or_else(|| Some((within(rest, "{%", "%}")?.0, Kind::Jinja)))
                .or_else(|| {
                    let (length, inner) = within(rest, "{#", "#}")?;
                    (!inner.contains('"')).then_some((length, Kind::Jinja))
                }),
            '%' => percent(rest, apart),
            '@' => (before.is_none_or(|c| !is_word(c) && c != '*')).then(|| at_signs(rest)).flatten(),
            '_' if apart => {
                let (length, inner) = within(rest, "__", "__")?;
                let word = is_name(inner) && !rest[length..].starts_with(is_word);
                word.then_some((length, Kind::Underscores))
            }
            '#' => {
                let (length, inner) = within(rest, "#{", "}")?;
                let length = length + usize::from(rest[length..].starts_with('#'));
                is_path(inner).then_some((length, Kind::Octopus))
            }
            '<' | '＜' | '《' => angle(rest, before),
            '(' if rest.starts_with("(known after apply)") => {
                Some(("(known after apply)".len(), Kind::Missing))
            }
            '(' => {
                let (length, inner) = within(rest, "((", "))")?;
                (!inner.trim().is_empty() && !inner.contains('"')).then_some((length, Kind::Concourse))
            }
            '[' => {
                let (length, inner) = within(rest, "[[", "]]")?;
                let inner = inner.trim();
                let path = inner.starts_with(['.', '$', 'e']) && !inner.contains(['"', ':', ',', '{']);
                (path && inner.len() > 1).then_some((length, Kind::Gomplate))
            }
            'r' if apart => reference(rest, "ref+").map(|length| (length, Kind::Vals)),
            'o' if apart && rest.starts_with("op://") => {
                reference(rest, "").map(|length| (length, Kind::OnePassword))
            }
            _ => None,
        }
    }
}

/// Returns the length of a text between two signs, and what is between them.
fn within<'a>(rest: &'a str, open: &str, close: &str) -> Option<(usize, &'a str)> {
    let inner = rest.strip_prefix(open)?;
    let end = inner.find(close)?;
    Some((open.len() + end + close.len(), &inner[..end]))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Returns whether a text is the name of a variable.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_word)
}

/// Returns whether a text is the name of a variable, with dots and dashes in it.
fn is_path(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| is_word(c) || matches!(c, '.' | '-' | '[' | ']'))
}

fn dollar(rest: &str, apart: bool) -> Option<(usize, Kind)> {
    if let Some((length, _)) = within(rest, "${{", "}}").or_else(|| within(rest, "$[[", "]]")) {
        return Some((length, Kind::Pipeline));
    }
    if rest.starts_with("$ANSIBLE_VAULT;") {
        let end = rest.find(|c: char| c.is_whitespace() || "\"'\\".contains(c)).unwrap_or(rest.len());
        return Some((end, Kind::AnsibleVault));
    }
    if rest.starts_with("${") {
        let length = balanced(rest, 1, '{', '}')?;
        let inner = rest[2..length - 1].trim();
        let name = inner.trim_start_matches(['!', '#']);
        let end = name.find(|c: char| !is_word(c)).unwrap_or(name.len());
        let terraform =
            ["var.", "local.", "module.", "data.", "each.", "path.", "terraform.", "self.", "count."];
        return if terraform.iter().any(|head| inner.starts_with(head)) || name[end..].starts_with('(') {
            Some((length, Kind::Terraform))
        } else if end == 0 {
            None
        } else if end == name.len() || name[end..].starts_with(['.', '[']) {
            Some((length, Kind::Shell))
        } else {
            Some((length, Kind::ShellDefault))
        };
    }
    if rest.starts_with("$(") {
        let length = balanced(rest, 1, '(', ')')?;
        return (length > 3 && !rest[..length].contains('"')).then_some((length, Kind::Paren));
    }
    let name = &rest[1..];
    let end = name.find(|c: char| !is_word(c)).unwrap_or(name.len());
    // Keys of a patch of Kubernetes begin with the same sign.
    let directive = matches!(&name[..end], "patch" | "retainKeys") && name[end..].starts_with(':');
    (apart && is_name(&name[..end]) && !directive).then_some((1 + end, Kind::Shell))
}

/// Returns the length of a text up to the sign that closes the one at a byte.
fn balanced(rest: &str, at: usize, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, c) in rest[at..].char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at + index + close.len_utf8());
            }
        }
    }
    None
}

/// The functions of consul-template that read a value, with a text behind them.
const CONSUL: [&str; 15] = [
    "key",
    "keyOrDefault",
    "keyExists",
    "ls",
    "safeLs",
    "tree",
    "safeTree",
    "secret",
    "secrets",
    "service",
    "services",
    "env",
    "mustEnv",
    "envOrDefault",
    "nomadVar",
];

/// Returns the tool whose expression is between two pairs of braces.
pub(crate) fn braces(inner: &str) -> Kind {
    let inner = inner.trim_matches(['-', '~', ' ', '{', '}']);
    let has = |words: &[&str]| words.iter().any(|word| inner.contains(word));
    if has(&["getenv", ".Env.", "datasource", "(ds "]) {
        return Kind::Gomplate;
    }
    let first = inner.split([' ', '(']).next().unwrap_or_default();
    // With a bracket at once, it is a call of another language.
    let argument = inner.strip_prefix(first).and_then(|rest| rest.strip_prefix(' ')).unwrap_or_default();
    if CONSUL.contains(&first) && argument.trim_start().starts_with(['"', '`', '(', '\\']) {
        return Kind::ConsulTemplate;
    }
    let opens = inner.strip_prefix("with ").or(inner.strip_prefix("range ")).unwrap_or_default();
    if CONSUL.iter().any(|name| opens.strip_prefix(name).is_some_and(|rest| rest.starts_with(" \""))) {
        return Kind::ConsulTemplate;
    }
    let helm = [
        "if", "else", "end", "range", "with", "include", "define", "template", "tpl", "toYaml", "quote",
        "default", "/*",
    ];
    if inner.starts_with(['.', '$', '/']) || has(&[".Values", ".Release", ".Chart"]) || helm.contains(&first)
    {
        return Kind::Helm;
    }
    Kind::Jinja
}

fn percent(rest: &str, apart: bool) -> Option<(usize, Kind)> {
    if let Some((length, _)) = within(rest, "%{", "}") {
        return Some((length, Kind::Terraform));
    }
    if let Some((length, inner)) = within(rest, "%(", ")") {
        let formatted = rest[length..].starts_with(['s', 'd']) && is_path(inner);
        return formatted.then_some((length + 1, Kind::Format));
    }
    let (length, inner) = within(rest, "%", "%")?;
    (apart && is_name(inner) && !rest[length..].starts_with(is_word)).then_some((length, Kind::Percent))
}

fn at_signs(rest: &str) -> Option<(usize, Kind)> {
    let (length, inner) = within(rest, "@@", "@@").or_else(|| within(rest, "@", "@"))?;
    (is_path(inner) && !rest[length..].starts_with(is_word)).then_some((length, Kind::At))
}

fn angle(rest: &str, before: Option<char>) -> Option<(usize, Kind)> {
    if let Some((length, _)) = within(rest, "<%", "%>") {
        return Some((length, Kind::Erb));
    }
    if let Some(missing) = ["<no value>", "<nil>", "<undefined>"].iter().find(|sign| rest.starts_with(**sign))
    {
        return Some((missing.len(), Kind::Missing));
    }
    let pairs = [("<", ">"), ("＜", "＞"), ("《", "》")];
    let (length, inner) = pairs.iter().find_map(|(open, close)| within(rest, open, close))?;
    if inner.starts_with("path:") {
        return Some((length, Kind::ArgoVault));
    }
    // `<<` merges maps in YAML, and an address has an @.
    let plain = inner.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        && !inner.contains(['<', '@', '"', '{', '}']);
    (plain && inner.len() <= 100 && before != Some('<')).then_some((length, Kind::Placeholder))
}

/// Returns the length of a reference such as `ref+vault://path`.
fn reference(rest: &str, head: &str) -> Option<usize> {
    let scheme = rest.strip_prefix(head)?.split("://").next()?;
    let known = rest[head.len() + scheme.len()..].starts_with("://") && is_path(scheme);
    let end = rest.find(|c: char| c.is_whitespace() || "\"',]}".contains(c)).unwrap_or(rest.len());
    (known && head.len() + scheme.len() < end).then_some(end)
}
