//! What a file is, and its name in a command.

use std::ops::Range;
use std::path::Path;

use crate::model::legacy::Code;

/// What a file is, where it is not the configuration.
pub(super) struct NamedFile {
    pub(super) code: Code,
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

/// Returns the name of a file for a command, or the word FILE for one that a shell would not take as it is.
pub(in crate::cli) fn shell_name(name: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if !name.is_empty() && name.chars().all(plain) && !name.starts_with('-') { name } else { "FILE" }
}

/// Returns the folder of a file for a command.
pub(super) fn folder(name: &str) -> &str {
    let folder = Path::new(shell_name(name)).parent().and_then(Path::to_str).unwrap_or_default();
    if folder.is_empty() { "." } else { folder }
}

pub(super) fn first_line(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start_matches('\u{feff}').len();
    let line = text[start..].lines().next().unwrap_or_default();
    start..start + line.trim_end().len()
}
