//! The `cargo` commands of the documentation are commands of this repository.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, in its helpers too")]

use std::process::Command;

use acr_lab::docs::{commands, root};

/// Asserts that a line is one of cargo's own commands, or an alias of the lab with arguments that the lab knows.
#[expect(clippy::panic, reason = "an unknown command fails the test")]
fn assert_known(line: &str) {
    let aliases = std::fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let arguments: Vec<&str> = match words[..] {
        ["cargo", "test", ..] | ["cargo", "run", "--bin", "generate", ..] => return,
        [script @ ".ci/run"] => return assert!(root().join(script).exists()),
        ["cargo", "demo", ..] => words[1..].to_vec(),
        ["cargo", "lab", ..] => words[2..].to_vec(),
        _ => panic!("{line}: no such command"),
    };
    assert!(aliases.contains(&format!("\n{} = ", words[1])), "{line}: no alias {}", words[1]);
    let help = Command::new(env!("CARGO_BIN_EXE_lab")).args(&arguments).arg("--help").output().unwrap();
    assert!(help.status.success(), "{line}: {}", String::from_utf8_lossy(&help.stderr));
}

#[test]
fn every_cargo_command_of_the_pages_exists() {
    let blocks = [
        commands("README.md", "Try it"),
        commands("docs/contributing/lab.md", "Show the product at work"),
        commands("docs/contributing/lab.md", "Start the parts alone"),
        commands("docs/contributing/lab.md", "Measure"),
        commands("docs/contributing/lab.md", "Break it"),
        commands("docs/contributing/lab.md", "Run the tests"),
        commands("CONTRIBUTING.md", "Before you send a change"),
    ];
    for line in blocks.into_iter().flat_map(Result::unwrap) {
        assert_known(&line);
    }
}

#[test]
#[should_panic(expected = "no such command")]
fn an_unknown_command_is_found() {
    assert_known("cargo labs up");
}

#[test]
#[should_panic(expected = "unrecognized subcommand")]
fn an_unknown_argument_is_found() {
    assert_known("cargo lab benches");
}

/// The demo and the tests run in CI, and the plugin's program has the name that the page installs.
#[test]
fn ci_runs_the_demo_and_the_tests_and_the_plugin_has_its_name() {
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(ci.contains("cargo demo --once") && ci.contains("cargo test"));
    let install = commands("docs/kubectl-acr.md", "Install the plugin").unwrap();
    assert_eq!(install, ["cargo install --path . --bin kubectl-acr"]);
    assert!(root().join("src/bin/kubectl-acr/main.rs").exists());
}

/// Each fault of the table names tests, all of them exist, and both languages name the same.
#[test]
fn each_fault_of_the_table_has_its_tests() {
    let mut sources = String::new();
    let mut folders = vec![root().join("tests"), root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let pages = [("docs/benchmarks.md", "## Faults survived"), ("docs/zh-CN/benchmarks.md", "## 经受的故障")];
    let [english, chinese] = pages.map(|(page, title)| tests_by_fault(page, title));
    assert_eq!(english, chinese);
    assert_eq!(english.len(), 25);
    for (number, names) in english {
        assert!(!names.is_empty(), "fault {number} names no test");
        for name in names {
            assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
        }
    }
}

/// Returns the tests of each fault in the table of a page.
fn tests_by_fault(page: &str, title: &str) -> Vec<(usize, Vec<String>)> {
    let page = std::fs::read_to_string(root().join(page)).unwrap();
    let (_, section) = page.split_once(title).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| {
        let (number, row) = line.strip_prefix("| ")?.split_once(" |")?;
        let names = row.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some((number.parse::<usize>().ok()?, names))
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.iter().enumerate().all(|(at, (number, _))| *number == at + 1), "{rows:?}");
    rows
}
