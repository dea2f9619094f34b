//! The rooms of `src/` and the arrows between them, as the design draws them. A room may use what its arrows reach.
//!
//! ```text
//! bin → args → controller, cli, provider
//!       controller, cli → server → cluster → plan → model → api
//!       controller, provider → cloud → model
//! ```
//!
//! Inside a room no modules form a circle (see [`cycles`]), and no two types of `src/` have one name.

#![expect(clippy::panic, clippy::expect_used, reason = "what cannot be read fails the test")]

mod cycles;
mod modules;
mod reader;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::Modules;
use crate::source::{Files, Token, count, files, tokens_of};

/// Each room and what it may use beside itself.
const ARROWS: [(&str, &[&str]); 11] = [
    ("bin", &["args", "controller", "cli", "provider", "cloud", "cluster", "server", "plan", "model", "api"]),
    ("args", &["controller", "cli", "provider", "cloud", "cluster", "server", "plan", "model", "api"]),
    ("controller", &["cloud", "cluster", "server", "plan", "model", "api"]),
    ("cli", &["cluster", "server", "plan", "model", "api"]),
    ("provider", &["cloud", "model", "api"]),
    // Neither of the next two knows the cloud.
    ("cluster", &["plan", "model", "api"]),
    ("server", &["cluster", "plan", "model", "api"]),
    ("plan", &["model", "api"]),
    ("cloud", &["model", "api"]),
    ("model", &["api"]),
    ("api", &[]),
];

/// Phrases that must not occur in a room (tokens separated by spaces), and why.
const ABSENT: [(&str, &[&str], &str); 3] = [
    (
        "plan",
        &["Client", "tokio", "reqwest", "SystemTime", "Timestamp :: now", "Instant :: now"],
        "decisions are pure",
    ),
    (
        "model",
        &["Client", "tokio", "reqwest", "SystemTime", "Timestamp :: now", "Instant :: now"],
        "meanings are pure",
    ),
    ("cloud", &["kube", "Secret", "ServiceAccount"], "the cloud knows no Kubernetes"),
];

/// Files that may write to the API server: every verb of `kube::Api` that writes takes one of
/// [`WRITE_PARAMS`], and so does each way around it.
const WRITERS: [(&str, &str); 16] = [
    ("src/cli/binding_change.rs", "what requests a refresh or a suspension of a binding"),
    ("src/cli/plan.rs", "deletes what the documented component left, on request"),
    ("src/cluster/access.rs", "reviews only"),
    (
        "src/cluster/installed.rs",
        "what an uninstallation deletes, by fixed names, and the finalizers of bindings",
    ),
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

const WRITE_PARAMS: [&str; 5] =
    ["PatchParams", "PostParams", "DeleteParams", "owned :: put", "owned :: merging"];

/// Lines that a file may have; tests do not count.
const MAX_LINES: usize = 400;

/// Lines that an inline module of tests may have; longer ones go to `x/tests.rs`.
const MAX_TEST_LINES: usize = 140;

fn is_room(name: &str) -> bool {
    ARROWS.iter().any(|(room, _)| *room == name)
}

/// Returns whether a file holds nothing but tests.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.ends_with("/fixture.rs")
}

fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let first = inside.split('/').next().unwrap_or(inside);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn has(tokens: &[Token], phrase: &str) -> bool {
    count(tokens, phrase) > 0
}

/// Returns the rooms that a module names, tests included.
fn rooms_used(modules: &Modules, module: usize) -> BTreeMap<String, usize> {
    let uses = modules.uses(module).into_iter();
    let rooms = uses.map(|found| (modules.room(found.named_in).to_owned(), found.line));
    rooms.filter(|(room, _)| is_room(room)).collect()
}

#[test]
fn no_arrow_points_the_wrong_way() {
    let modules = Modules::read(&files());
    let mut wrong = Vec::new();
    for index in (0..modules.0.len()).filter(|index| modules.0[*index].file != "src/lib.rs") {
        let (room, file) = (modules.room(index), &modules.0[index].file);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{file} is in no room of the design"));
            continue;
        };
        for (used, line) in rooms_used(&modules, index) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{file}:{line}: {room} → {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_is_a_module_and_every_room_but_bin_is_used() {
    let files = files();
    let modules = Modules::read(&files);
    let read: BTreeSet<&String> = modules.0.iter().map(|module| &module.file).collect();
    let unread: Vec<_> = files.keys().filter(|path| !read.contains(path)).collect();
    assert!(unread.is_empty(), "no module declares these files: {unread:?}");
    let used: BTreeSet<String> =
        (0..modules.0.len()).flat_map(|index| rooms_used(&modules, index).into_keys()).collect();
    for (room, _) in ARROWS.iter().filter(|(room, _)| *room != "bin") {
        assert!(used.contains(*room), "no module uses {room}: does the reader still see arrows?");
    }
}

#[test]
fn the_reader_sees_every_way_to_write_an_arrow() {
    for (code, expected) in [
        ("use crate::cloud::Alibaba;", vec!["cloud"]),
        ("fn f() -> Result<(), crate::cloud::Failure> {}", vec!["cloud"]),
        (
            "use crate::{\n    api::{self, names},\n    cloud,\n    model as m,\n};",
            vec!["api", "cloud", "model"],
        ),
        ("use acr_credential_binding::controller::{self, plan};", vec!["controller"]),
        ("use super::super::cluster::Index;", vec!["cluster"]),
        ("use super::super::{cluster, server};", vec!["cluster", "server"]),
        ("pub(in crate::plan) use std::fs;", vec!["plan"]),
        ("fn f() { format!(\"{}\", crate::cloud::HOST); }", vec!["cloud"]),
        ("#[derive(Deserialize)] struct A { #[serde(default = \"crate::model::f\")] a: u8 }", vec!["model"]),
        ("mod inner { use super::super::super::server::X; }", vec!["server"]),
        (
            "// crate::cloud\n/// [`x`](crate::cloud)\nconst A: &str = \"crate::cloud \\\" crate::cloud\";",
            vec![],
        ),
        ("use kube::api::Api; use k8s_openapi::api::core::v1::Secret; use std::cluster;", vec![]),
        ("mod plan {} use plan::A; use self::plan::B;", vec![]),
    ] {
        assert_eq!(uses_of(code), expected, "{code}");
    }
}

/// Returns the rooms that a sample in the module `cli::sample` uses, beside its own.
fn uses_of(code: &str) -> Vec<String> {
    let rooms: String = ARROWS.iter().map(|(room, _)| format!("pub mod {room};")).collect();
    let mut files = Files::from([("src/lib.rs".to_owned(), rooms)]);
    for (room, _) in ARROWS {
        files.insert(format!("src/{room}.rs"), String::new());
    }
    files.insert("src/cli.rs".to_owned(), "mod sample;".to_owned());
    files.insert("src/cli/sample.rs".to_owned(), code.to_owned());
    let modules = Modules::read(&files);
    let sample = |index: &usize| modules.0[*index].file == "src/cli/sample.rs";
    let uses = (0..modules.0.len()).filter(sample).flat_map(|index| rooms_used(&modules, index).into_keys());
    uses.filter(|room| room != "cli").collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn no_modules_form_a_circle() {
    let circles = cycles::circles(&Modules::read(&files()));
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found_where_code_uses_what_the_other_defines() {
    let sample = |parent: &str, a: &str, b: &str| {
        let files = [("src/lib.rs", "mod p;"), ("src/p.rs", parent), ("src/p/a.rs", a), ("src/p/b.rs", b)];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        cycles::circles(&Modules::read(&Files::from(files))).len()
    };
    let parent = "pub mod a; pub mod b; pub use a::A; pub struct P;";
    // Siblings, by the shortest path and through the parent's re-export.
    assert_eq!(sample(parent, "use super::b::B; pub struct A(B);", "pub struct B(super::A);"), 1);
    assert_eq!(sample(parent, "use super::b; pub struct A(b::B);", "use super::A; pub struct B(A);"), 1);
    assert_eq!(sample(parent, "pub struct A(super::b::B);", "pub struct B;"), 0);
    // A child may use its parent, which only re-exports it, but not one whose code uses it.
    assert_eq!(sample(parent, "pub struct A(super::P);", ""), 0);
    assert_eq!(sample("mod a; mod b; pub struct P(a::A);", "use super::P; pub struct A(Box<P>);", ""), 1);
    assert_eq!(
        sample("mod a; mod b; pub use a::A; pub struct P(A);", "use super::P; pub struct A(P);", ""),
        1
    );
    // Tests, names of other crates, and variables do not count.
    let tests = "pub struct A; #[cfg(test)] mod tests { use crate::p::b::B; }";
    assert_eq!(sample(parent, tests, "pub struct B(super::A);"), 0);
    assert_eq!(sample(parent, "use std::b::B; pub struct A;", "pub struct B(super::A);"), 0);
    let variable = "mod a; mod b; pub use a::f; pub struct P; fn g() { let f = 1; let h = f; }";
    assert_eq!(sample(variable, "use super::P; pub fn f() {}", ""), 0);
}

#[test]
fn no_two_types_have_one_name() {
    let modules = Modules::read(&files());
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for index in 0..modules.0.len() {
        for (name, line) in modules.types(index) {
            places.entry(name).or_default().push(format!("{}:{line}", modules.0[index].file));
        }
    }
    let doubles = places.iter().filter(|(_, found)| found.len() > 1);
    let doubles: Vec<String> = doubles.map(|(name, found)| format!("{name}: {}", found.join(", "))).collect();
    assert!(doubles.is_empty(), "types of one name:\n{}", doubles.join("\n"));
}

#[test]
fn pure_rooms_name_nothing_impure() {
    let mut wrong = Vec::new();
    for (path, text) in files().iter().filter(|(path, _)| !is_test(path)) {
        let tokens = tokens_of(text);
        let absent = ABSENT.iter().filter(|(room, ..)| *room == room_of(path));
        for (phrase, why) in
            absent.flat_map(|(_, phrases, why)| phrases.iter().map(move |phrase| (phrase, why)))
        {
            if has(&tokens, phrase) {
                wrong.push(format!("{path} names {phrase}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_source_file_can_be_read_at_one_sitting() {
    let files = files();
    let lines =
        files.iter().filter(|(path, _)| !is_test(path)).map(|(path, text)| (path, text.lines().count()));
    let long: Vec<_> = lines.filter(|(_, lines)| *lines > MAX_LINES).collect();
    assert!(long.is_empty(), "over {MAX_LINES} lines: {long:?}");
}

#[test]
fn modules_have_one_style_and_long_tests_a_file_of_their_own() {
    let mut wrong = Vec::new();
    for (path, text) in files() {
        if path.ends_with("/mod.rs") || has(&tokens_of(&text), "# [ path") {
            wrong.push(format!("{path}: modules are `x.rs` beside `x/`, without `mod.rs` and `#[path]`"));
        }
        let tests = text.lines().skip_while(|line| !line.starts_with("mod tests {")).count();
        if tests > MAX_TEST_LINES {
            wrong.push(format!("{path}: {tests} lines of inline tests, at most {MAX_TEST_LINES}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn changes_are_written_in_one_place() {
    let files = files();
    let writes = |text: &str| {
        let tokens = tokens_of(text);
        WRITE_PARAMS.iter().any(|params| has(&tokens, params))
    };
    let found: BTreeSet<&str> =
        files.iter().filter(|(_, text)| writes(text)).map(|(path, _)| path.as_str()).collect();
    let expected: BTreeSet<&str> = WRITERS.iter().map(|(path, _)| *path).collect();
    assert_eq!(found, expected, "files that write to the API server: {WRITERS:#?}");
}

#[test]
fn the_other_writers_write_no_secret_of_a_tenant_and_no_service_account() {
    let files = files();
    let of = |path: &str| tokens_of(files.get(path).expect("a writer"));
    let report = of("src/cluster/report.rs");
    assert!(!has(&report, "Secret") && !has(&report, "ServiceAccount"));
    let policy = of("src/cluster/policy_probe.rs");
    assert!(has(&policy, "dry_run : true") && !has(&policy, "ServiceAccount"));
    assert_eq!(count(&policy, ". patch"), 1);
    let parameters = of("src/cluster/parameters.rs");
    let (writes, dry_runs) = (count(&parameters, "maps . patch"), count(&parameters, "accounts . patch"));
    assert_eq!((writes, dry_runs), (2, 1));
    assert!(has(&parameters, "dry_run : true") && !has(&parameters, "Secret"));
    let access = of("src/cluster/access.rs");
    assert_eq!((count(&access, ". create ("), count(&access, "reviews . create (")), (2, 2));
    assert!(!has(&access, ". patch") && !has(&access, ". delete"));
    let installed = of("src/cluster/installed.rs");
    assert!(!has(&installed, "Secret") && !has(&installed, "ServiceAccount"));
    assert_eq!(count(&installed, ". patch_metadata ("), 1);
    let store = of("src/cluster/store.rs");
    let verbs = |verb: &str| has(&store, &format!(". {verb} ("));
    assert!(!has(&store, "ServiceAccount") && !verbs("create") && !verbs("delete") && !verbs("replace"));
    assert!(has(&store, ". patch ( names :: CACHE_SECRET_NAMES ["), "the cache is written by its names");
}
