//! The table of causes in `troubleshooting.md`: the codes of `kubectl acr explain`, with their cures.

use std::path::Path;

use acr_credential_binding::cli::explain::PullCause;
use anyhow::Context;

use crate::language::Language;

const MARKS: (&str, &str) = ("<!-- causes:begin -->\n", "<!-- causes:end -->");

/// Returns the table.
fn table(language: Language) -> String {
    let head = language.pick(
        "| code | cause | cure |\n| --- | --- | --- |\n",
        "| 代码 | 原因 | 处理方法 |\n| --- | --- | --- |\n",
    );
    let row = |cause: &PullCause| {
        let title = language.pick(cause.title(), cause.title_in_chinese());
        let cure = language.pick(cause.cure(), cause.cure_in_chinese());
        format!("| `{cause}` | {title} | {cure} |\n")
    };
    PullCause::ALL.iter().map(row).fold(head.to_owned(), |table, row| table + &row)
}

/// Returns a page that is written by hand, with the table between its marks.
pub fn page(path: &Path, language: Language) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let parts =
        text.split_once(MARKS.0).and_then(|(before, rest)| Some((before, rest.split_once(MARKS.1)?.1)));
    let (before, after) =
        parts.with_context(|| format!("{}: the marks of the causes are missing", path.display()))?;
    Ok(format!("{before}{}{}{}{after}", MARKS.0, table(language), MARKS.1))
}
