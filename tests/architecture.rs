//! The rooms of `src/` and the arrows between them, as the design draws them. A room may use what its arrows reach.
//!
//! ```text
//! bin → args → controller, cli → cluster, server → plan → model → api
//!       controller → cloud → model
//! ```

#![expect(clippy::panic, clippy::expect_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and what it may use beside itself.
const ARROWS: [(&str, &[&str]); 10] = [
    ("bin", &["args", "controller", "cli", "cloud", "cluster", "server", "plan", "model", "api"]),
    ("args", &["controller", "cli", "cloud", "cluster", "server", "plan", "model", "api"]),
    ("controller", &["cloud", "cluster", "server", "plan", "model", "api"]),
    ("cli", &["cluster", "server", "plan", "model", "api"]),
    // Of one rank: each may use the other. Neither knows the cloud.
    ("cluster", &["server", "plan", "model", "api"]),
    ("server", &["cluster", "plan", "model", "api"]),
    ("plan", &["model", "api"]),
    ("cloud", &["model", "api"]),
    ("model", &["api"]),
    ("api", &[]),
];

/// What a room must not name, and why.
const ABSENT: [(&str, &[&str], &str); 3] = [
    (
        "plan",
        &["Client", "tokio", "reqwest", "SystemTime", "Timestamp::now", "Instant::now"],
        "decisions are pure",
    ),
    (
        "model",
        &["Client", "tokio", "reqwest", "SystemTime", "Timestamp::now", "Instant::now"],
        "meanings are pure",
    ),
    ("cloud", &["kube", "Secret", "ServiceAccount"], "the cloud knows no Kubernetes"),
];

/// Files that may write to the API server: every verb of `kube::Api` that writes takes one of
/// [`WRITE_PARAMS`], and so does each way around it.
const WRITERS: [(&str, &str); 13] = [
    ("src/cli/plan.rs", "deletes what the documented component left, on request"),
    ("src/cluster/apply.rs", "executes changes: the one place that writes what tenants see"),
    ("src/cluster/lease.rs", "the Lease, without which the others write nothing"),
    (
        "src/cluster/parameters.rs",
        "which ServiceAccounts the API server serves by itself; the rest are dry runs",
    ),
    ("src/cluster/policy_probe.rs", "dry runs and reviews only"),
    ("src/cluster/oidc_token.rs", "tokens of the account that trust policies name"),
    ("src/cluster/keys.rs", "the ConfigMap's key pairs in the controller's own namespace"),
    ("src/cluster/store.rs", "the token cache in the controller's own namespace"),
    ("src/cluster/pods.rs", "deletes Pods that are stuck, where the installer granted it"),
    ("src/cluster/report.rs", "bindings and Events"),
    ("src/cluster/owned.rs", "how the others write an object that is ours alone"),
    ("src/cluster/certificates.rs", "the webhook's certificates in the controller's own namespace"),
    ("src/cluster/webhook.rs", "the webhook's configuration, by its name"),
];

const WRITE_PARAMS: [&str; 5] = ["PatchParams", "PostParams", "DeleteParams", "owned::put", "owned::merging"];

/// Lines that a file may have; tests do not count.
const MAX_LINES: usize = 400;

struct Source {
    /// Path from the root of the repository.
    path: String,
    text: String,
}

impl Source {
    /// The folder under `src/` that it lives in, `lib.rs` for the root.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let first = inside.split('/').next().unwrap_or(inside);
        first.strip_suffix(".rs").filter(|name| is_room(name)).unwrap_or(first)
    }

    /// The words of the code: names and signs, without comments, strings and spaces.
    fn words(&self) -> Vec<String> {
        words(&self.text)
    }

    /// Whether these words stand one after the other, as in `Timestamp::now`.
    fn names(&self, phrase: &str) -> bool {
        let phrase = words(phrase);
        self.words().windows(phrase.len()).any(|window| window == phrase)
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
            || self.path.ends_with("/fixture.rs")
    }
}

fn is_room(name: &str) -> bool {
    ARROWS.iter().any(|(room, _)| *room == name)
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(read(root, &path));
            }
        }
    }
    assert!(found.len() > 40, "only {} files: is this the root of the repository?", found.len());
    found
}

fn read(root: &Path, path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path.strip_prefix(root).expect("a path under the root").to_string_lossy().into_owned();
    Source { path, text }
}

/// Names and signs of Rust code, in their order. `::` is one word.
fn words(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let skip = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ if rest.starts_with("::") => {
                words.push("::".to_owned());
                2
            }
            '"' => string(rest),
            'r' if rest.starts_with("r\"") => 1 + rest[2..].find('"').map_or(rest.len() - 1, |end| end + 2),
            'r' if rest.starts_with("r#\"") => rest[3..].find("\"#").map_or(rest.len(), |end| end + 5),
            // A character in quotes; a lifetime has no second quote that near.
            '\'' => character(rest),
            _ if name > 0 => {
                words.push(rest[..name].to_owned());
                name
            }
            sign => {
                if !sign.is_whitespace() {
                    words.push(sign.to_string());
                }
                sign.len_utf8()
            }
        };
        rest = &rest[skip..];
    }
    words
}

/// Length of the string at the beginning of some code.
fn string(code: &str) -> usize {
    let mut escaped = false;
    for (i, c) in code.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return i + 1,
            _ => {}
        }
    }
    code.len()
}

/// Length of the character literal, or of the quote that begins a lifetime.
fn character(code: &str) -> usize {
    let mut chars = code.char_indices().skip(1);
    let Some((_, first)) = chars.next() else { return 1 };
    let mut after = chars.skip(usize::from(first == '\\'));
    match after.next() {
        Some((i, '\'')) => i + 1,
        _ => 1,
    }
}

/// The rooms that some code uses: what follows `crate::`, the name of our crate, or a way up to it.
fn uses(code: &str) -> BTreeSet<String> {
    let words = words(code);
    let roots = ["crate", "acr_credential_binding", "super"];
    let mut used = BTreeSet::new();
    for i in (0..words.len().saturating_sub(2))
        .filter(|&i| roots.contains(&words[i].as_str()) && words[i + 1] == "::")
    {
        if words[i + 2] != "{" {
            used.insert(words[i + 2].clone());
            continue;
        }
        let mut depth = 0;
        for (at, word) in words.iter().enumerate().skip(i + 2) {
            match word.as_str() {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                name if depth == 1 && matches!(words[at - 1].as_str(), "{" | ",") => {
                    used.insert(name.to_owned());
                }
                _ => {}
            }
        }
    }
    used.retain(|name| is_room(name));
    used
}

#[test]
fn no_arrow_points_the_wrong_way() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.path != "src/lib.rs") {
        let room = source.room();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{} is in no room of the design", source.path));
            continue;
        };
        for used in
            uses(&source.text).iter().filter(|used| *used != room && !allowed.contains(&used.as_str()))
        {
            wrong.push(format!("{}: {room} → {used}", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_is_used_by_somebody_and_none_has_the_name_of_a_module_in_another() {
    let sources = sources();
    let used: BTreeSet<String> = sources.iter().flat_map(|source| uses(&source.text)).collect();
    for room in ["api", "model", "plan", "cloud", "cluster", "controller", "cli"] {
        assert!(used.contains(room), "nobody uses {room}: does the reader of arrows still see them?");
    }
    for source in &sources {
        let depth = source.path.matches('/').count();
        let name = source.path.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        let name = name.rsplit('/').next().unwrap_or(name);
        assert!(
            depth < 2 || source.path.ends_with("/mod.rs") || !is_room(name),
            "{} is mistaken for a room",
            source.path
        );
    }
}

#[test]
fn the_reader_sees_every_way_to_write_an_arrow() {
    for (code, expected) in [
        ("use crate::cloud::Alibaba;", vec!["cloud"]),
        ("fn f() -> Result<(), crate::cloud::Failure> {", vec!["cloud"]),
        (
            "use crate::{\n    api::{self, names},\n    cloud,\n    model as m,\n};",
            vec!["api", "cloud", "model"],
        ),
        ("use acr_credential_binding::controller::{self, plan};", vec!["controller"]),
        ("use super::super::cluster::Index;", vec!["cluster"]),
        ("use super::{cluster, queue};", vec!["cluster"]),
        ("pub(in crate::plan) use x;", vec!["plan"]),
        (
            "// use crate::cloud::Alibaba;\n/// [`x`](crate::cloud)\nlet text = \"crate::cloud \\\" crate::cloud\";",
            vec![],
        ),
        ("let a = '\"'; use crate::cloud; let b = '\\''; let c: &'a str = \"crate::api\";", vec!["cloud"]),
        ("let a = r#\"crate::api \" \"#; let b = r\"\\\"; crate::cloud", vec!["cloud"]),
        ("use kube::api::Api; use k8s_openapi::api::core::v1::Secret; use std::cluster;", vec![]),
    ] {
        assert_eq!(uses(code).into_iter().collect::<Vec<_>>(), expected, "{code}");
    }
}

#[test]
fn pure_rooms_name_nothing_impure() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let banned = ABSENT.iter().filter(|(room, ..)| *room == source.room());
        for (word, why) in banned.flat_map(|(_, words, why)| words.iter().map(move |word| (word, why))) {
            if source.names(word) {
                wrong.push(format!("{} names {word}: {why}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_source_file_can_be_read_at_one_sitting() {
    let long =
        |source: &Source| (!source.is_test()).then(|| (source.path.clone(), source.text.lines().count()));
    let long: Vec<_> = sources().iter().filter_map(long).filter(|(_, lines)| *lines > MAX_LINES).collect();
    assert!(long.is_empty(), "over {MAX_LINES} lines: {long:?}");
}

#[test]
fn changes_are_written_in_one_place() {
    let sources = sources();
    let writes = |source: &&Source| WRITE_PARAMS.iter().any(|params| source.names(params));
    let found: BTreeSet<&str> = sources.iter().filter(writes).map(|source| source.path.as_str()).collect();
    let expected: BTreeSet<&str> = WRITERS.iter().map(|(path, _)| *path).collect();
    assert_eq!(found, expected, "who writes to the API server: {WRITERS:#?}");
}

#[test]
fn the_other_writers_write_no_secret_of_a_tenant_and_no_service_account() {
    let of = |path: &str| sources().into_iter().find(|source| source.path == path).expect("a writer");
    let report = of("src/cluster/report.rs");
    assert!(!report.names("Secret") && !report.names("ServiceAccount"));
    let policy = of("src/cluster/policy_probe.rs");
    assert!(policy.names("dry_run: true") && !policy.names("ServiceAccount"));
    assert_eq!(policy.words().windows(2).filter(|w| w[0] == "." && w[1] == "patch").count(), 1);
    let parameters = of("src/cluster/parameters.rs");
    let writes = parameters.words().windows(3).filter(|w| w[..2] == ["maps", "."] && w[2] == "patch").count();
    let looks =
        parameters.words().windows(3).filter(|w| w[..2] == ["accounts", "."] && w[2] == "patch").count();
    assert!((writes, looks) == (2, 1) && parameters.names("dry_run: true") && !parameters.names("Secret"));
    let store = of("src/cluster/store.rs");
    let verbs = |verb: &str| store.names(&format!(".{verb}("));
    assert!(!store.names("ServiceAccount") && !verbs("create") && !verbs("delete") && !verbs("replace"));
    assert!(store.names(".patch(names::CACHE_SECRET_NAME"), "the cache is written by its name");
}
