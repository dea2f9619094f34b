//! Lists without quotes, signs of full width, and lines that are not as deep as those around them.

use proptest::prelude::*;

use super::{apply, told};
use crate::cli::document::read;

const HEAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n  namespace: kube-system\ndata:\n";

#[track_caller]
fn mends(cases: &[(&str, &[&str], &str)]) {
    for (rest, findings, mended) in cases {
        let (file, mended) = (format!("{HEAD}{rest}"), format!("{HEAD}{mended}"));
        assert_eq!(told(&file), *findings, "{rest}");
        assert_eq!(apply(&file), mended, "{rest}");
        assert_eq!(told(&mended), [""; 0], "{mended}");
    }
}

#[test]
fn a_bar_of_full_width_begins_a_block() {
    mends(&[
        (
            "  acr-registry-info: ｜\n    - instanceId: cri-a\n      regionId: a\n",
            &["ACR711 acr-registry-info 7:22"],
            "  acr-registry-info: |\n    - instanceId: cri-a\n      regionId: a\n",
        ),
        (
            "  rrsa: ｜- # on\r\n    enable: true\r\n",
            &["ACR711 rrsa 7:9"],
            "  rrsa: |- # on\r\n    enable: true\r\n",
        ),
    ]);
}

#[test]
fn one_pair_of_quotes_goes_around_a_list() {
    mends(&[
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
            &["ACR708 service-account 7:20"],
            "  service-account: \"*, default\"\n",
        ),
        ("  service-account: *,b\n", &["ACR708 service-account 7:20"], "  service-account: \"*,b\"\n"),
    ]);
    // What a name has not may be meant otherwise, and an alias may be one.
    for value in ["\"a\",\"b: c\"", "\"a\" \"b\"", "*a"] {
        assert_eq!(
            apply(&format!("{HEAD}  watch-namespace: {value}\n")),
            format!("{HEAD}  watch-namespace: {value}\n")
        );
    }
}

#[test]
fn keys_of_data_are_put_straight() {
    let siblings = "  service-account: a\n  watch-namespace: all\n";
    mends(&[
        ("  service-account: a\n    watch-namespace: all\n", &["ACR706 watch-namespace 8:5"], siblings),
        ("  service-account: a\n watch-namespace: all\n", &["ACR706 watch-namespace 8:2"], siblings),
        (
            "  service-account: \"a\"\n    watch-namespace: all\n",
            &["ACR706 watch-namespace 8:5"],
            "  service-account: \"a\"\n  watch-namespace: all\n",
        ),
        (
            "    service-account: a\n  watch-namespace: all\n  rrsa: ''\n",
            &["ACR706 service-account 7:5"],
            "  service-account: a\n  watch-namespace: all\n  rrsa: ''\n",
        ),
        // Its lines go with a key.
        (
            "  service-account: a\n    rrsa: |2\n        enable: true\n\n  watch-namespace: all\n",
            &["ACR706 rrsa 8:5"],
            "  service-account: a\n  rrsa: |2\n      enable: true\n\n  watch-namespace: all\n",
        ),
        (
            "  rrsa: |\n    enable: true\n   service-account: a\n",
            &["ACR706 service-account 9:4"],
            "  rrsa: |\n    enable: true\n  service-account: a\n",
        ),
    ]);
    // The bare content of data, and what stands beside a slip of another kind.
    assert_eq!(
        apply("service-account: a\n  watch-namespace: b\n"),
        "service-account: a\nwatch-namespace: b\n"
    );
    let both = format!("{HEAD}  service-account: *\n    watch-namespace：all\n");
    assert_eq!(
        told(&both),
        ["ACR708 service-account 7:20", "ACR711 watch-namespace 8:20", "ACR706 watch-namespace 8:5"]
    );
    assert_eq!(apply(&both), format!("{HEAD}  service-account: \"*\"\n  watch-namespace: all\n"));
}

#[test]
fn the_lines_of_a_block_are_indented_as_its_first_and_deeper_than_its_key() {
    let list = "  acr-registry-info: |\n    - instanceId: cri-a\n      regionId: b\n    - instanceId: cri-b\n  service-account: a\n";
    let unlike = "    - instanceId: cri-a\n      regionId: b\n    - instanceId: cri-b\n";
    let as_first = |lines: &str| list.replace(unlike, lines);
    mends(&[
        (
            &as_first("- instanceId: cri-a\n  regionId: b\n- instanceId: cri-b\n"),
            &["ACR705 acr-registry-info 8:1"],
            list,
        ),
        (
            &as_first(" - instanceId: cri-a\n   regionId: b\n - instanceId: cri-b\n"),
            &["ACR705 acr-registry-info 8:2"],
            list,
        ),
        (
            &as_first("- instanceId: cri-a\n  regionId: b\n- instanceId: cri-b\n").replace(" |", ""),
            &["ACR704 acr-registry-info 8:1"],
            list,
        ),
        (
            &as_first("    - instanceId: cri-a\n      regionId: b\n  - instanceId: cri-b\n"),
            &["ACR705 acr-registry-info 10:3"],
            list,
        ),
        (
            &as_first("    - instanceId: cri-a\n   regionId: b\n   - instanceId: cri-b\n"),
            &["ACR705 acr-registry-info 9:4", "ACR705 acr-registry-info 10:4"],
            list,
        ),
        (
            "  acr-registry-info: |\n      - instanceId: cri-a\n    - instanceId: cri-b\n      domains:\n      - a.b\n    # c\n    - instanceId: cri-c\n",
            &["ACR705 acr-registry-info 9:5"],
            "  acr-registry-info: |\n      - instanceId: cri-a\n      - instanceId: cri-b\n        domains:\n        - a.b\n      # c\n      - instanceId: cri-c\n",
        ),
        (
            "  webhook-configuration: |\n    enable: true\n  timeout-seconds: 5\n  rrsa: |\n enable: true\n",
            &["ACR705 webhook-configuration 9:3", "ACR705 rrsa 11:2"],
            "  webhook-configuration: |\n    enable: true\n    timeout-seconds: 5\n  rrsa: |\n    enable: true\n",
        ),
    ]);
    // What a finding is of is in the message, with the count that the machine does not need.
    let document = read("file", &format!("{HEAD}{}", as_first(" - instanceId: cri-a\n")));
    assert!(document.diagnostics[0].message.contains("by 3 blanks more"));
    // An object after it in a list is no entry.
    let object = "  data:\n    acr-registry-info: |\n";
    let file = format!("items:\n- kind: ConfigMap\n{object}- kind: ConfigMap\n{object} - a\n");
    assert_eq!(apply(&file), file);
}

#[test]
fn a_comment_does_not_end_a_block_early() {
    for (comment, place) in [("# c", "9:1"), (" # c", "9:2"), ("  # c", "9:3"), ("   # c", "9:4")] {
        let lines = |comment: &str| {
            format!("  acr-registry-info: |\n    - instanceId: cri-a\n{comment}\n      regionId: b\n")
        };
        mends(&[(
            &lines(comment),
            &[format!("ACR705 acr-registry-info {place}").as_str()],
            &lines("    # c"),
        )]);
    }
    mends(&[(
        "  rrsa: |\n  # c\n    enable: true\n",
        &["ACR705 rrsa 8:3"],
        "  rrsa: |\n    # c\n    enable: true\n",
    )]);
    // Nor does it end the list that is moved beneath its key, also where it is less deep than that.
    let list = "     acr-registry-info: |\n     # a\n# b\n     - instanceId: cri-a\n";
    let mended = "     acr-registry-info: |\n       # a\n       # b\n       - instanceId: cri-a\n";
    mends(&[
        (list, &["ACR705 acr-registry-info 7:6", "ACR705 acr-registry-info 9:1"], mended),
        (&list.replace(" |", ""), &["ACR704 acr-registry-info 7:6", "ACR705 acr-registry-info 9:1"], mended),
    ]);
    // One behind a block does no harm, also where something else is mended.
    let file =
        format!("{HEAD}  rrsa: |\n    enable: true\n # c\n  service-account: a\n watch-namespace: b\n");
    assert_eq!(apply(&file), file.replace("\n watch", "\n  watch"));
}

#[test]
fn what_moving_lines_does_not_mend_is_left_alone() {
    for rest in [
        "  service-account: [a\n    watch-namespace: all\n",
        "  notify-email: \"a\n    watch-namespace: b\n  service-account: c\n",
        "  watch-namespace: a\n    b: c\n",
        "  service-account: a\n  rrsa: |\n    enable: true\n  - a\n",
    ] {
        let file = format!("{HEAD}{rest}");
        assert_eq!(apply(&file), file);
    }
}

/// The file once there is nothing left to mend in it.
fn healed(file: &str) -> String {
    (0..8).fold(file.to_owned(), |file, _| apply(&file))
}

/// What the keys hold, but for comments.
fn held(file: &str) -> Vec<(String, String)> {
    let lines = |text: &str| {
        text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
    };
    read("file", file).data().into_iter().map(|(key, text)| (key, lines(&text))).collect()
}

/// One line, or a key with its lines, is moved by so many blanks.
fn moved(line: &str, by: isize) -> String {
    let blanks = line.len() - line.trim_start_matches(' ').len();
    format!("{}{}", " ".repeat(blanks.saturating_add_signed(by)), line.trim_start_matches(' '))
}

proptest! {
    /// Lines that slipped are put back, and what was written is read again.
    #[test]
    fn edits_do_no_harm_to_what_slipped(
        keys in Just(vec!["service-account: a", "watch-namespace: \"b\"", "notify-email: 'c'", "acr-registry-info: |", "rrsa: |"]).prop_shuffle(),
        indent in 2_usize..5, deeper in 2_usize..5, slipped in 0_usize..5, slip in 0_usize..4, by in 1_usize..9,
    ) {
        let mut lines = Vec::new();
        for key in &keys {
            lines.push(format!("{}{key}", " ".repeat(indent)));
            let block = match key.split_once(": ").unwrap() {
                ("acr-registry-info", _) => vec!["- instanceId: cri-a", "  regionId: b", "- instanceId: cri-c", "  domains: d", "- instanceId: cri-e"],
                ("rrsa", _) => vec!["enable: true"],
                _ => vec![],
            };
            lines.extend(block.iter().map(|line| format!("{}{line}", " ".repeat(indent + deeper))));
        }
        let right = format!("{HEAD}{}\n", lines.join("\n"));
        let list = lines.iter().position(|line| line.contains("acr-registry-info")).unwrap();
        match slip {
            // A key, by one.
            0 => {
                let at = lines.iter().position(|line| line.contains(keys[slipped])).unwrap();
                lines[at] = moved(&lines[at], if by % 2 == 0 { 1 } else { -1 });
            }
            // The second entry, or all but the first.
            1 => {
                let by = -isize::try_from(by.min(deeper)).unwrap();
                let to = if slipped > 2 { 5 } else { 6 };
                lines[list + 3..list + to].iter_mut().for_each(|line| *line = moved(line, by));
            }
            // A comment.
            2 => lines.insert(list + 2 + slipped, format!("{}# c", " ".repeat(by.min(indent + deeper - 1)))),
            // The whole list, less deep than its key.
            _ => {
                let by = -isize::try_from(deeper + by.min(indent)).unwrap();
                lines[list + 1..list + 6].iter_mut().for_each(|line| *line = moved(line, by));
            }
        }
        let wrong = format!("{HEAD}{}\n", lines.join("\n"));
        let text = healed(&wrong);
        prop_assert_eq!(told(&text), [""; 0], "{} became {}", wrong, text);
        prop_assert_eq!(held(&text), held(&right), "{} became {}", wrong, text);
    }

    /// However the lines lie, the edits come to rest.
    #[test]
    fn edits_come_to_rest_however_lines_lie(
        lines in prop::collection::vec((0_usize..8, prop::sample::select(vec![
            "service-account: a", "watch-namespace: \"a\",\"b\"", "acr-registry-info: |", "acr-registry-info:", "rrsa: |", "rrsa: ｜",
            "- instanceId: cri-a", "regionId: b", "enable: true", "# c", "", "foo: b", "foo: |-", "- a", "---", "data:", "notify-email: \"a",
        ])), 0..12)
    ) {
        let lines: Vec<String> = lines.iter().map(|(depth, text)| format!("{}{text}\n", " ".repeat(*depth))).collect();
        let text = (0..12).fold(format!("{HEAD}{}", lines.concat()), |text, _| apply(&text));
        prop_assert_eq!(apply(&text), text);
    }
}
