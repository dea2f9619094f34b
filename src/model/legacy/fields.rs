//! The fields of a YAML map inside a key's value, and what is wrong with its YAML.

use super::finding::Findings;
use super::text::{boolean, plain, shown, shown_key, spelling, tellable};
use crate::api::legacy::{Node, Value, YamlError, YamlErrorKind, parse_yaml};

/// Reads the YAML of a key. `None`: it is none, which is told.
pub(super) fn parse(key: &str, text: &str, findings: &mut Findings) -> Option<Node> {
    let error = match parse_yaml(text) {
        Ok(node) => return Some(node),
        Err(error) => error,
    };
    let (line, message) = explain(text, error);
    findings.error(key, line, message);
    None
}

/// What is wrong and what to write instead, and nothing of the text: a key pair may stand in it.
fn explain(text: &str, error: YamlError) -> (Option<u32>, String) {
    match error.kind {
        YamlErrorKind::Excessive => {
            let message = "is larger, deeper or more aliased than configuration can be: write it out, one entry a registry";
            (error.line, message.to_owned())
        }
        YamlErrorKind::Documents => {
            (error.line, "is more than one YAML document: delete the line ---".to_owned())
        }
        YamlErrorKind::Syntax => {
            // YAML often notices a slip a line late, and a tab a line early.
            let at = error.line.unwrap_or(1);
            let near = [at, at.saturating_sub(1), at.saturating_add(1)].into_iter();
            let found = near.filter_map(|line| {
                let index = usize::try_from(line).ok()?.checked_sub(1)?;
                Some((line, slip(text.lines().nth(index)?)?))
            });
            let (line, cure) =
                found.map(|(line, cure)| (Some(line), cure)).next().unwrap_or((error.line, PLAINLY));
            (line, format!("is no YAML: {cure}"))
        }
    }
}

/// The cure where no slip is known.
const PLAINLY: &str = "begin each entry with \"- instanceId: …\" and put its other keys straight beneath instanceId, each with a colon and a blank";

/// The commonest slips of a line, as their cures.
fn slip(line: &str) -> Option<&'static str> {
    let bare = line.trim_start();
    let cure = if line[..line.len() - bare.len()].contains('\t') {
        "a tab indents the line: use blanks"
    } else if bare.contains(" //") {
        "// begins no comment: write # instead"
    } else if bare.contains("\",\"") || bare.contains("\", \"") {
        "several quoted values in a row: put one pair of quotes around the whole comma list"
    } else if bare.contains('：') {
        "a full-width colon: write : and a blank"
    } else if bare.len() > 1 && bare.starts_with('-') && !bare.starts_with("- ") && !bare.starts_with("--") {
        "write a blank after the leading -"
    } else if bare.contains(":\"") || bare.contains(":'") {
        "write a blank after the colon"
    } else {
        return None;
    };
    Some(cure)
}

/// The fields of one map, under the names that are documented.
pub(super) struct Fields<'a> {
    at: String,
    line: Option<u32>,
    found: Vec<(&'static str, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// Sorts the pairs of a map. `None`: a key stands twice with different values, which is told.
    pub(super) fn read(
        at: &str,
        node: &'a Node,
        known: &[&'static str],
        findings: &mut Findings,
    ) -> Option<Self> {
        let Value::Map(pairs) = &node.value else { return None };
        let mut fields = Self { at: at.to_owned(), line: node.line, found: Vec::new() };
        let mut contradictory = false;
        for (written, value) in pairs {
            let Some(name) = known.iter().copied().find(|name| written.trim().eq_ignore_ascii_case(name))
            else {
                let message =
                    format!("has the key {}, which has no meaning and is ignored", shown_key(written));
                findings.warning(at, value.line, message);
                continue;
            };
            let path = fields.path(name);
            if written != name {
                findings.warning(
                    &path,
                    value.line,
                    format!("is written {}: write {name}", shown_key(written)),
                );
            }
            match fields.node(name) {
                None => fields.found.push((name, value)),
                Some(first) if same_text(first, value) => {
                    findings.warning(&path, value.line, "stands twice: delete one")
                }
                Some(_) => {
                    contradictory = true;
                    let message =
                        "stands twice with different values: delete one, or begin another entry with \"- \"";
                    findings.error(&path, value.line, message);
                }
            }
        }
        (!contradictory).then_some(fields)
    }

    /// `acr-registry-info[1].regionId`
    pub(super) fn path(&self, name: &str) -> String {
        if name.is_empty() { self.at.clone() } else { format!("{}.{name}", self.at) }
    }

    /// The line of a field or of an item in it, or else that of the map.
    pub(super) fn line(&self, name: &str) -> Option<u32> {
        self.node(name.split('[').next().unwrap_or(name)).map_or(self.line, |node| node.line)
    }

    /// What stands under a name.
    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        self.found.iter().find(|(n, _)| *n == name).map(|(_, node)| *node)
    }

    /// A text that a message may tell. Empty is absent.
    ///
    /// # Errors
    /// It is no text, or one with another key's in it; which is told.
    pub(super) fn text(&self, name: &str, findings: &mut Findings) -> Result<Option<String>, Told> {
        let Some(read) = self.any_text(name, findings)? else { return Ok(None) };
        if !tellable(&read.text) {
            let message = "holds blanks or another key: put each key on its own line, straight beneath the first, with a blank after its colon";
            findings.error(&self.path(name), self.line(name), message);
            return Err(Told);
        }
        if read.odd {
            let message = format!("is read as {0}: write {0}", spelling(std::slice::from_ref(&read.text)));
            findings.warning(&self.path(name), self.line(name), message);
        }
        Ok(Some(read.text))
    }

    /// A text that no message may tell. Empty is absent.
    ///
    /// # Errors
    /// It is no text, which is told.
    pub(super) fn secret(&self, name: &str, findings: &mut Findings) -> Result<Option<String>, Told> {
        let Some(read) = self.any_text(name, findings)? else { return Ok(None) };
        if read.odd {
            let message = "has full-width or doubled quotes, which are left out: write plain ones";
            findings.warning(&self.path(name), self.line(name), message);
        }
        Ok(Some(read.text))
    }

    /// A boolean, or the default.
    pub(super) fn boolean(&self, name: &str, default: bool, findings: &mut Findings) -> Result<bool, Told> {
        let Some(text) = self.text(name, findings)? else { return Ok(default) };
        boolean(&text).ok_or_else(|| {
            let message = format!("{} is neither true nor false: write one of them", shown(&text));
            findings.error(&self.path(name), self.line(name), message);
            Told
        })
    }

    fn any_text(&self, name: &str, findings: &mut Findings) -> Result<Option<super::text::Plain>, Told> {
        match self.node(name).map(|node| &node.value) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(plain(text)).filter(|read| !read.text.is_empty())),
            Some(Value::List(_) | Value::Map(_)) => {
                findings.error(
                    &self.path(name),
                    self.line(name),
                    "has keys or a list beneath it: write one text",
                );
                Err(Told)
            }
        }
    }
}

/// What is wrong has been told.
pub(super) struct Told;

fn same_text(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Null, Value::Null) => true,
        (Value::Text(a), Value::Text(b)) => a == b,
        _ => false,
    }
}
