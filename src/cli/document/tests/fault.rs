//! Lines that end a block too early, keys of `data` that are not below the others, and signs of full width.

use proptest::prelude::*;

use super::{apply, found};
use crate::cli::document::read;
use crate::model::legacy::Severity;

const HEAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n  namespace: kube-system\ndata:\n";

#[track_caller]
fn repaired(cases: &[(&str, &[&str], &str)]) {
    for (rest, findings, expected) in cases {
        let (file, expected) = (format!("{HEAD}{rest}"), format!("{HEAD}{expected}"));
        assert_eq!(found(&file), *findings, "{rest}");
        assert_eq!(apply(&file), expected, "{rest}");
        assert_eq!(found(&expected), [""; 0], "{expected}");
    }
}

#[test]
fn a_bar_of_full_width_begins_a_block() {
    repaired(&[
        (
            "  acr-registry-info: ｜\n    - instanceId: cri-a\n      regionId: a\n",
            &["ACR408 acr-registry-info 7:22"],
            "  acr-registry-info: |\n    - instanceId: cri-a\n      regionId: a\n",
        ),
        (
            "  rrsa: ｜- # on\r\n    enable: true\r\n",
            &["ACR408 rrsa 7:9"],
            "  rrsa: |- # on\r\n    enable: true\r\n",
        ),
    ]);
}

#[test]
fn one_pair_of_quotes_goes_around_a_list() {
    repaired(&[
        (
            "  watch-namespace: \"a\",\"b\"\n",
            &["ACR704 watch-namespace 7:20"],
            "  watch-namespace: \"a,b\"\n",
        ),
        (
            "  watch-namespace: 'a', \"b\",c # d\n",
            &["ACR704 watch-namespace 7:20"],
            "  watch-namespace: \"a, b,c\" # d\n",
        ),
        (
            "  service-account: *, default\n",
            &["ACR411 service-account 7:20"],
            "  service-account: \"*, default\"\n",
        ),
        ("  service-account: *,b\n", &["ACR411 service-account 7:20"], "  service-account: \"*,b\"\n"),
    ]);
    // Characters that names do not have may be meant otherwise, and an alias may be one.
    for value in ["\"a\",\"b: c\"", "\"a\" \"b\"", "*a"] {
        assert_eq!(
            apply(&format!("{HEAD}  watch-namespace: {value}\n")),
            format!("{HEAD}  watch-namespace: {value}\n")
        );
    }
}

/// Returns the one finding of a file: its place, and the spaces that its message names.
#[track_caller]
fn blamed(rest: &str) -> (String, String) {
    let file = format!("{HEAD}{rest}");
    let [finding] = &read("file", &file).diagnostics[..] else { panic!("{rest}: {:?}", found(&file)) };
    assert_eq!((finding.severity, finding.edits.len()), (Severity::Error, 0), "{rest}");
    (found(&file).remove(0), finding.message.clone())
}

/// Gives the lines from the one to blame the spaces that the message names, up to an empty line or `until`.
#[track_caller]
fn follow(rest: &str, place: &str, by: isize, count: usize) -> String {
    let line: usize = place.rsplit(' ').next().unwrap().split(':').next().unwrap().parse().unwrap();
    let moved = |(at, text): (usize, &str)| {
        let body = text.trim_start_matches(' ');
        let depth = text.len() - body.len();
        let by = if (line..line + count).contains(&(at + 7)) { by } else { 0 };
        format!("{}{body}\n", " ".repeat(depth.saturating_add_signed(by)))
    };
    rest.lines().enumerate().map(moved).collect()
}

#[test]
fn a_fault_names_the_line_that_ends_a_block_and_its_cure_works() {
    let list = "  acr-registry-info: |\n    - instanceId: cri-a\n      regionId: b\n    - instanceId: cri-b\n  service-account: a\n";
    let unlike = "    - instanceId: cri-a\n      regionId: b\n    - instanceId: cri-b\n";
    let with = |lines: &str| list.replace(unlike, lines);
    for (rest, place, by, count, expected) in [
        (with("- instanceId: cri-a\n  regionId: b\n- instanceId: cri-b\n"), "8:1", 4, 3, list),
        (with(" - instanceId: cri-a\n   regionId: b\n - instanceId: cri-b\n"), "8:2", 3, 3, list),
        (with("    - instanceId: cri-a\n      regionId: b\n  - instanceId: cri-b\n"), "10:3", 2, 1, list),
        (with("    - instanceId: cri-a\n   regionId: b\n    - instanceId: cri-b\n"), "9:4", 3, 1, list),
        (with("    - instanceId: cri-a\n# c\n      regionId: b\n"), "9:1", 4, 1, "    # c\n"),
        (with("    - instanceId: cri-a\n   # c\n      regionId: b\n"), "9:4", 1, 1, "    # c\n"),
        ("  rrsa: |\n  # c\n    enable: true\n".to_owned(), "8:3", 2, 1, "    # c\n"),
        ("  rrsa: |\n enable: true\n".to_owned(), "8:2", 3, 1, "    enable: true\n"),
    ] {
        let (at, message) = blamed(&rest);
        assert!(at.starts_with("ACR401 ") && at.ends_with(&format!(" {place}")), "{rest}: {at}");
        assert!(message.contains(&format!("by {by} space")), "{rest}: {message}");
        let cured = follow(&rest, &at, by, count);
        assert!(cured.contains(expected), "{cured}");
        assert_eq!(found(&format!("{HEAD}{cured}")), [""; 0], "{cured}");
    }
    let (at, message) = blamed(&with("- instanceId: cri-a\n  regionId: b\n").replace(" |", ""));
    assert_eq!(at, "ACR401 acr-registry-info 8:1");
    assert!(message.contains("write | after its colon") && message.contains("by 4 spaces"), "{message}");
}

#[test]
fn a_fault_names_the_key_that_is_not_below_the_others() {
    for (rest, key, place, by) in [
        ("  service-account: a\n    watch-namespace: all\n", "watch-namespace", "8:5", -2),
        ("  service-account: a\n watch-namespace: all\n", "watch-namespace", "8:2", 1),
        ("  service-account: \"a\"\n    watch-namespace: all\n", "watch-namespace", "8:5", -2),
        ("    service-account: a\n  watch-namespace: all\n", "watch-namespace", "8:3", 2),
        ("  rrsa: |\n    enable: true\n   service-account: a\n", "service-account", "9:4", -1),
        ("  service-account: a\n    rrsa: |2\n        enable: true\n", "rrsa", "8:5", -2),
    ] {
        let (at, message) = blamed(rest);
        assert_eq!(at, format!("ACR401 {key} {place}"), "{rest}");
        let spaces = place.split(':').nth(1).unwrap().parse::<usize>().unwrap() - 1;
        assert!(message.starts_with(&format!("the key has {spaces} space")), "{message}");
        assert_eq!(found(&format!("{HEAD}{}", follow(rest, &at, by, 2))), [""; 0], "{rest}");
    }
}

#[test]
fn a_fault_of_another_kind_is_where_the_parser_noticed_it() {
    for (rest, place) in [
        ("  service-account: [a\n  watch-namespace: all\n", "8:18"),
        ("  service-account: a\n  rrsa: |\n    enable: true\n  - a\n", "10:3"),
        ("  notify-email: \"a\n  service-account: c\n", "7:17"),
    ] {
        let (at, message) = blamed(rest);
        assert_eq!(at.split(' ').next_back(), Some(place), "{rest}: {message}");
    }
}

/// Returns the file once there is nothing left to repair in it.
fn at_rest(file: &str) -> String {
    (0..12).fold(file.to_owned(), |file, _| apply(&file))
}

proptest! {
    /// However the lines lie, the edits come to rest, and a file that is not YAML has an error with a place.
    #[test]
    fn edits_come_to_rest_however_lines_lie(
        lines in prop::collection::vec((0_usize..8, prop::sample::select(vec![
            "service-account: a", "watch-namespace: \"a\",\"b\"", "acr-registry-info: |", "acr-registry-info:", "rrsa: |", "rrsa: ｜",
            "- instanceId: cri-a", "regionId: b", "enable: true", "# c", "", "foo: b", "foo: |-", "- a", "---", "data:", "notify-email: \"a",
            "|", "```", "${X}", "rrsa:\u{a0}|", "regionId: b\u{200b}", "watch\u{2011}namespace: a", "<<EOT", "EOT",
        ])), 0..12)
    ) {
        let lines: Vec<String> = lines.iter().map(|(depth, text)| format!("{}{text}\n", " ".repeat(*depth))).collect();
        let text = at_rest(&format!("{HEAD}{}", lines.concat()));
        prop_assert_eq!(apply(&text), text.clone());
        let faulty = crate::api::legacy::parse_manifest(&text).1.is_some();
        let errors = read("file", &text).diagnostics;
        prop_assert!(!faulty || errors.iter().any(|d| d.severity == Severity::Error && d.span.is_some()), "{}", text);
    }

    /// A line that was moved by some spaces leaves a file that is read, or an error with a place.
    #[test]
    fn a_moved_line_is_an_error_with_a_place(line in 6_usize..15, by in -6_isize..7) {
        let file = format!("{HEAD}  service-account: a\n  acr-registry-info: |\n    - instanceId: cri-a\n      regionId: b\n    # c\n    - instanceId: cri-b\n  rrsa: |\n    enable: true\n  watch-namespace: b\n");
        let moved = |(at, text): (usize, &str)| {
            let body = text.trim_start_matches(' ');
            let depth = text.len() - body.len();
            format!("{}{body}\n", " ".repeat(if at == line { depth.saturating_add_signed(by) } else { depth }))
        };
        let text = at_rest(&file.lines().enumerate().map(moved).collect::<String>());
        let faulty = crate::api::legacy::parse_manifest(&text).1.is_some();
        let errors = read("file", &text).diagnostics;
        prop_assert!(!faulty || errors.iter().any(|d| d.severity == Severity::Error && d.span.is_some()), "{}", text);
    }
}
