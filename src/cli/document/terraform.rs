//! The managed edition's configuration as Terraform has it: JSON in the quotes of `config = "…"`, which is not YAML.

use std::ops::Range;

use super::locate::ADDON;
use crate::api::legacy::addon::CONFIG;
use crate::model::legacy::line::closing;

/// The value of `config`.
pub(super) enum TerraformConfig {
    /// The JSON, escaped as within double quotes, with or without them.
    Escaped(Range<usize>),
    /// An expression that only Terraform can evaluate.
    Expression(Range<usize>),
}

/// Finds the configuration in a text that is not YAML: the one of the add-on by its name, or one without a name.
pub(super) fn config(text: &str) -> Option<TerraformConfig> {
    let bare = text.trim_start_matches('\u{feff}').trim_start();
    if bare.starts_with("{\\") {
        let start = text.len() - bare.len();
        return Some(TerraformConfig::Escaped(start..start + bare.trim_end().len()));
    }
    let mut name = None;
    let mut found = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim();
        let start = at;
        at += line.len();
        if body.starts_with(['#', '/']) {
            continue;
        }
        let value = assigned(line, CONFIG);
        let before = line.get(..value.unwrap_or(line.len()))?;
        if let Some(value) = value {
            found = value_at(text, start + value);
        }
        let behind = match &found {
            Some(TerraformConfig::Escaped(config)) if value.is_some() => {
                text.get(config.end..at).unwrap_or_default()
            }
            _ => "",
        };
        for part in [before, behind] {
            if let Some(written) = assigned(part, "name") {
                name = part[written..].split('"').nth(1);
            }
        }
        // A block ends here, or another one begins.
        let whole = body.starts_with('{') && body.trim_end_matches(',').ends_with('}');
        if body.starts_with('}') || body.ends_with('{') || whole {
            if found.is_some() && ours(name) {
                return found;
            }
            (name, found) = (None, None);
        }
    }
    found.filter(|_| ours(name))
}

fn ours(name: Option<&str>) -> bool {
    name.is_none_or(|name| name == ADDON)
}

/// Returns the byte of a line at which the value of a key begins.
fn assigned(line: &str, key: &str) -> Option<usize> {
    line.match_indices(key).find_map(|(at, _)| {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if line[..at].ends_with(word) {
            return None;
        }
        let rest = &line[at + key.len()..];
        let rest = rest.strip_prefix('"').unwrap_or(rest).trim_start();
        let value = rest.strip_prefix(['=', ':'])?.trim_start();
        Some(line.len() - value.len())
    })
}

fn value_at(text: &str, at: usize) -> Option<TerraformConfig> {
    let value = text.get(at..)?;
    if value.starts_with("\"{") {
        return Some(TerraformConfig::Escaped(at..at + closing(value, '"')?));
    }
    let expression = ["jsonencode", "<<"].into_iter().any(|sign| value.starts_with(sign));
    let length = value.find('\n').unwrap_or(value.len());
    expression.then(|| TerraformConfig::Expression(at..at + value[..length].trim_end().len()))
}
