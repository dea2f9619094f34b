//! Files that cannot be read yet: templates, encrypted files, manifests that generate the ConfigMap. Each is named,
//! with the command that prints what can be read.

mod bytes;
mod generator;
mod language;
mod named;

pub use bytes::not_text;
pub(super) use generator::generator;
pub(in crate::cli) use named::shell_name;

use named::{NamedFile, first_line};

use crate::cli::diagnostic::Diagnostic;
use crate::model::legacy::Code;
use crate::model::legacy::line::{Line, is_space};
use crate::model::legacy::unrendered::{self, Kind};

/// Returns the finding about a file that cannot be read as a whole.
pub(super) fn whole(name: &str, text: &str) -> Option<Diagnostic> {
    let found = stored_elsewhere(name, text)
        .or_else(|| encrypted(name, text))
        .or_else(|| merge(text))
        .or_else(|| language::of(name, text))
        .or_else(|| template(name, text))?;
    let NamedFile { code, span, message } = found;
    let (key, severity) = ("data".to_owned(), code.severity());
    Some(Diagnostic { code, severity, key, source: 0, span: Some(span), message, edits: Vec::new() })
}

/// Returns a file that only points to its content.
fn stored_elsewhere(name: &str, text: &str) -> Option<NamedFile> {
    let file = shell_name(name);
    let message = if text.starts_with("version https://git-lfs.github.com/spec/") {
        format!(
            "the file is a pointer of Git LFS and has no content: fetch it, and check again: git lfs pull --include {file}"
        )
    } else if text.lines().count() <= 2 && text.contains("/annex/objects/") {
        format!(
            "the file is a pointer of git-annex and has no content: fetch it, and check again: git annex get {file}"
        )
    } else {
        return None;
    };
    Some(NamedFile { code: Code::StoredElsewhere, span: first_line(text), message })
}

/// Returns a file that is encrypted as a whole.
fn encrypted(name: &str, text: &str) -> Option<NamedFile> {
    let file = shell_name(name);
    let body = text.trim_start_matches('\u{feff}').trim_start();
    let (by, command) = if body.starts_with("$ANSIBLE_VAULT;") {
        ("Ansible Vault", format!("ansible-vault view {file}"))
    } else if body.starts_with("-----BEGIN AGE ENCRYPTED FILE-----")
        || body.starts_with("age-encryption.org/")
    {
        ("age", format!("age -d -i KEY {file}"))
    } else if body.starts_with("-----BEGIN PGP MESSAGE-----") {
        ("PGP", format!("gpg -d {file}"))
    } else if body.starts_with("-----BEGIN PKCS7-----") || body.starts_with("-----BEGIN CMS-----") {
        ("CMS", format!("openssl cms -decrypt -inform PEM -inkey KEY -in {file}"))
    } else if body.starts_with("U2FsdGVkX1") {
        ("OpenSSL, as transcrypt does,", format!("openssl enc -d -a -md MD -CIPHER -in {file}"))
    } else if body.starts_with("\0GITCRYPT") {
        let message =
            "the file is encrypted by git-crypt: unlock the repository, and check again: git-crypt unlock";
        return Some(NamedFile { code: Code::Encrypted, span: 0..0, message: message.to_owned() });
    } else if body.starts_with('{')
        && text.contains("\"encrypted_data\":")
        && text.contains("\"encryption_version\":")
    {
        ("OpenTofu", "tofu show -json".to_owned())
    } else {
        return sops(file, text);
    };
    let message = format!(
        "the file is encrypted by {by}: decrypt it, and check what comes out: {command} | kubectl acr lint -"
    );
    let start = text.len() - body.len();
    let span = start..start + body.lines().next().unwrap_or_default().trim_end().len();
    Some(NamedFile { code: Code::Encrypted, span, message })
}

/// Returns a file that has the metadata of SOPS.
fn sops(file: &str, text: &str) -> Option<NamedFile> {
    let at = text.find("ENC[AES256_GCM,").or_else(|| text.find("mac: ENC["))?;
    let metadata = text.starts_with("sops:") || text.contains("\nsops:") || text.contains("\"sops\":");
    let message = format!(
        "the file is encrypted by SOPS: decrypt it, and check what comes out: sops -d {file} | kubectl acr lint -"
    );
    metadata.then_some(NamedFile { code: Code::Encrypted, span: at..at + "ENC".len(), message })
}

/// Returns a file with the marks of a merge.
fn merge(text: &str) -> Option<NamedFile> {
    // The mark in the middle alone may underline a heading.
    if !text.contains("<<<<<<<") && !text.contains(">>>>>>>") {
        return None;
    }
    let found = unrendered::find(text).into_iter().find(|found| found.kind == Kind::Merge)?;
    let message = found.message(text);
    Some(NamedFile { code: Code::MergeConflict, span: found.span, message })
}

/// Returns the first expression of a template. One in a comment does no harm.
fn template(name: &str, text: &str) -> Option<NamedFile> {
    let (at, found) = Line::all(text, is_space).into_iter().find_map(|line| {
        if line.body().starts_with("#@") || line.text.contains(": #@ ") || line.text.contains("- #@ ") {
            return Some((line.start + line.text.find("#@")?, Kind::Ytt));
        }
        if line.is_comment() {
            return None;
        }
        let (at, open) = expression(line.text)?;
        Some((line.start + at, open))
    })?;
    // Which tool it is shows in any of its expressions.
    let kind = match found {
        Kind::Helm | Kind::Jinja | Kind::Gomplate if text.contains("{%") => Kind::Jinja,
        Kind::Jinja if [".Values", ".Release", "{{- "].iter().any(|sign| text.contains(sign)) => Kind::Helm,
        kind => kind,
    };
    let shown: String = text[at..].lines().next().unwrap_or_default().chars().take(2).collect();
    let message = unrendered::with_file(&kind.message(&format!("the text after {shown}")), shell_name(name));
    Some(NamedFile { code: Code::Template, span: at..at + shown.len(), message })
}

/// Returns the first expression of a template in a line, and its kind.
fn expression(line: &str) -> Option<(usize, Kind)> {
    let at = ["{{", "{%", "<%"]
        .into_iter()
        .filter_map(|open| line.match_indices(open).map(|(at, _)| at).find(|at| !line[..*at].ends_with('$')));
    let at = at.min()?;
    let kind = match &line[at..at + 2] {
        "{{" => line[at..].contains("}}").then(|| unrendered::braces(&line[at + 2..])),
        "{%" => line[at..].contains("%}").then_some(Kind::Jinja),
        _ => line[at..].contains("%>").then_some(Kind::Erb),
    };
    Some((at, kind?))
}
