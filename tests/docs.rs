//! Links, anchors and command blocks of the documentation.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use acr_credential_binding::api::Reason;
use acr_credential_binding::cli::explain::PullCause;
use acr_credential_binding::model::exceptions::{REFUSED_DOMAINS, REFUSED_KEYS};
use acr_credential_binding::model::legacy::Code;
use acr_lab::docs::{Page, anchors, commands, pages, root};
use regex::Regex;

fn all() -> BTreeMap<String, Page> {
    pages().unwrap().into_iter().map(|page| (page.path.clone(), page)).collect()
}

/// Resolves a target against the folder of its page, to a path from the root of the repository.
fn resolved(page: &str, target: &str) -> String {
    let mut path = Path::new(page).parent().unwrap().to_path_buf();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{page}: {target} leaves the repository"),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path.display().to_string()
}

/// Returns the fault of a link, if it has one.
fn fault(pages: &BTreeMap<String, Page>, page: &Page, target: &str) -> Option<String> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { page.path.clone() } else { resolved(&page.path, file) };
    if !root().join(&path).exists() {
        return Some(format!("{path} does not exist"));
    }
    // mdBook turns a link to Markdown into one to HTML, which exists for the pages of the book alone.
    if page.path.starts_with("docs/") && path.ends_with(".md") && !path.starts_with("docs/") {
        return Some(format!("{path} is not a page of the book"));
    }
    let of_book = page.path.starts_with("docs/") && page.path != "docs/SUMMARY.md";
    if of_book && path.ends_with("README.md") {
        return Some(format!("{path} becomes the index.html of its folder: link the folder"));
    }
    let anchor = anchor?;
    let Some(other) = pages.get(&path) else { return Some(format!("{path} has no anchors")) };
    (!anchors(other).iter().any(|found| found == anchor)).then(|| format!("{path} has no heading #{anchor}"))
}

#[test]
fn every_relative_link_and_every_anchor_exists() {
    let pages = all();
    let mut faults = Vec::new();
    for page in pages.values() {
        for link in &page.links {
            let fault = fault(&pages, page, &link.target);
            faults
                .extend(fault.map(|fault| format!("{}:{}: {}: {fault}", page.path, link.line, link.target)));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(pages.values().map(|page| page.links.len()).sum::<usize>() > 100, "the pages have links");
}

#[test]
fn a_wrong_link_and_a_wrong_anchor_are_found() {
    let pages = all();
    let page = &pages["docs/install.md"];
    for target in [
        "missing.md",
        "migrate.md#nowhere",
        "../README.md",
        "README.md",
        "#nowhere",
        "../deploy/rbac.yaml#rules",
    ] {
        assert!(fault(&pages, page, target).is_some(), "{target}");
    }
    for target in ["migrate.md", "../deploy/rbac.yaml", "https://example.com"] {
        assert_eq!(fault(&pages, page, target), None, "{target}");
    }
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let pages = all();
    let summary = &pages["docs/SUMMARY.md"];
    let listed: BTreeSet<String> =
        summary.links.iter().map(|link| resolved(&summary.path, &link.target)).collect();
    let book = pages.keys().filter(|path| path.starts_with("docs/") && *path != "docs/SUMMARY.md");
    let missing: Vec<&String> = book.filter(|path| !listed.contains(*path)).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md does not list {missing:?}");
}

#[test]
fn every_example_is_linked_in_both_languages() {
    let pages = all();
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let example = format!("examples/{}", entry.unwrap().file_name().into_string().unwrap());
        for page in ["docs/credentials.md", "docs/zh-CN/credentials.md"] {
            if let Some(page) = pages.get(page)
                && example != "examples/acr-configuration.yaml"
            {
                let links = page.links.iter().map(|link| resolved(&page.path, &link.target));
                assert!(
                    links.into_iter().any(|link| link == example),
                    "{} does not link {example}",
                    page.path
                );
            }
        }
    }
}

/// Returns the Rust sources of the tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the blocks that tests run: page and heading, with the files that read them by these literal names.
fn claims() -> BTreeMap<(String, String), BTreeSet<String>> {
    let pair = Regex::new(r#"\b(?:commands|steps)\(\s*"([^"]+\.md)",\s*"([^"]+)""#).unwrap();
    let mut files = Vec::new();
    sources(&root().join("tests"), &mut files);
    let mut claims: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    // This file names blocks, and runs none.
    for file in files.iter().filter(|file| **file != root().join("tests/docs.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        for found in pair.captures_iter(&text) {
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            claims.entry((found[1].to_owned(), found[2].to_owned())).or_default().insert(name);
        }
    }
    claims
}

/// Returns the English page that a Chinese one translates.
fn original(path: &str) -> Option<String> {
    let name = path.strip_prefix("docs/zh-CN/").map(|name| format!("docs/{name}"));
    name.or_else(|| (path == "README.zh-CN.md").then(|| "README.md".to_owned()))
}

/// A test that runs a block says so by naming its page and its heading: `docs::commands("docs/install.md", "Install")`.
#[test]
fn every_command_block_is_run_by_a_test() {
    let claims = claims();
    let mut unclaimed = Vec::new();
    let mut blocks = BTreeSet::new();
    for page in all().values().filter(|page| original(&page.path).is_none()) {
        for block in page.blocks.iter().filter(|block| block.is_commands()) {
            let key = (block.page.clone(), block.heading.clone());
            if !claims.contains_key(&key) {
                unclaimed.push(format!("{}:{} under {:?}", block.page, block.line, block.heading));
            }
            blocks.insert(key);
        }
    }
    assert!(unclaimed.is_empty(), "no test names the page and the heading of {unclaimed:#?}");
    let stale: Vec<_> = claims.iter().filter(|(key, _)| !blocks.contains(*key)).collect();
    assert!(stale.is_empty(), "tests name blocks that do not exist: {stale:#?}");
}

#[test]
fn a_translated_page_has_the_commands_of_its_original() {
    let pages = all();
    let mut translated = 0;
    for page in pages.values() {
        let Some(original) = original(&page.path) else { continue };
        let commands = |page: &Page| {
            page.blocks.iter().filter(|b| b.is_commands()).flat_map(|b| b.commands()).collect::<Vec<_>>()
        };
        let english = pages.get(&original).unwrap_or_else(|| panic!("{}: no {original}", page.path));
        assert_eq!(commands(page), commands(english), "{}", page.path);
        translated += 1;
    }
    assert!(translated > 1);
}

#[test]
fn a_code_exists_once_and_in_its_order() {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(codes.is_sorted() && codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
    assert!(codes.iter().all(|code| code.len() == 6 && code.starts_with("ACR")));
}

/// Returns the text of all Rust files of a folder, of those whose path fits.
fn text(folder: &str, fits: impl Fn(&str) -> bool) -> String {
    let mut files = Vec::new();
    sources(&root().join(folder), &mut files);
    let inside = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    let fitting = files.iter().filter(|path| fits(&format!("/{}", inside(path))));
    fitting.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// A code or a reason that no rule reports is half a change, and so is a reason that no test expects.
#[test]
fn every_code_and_every_reason_is_reported_by_the_code() {
    let code =
        text("src", |path| !is_test(path) && !path.ends_with("/code.rs") && !path.ends_with("/condition.rs"));
    let tests = text("src", is_test) + &text("tests", |path| !path.ends_with("/docs.rs"));
    let in_code = |kind: &str, name: &str| {
        Regex::new(&format!(r"\b{kind}::{name}\b")).unwrap().find_iter(&code).count()
    };
    let mut missing = Vec::new();
    for found in Code::ALL {
        if in_code("Code", &format!("{found:?}")) == 0 {
            missing.push(format!("no rule reports {found}"));
        }
    }
    for cause in PullCause::ALL {
        let name = format!("{cause:?}");
        let expected = Regex::new(&format!(r"PullCause::{name}\b|\b{cause}\b")).unwrap();
        if in_code("PullCause", &name) == 0 || !expected.is_match(&tests) {
            missing.push(format!("the code never reports {cause}, or no test expects it"));
        }
    }
    for reason in Reason::ALL {
        let count = in_code("Reason", reason.as_str());
        if count == 0 {
            missing.push(format!("the code never reports {reason}"));
        }
        // Unit tests at the end of a file name it a second time.
        if count < 2 && !Regex::new(&format!(r"\b{reason}\b")).unwrap().is_match(&tests) {
            missing.push(format!("no test expects {reason}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Files and tests move; the pages that name them follow.
#[test]
fn every_file_and_every_test_that_a_page_names_exists() {
    let span = Regex::new(r"`([^`\n]+)`").unwrap();
    let file = Regex::new(r"^(?:src|tests|deploy|examples|crds|docs)/[\w./-]*$").unwrap();
    let test = Regex::new(r"^(?:\w+::)?([a-z]+(?:_[a-z]+){4,})$").unwrap();
    let code = text("src", |_| true) + &text("tests", |_| true);
    let mut missing = Vec::new();
    for page in
        all().values().filter(|page| page.path != "CHANGELOG.md" && !page.path.contains("/reference/"))
    {
        for found in span.captures_iter(&page.text) {
            let found = &found[1];
            let absent = file.is_match(found) && !root().join(found).exists();
            let unknown =
                test.captures(found).is_some_and(|name| !code.contains(&format!("fn {}(", &name[1])));
            if absent || unknown {
                missing.push(format!("{}: {found}", page.path));
            }
        }
    }
    missing.retain(|missing| !missing.contains("acr_")); // Metrics.
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_reason_that_a_person_resolves_is_in_the_troubleshooting_page() {
    let pages = all();
    for page in ["docs/troubleshooting.md", "docs/zh-CN/troubleshooting.md"] {
        let named = |reason: &&Reason| pages[page].text.contains(&format!("`{reason}`"));
        let missing: Vec<&Reason> = Reason::ALL
            .iter()
            .filter(|reason| reason.needs_human())
            .filter(|reason| !named(reason))
            .collect();
        assert!(missing.is_empty(), "{page}: {missing:?}");
    }
}

/// An installer must know what no exception opens.
#[test]
fn the_security_page_names_the_whole_fixed_list() {
    let pages = all();
    for page in ["docs/security.md", "docs/zh-CN/security.md"] {
        let fixed = REFUSED_DOMAINS.iter().chain(REFUSED_KEYS);
        let missing: Vec<_> =
            fixed.filter(|entry| !pages[page].text.contains(&format!("`{entry}`"))).collect();
        assert!(missing.is_empty(), "{page}: {missing:?}");
    }
}

/// The first screen of the README shows how to install, in three commands.
#[test]
fn the_readmes_are_short_and_begin_with_the_installation() {
    assert_eq!(commands("README.md", "Install").unwrap().len(), 3);
    for readme in ["README.md", "README.zh-CN.md"] {
        let lines = all()[readme].text.lines().count();
        assert!(lines <= 130, "{readme} has {lines} lines");
    }
}
