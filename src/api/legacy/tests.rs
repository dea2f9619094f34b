//! Readings of users' texts. The parser's crate is young, and a new major must not change what a configuration means.

use super::{FaultKind, Node, Style, Value, parse_yaml};

fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Map(pairs) => {
            format!(
                "{{{}}}",
                pairs
                    .iter()
                    .map(|p| format!("{}={}", p.name(), show(&p.value)))
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        }
    }
}

fn read(text: &str) -> String {
    match parse_yaml(text) {
        Ok(node) => show(&node),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn a_scalar_stays_the_text_that_the_user_wrote() {
    for (yaml, expected) in [
        ("a: no", "{a=\"no\"}"),
        ("a: yes", "{a=\"yes\"}"),
        ("a: true", "{a=\"true\"}"),
        ("a: True", "{a=\"True\"}"),
        ("a: 0123", "{a=\"0123\"}"),
        ("a: 0x1F", "{a=\"0x1F\"}"),
        ("a: 010", "{a=\"010\"}"),
        ("a: 1.10", "{a=\"1.10\"}"),
        ("a: 12e34567", "{a=\"12e34567\"}"),
        ("a: 1e5 # five", "{a=\"1e5\"}"),
        ("a: 123456789012345678901234567890", "{a=\"123456789012345678901234567890\"}"),
        ("a: 1_000", "{a=\"1_000\"}"),
        ("a: 1:30", "{a=\"1:30\"}"),
        ("a: .inf", "{a=\".inf\"}"),
        ("a: .NaN", "{a=\".NaN\"}"),
        ("a: -007", "{a=\"-007\"}"),
        ("a: \"no\"", "{a=\"no\"}"),
        ("a: !!int 0x1F", "{a=\"0x1F\"}"),
        ("a: &x 0123\nb: *x", "{a=\"0123\" b=\"0123\"}"),
        ("a: 2024-01-01", "{a=\"2024-01-01\"}"),
        ("é: 1.10", "{é=\"1.10\"}"),
        ("- 1.10\r\n- 2.20\r\n", "[\"1.10\" \"2.20\"]"),
    ] {
        assert_eq!(read(yaml), expected, "{yaml}");
    }
}

#[test]
fn nothing_is_null_and_never_a_text() {
    for (yaml, expected) in [
        ("a:", "{a=null}"),
        ("a: ~", "{a=null}"),
        ("a: null", "{a=null}"),
        ("a: \"\"", "{a=\"\"}"),
        ("", "null"),
        ("# only\n  # comments\n", "null"),
        ("---\n", "null"),
        ("[]", "[]"),
        ("-\n- {}", "[null {}]"),
    ] {
        assert_eq!(read(yaml), expected, "{yaml}");
    }
}

#[test]
fn a_repeated_key_is_kept_twice_and_a_merge_key_is_merged() {
    assert_eq!(read("a: x\nb: y\na: z"), "{a=\"x\" b=\"y\" a=\"z\"}");
    assert_eq!(read("- &d {r: x, s: y}\n- {<<: *d, s: z}"), "[{r=\"x\" s=\"y\"} {s=\"z\" r=\"x\"}]");
}

/// Returns each scalar as `key style bytes`, depth first.
fn places(node: &Node, source: &str, key: &str, into: &mut Vec<String>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| places(item, source, key, into)),
        Value::Map(pairs) => {
            for pair in pairs {
                let key = pair.key_span().map_or("?", |span| &source[span]);
                places(&pair.value, source, key, into);
            }
        }
        Value::Text(text) => {
            let bytes = node.span.clone().map_or("?", |span| &source[span]);
            if let Some(start) = node.text_start() {
                assert_eq!(source[start..].get(..text.len()), Some(text.as_str()));
            }
            into.push(format!("{key} {:?} {bytes}", node.style));
        }
        Value::Null => into.push(format!("{key} null")),
    }
}

#[test]
fn each_scalar_knows_its_bytes_and_whether_others_may_take_their_place() {
    use Style::{Alias, Escaped, Plain, Quoted, Wrapped};
    for (source, expected) in [
        ("# é\n- é: 日本 # x\n  b: \"two\"\n", &[("é", Plain, "日本"), ("b", Quoted, "\"two\"")][..]),
        ("\u{feff}- a: 1\r\n  b: 'x'\r\n", &[("a", Plain, "1"), ("b", Quoted, "'x'")]),
        ("[{\"a\":3600}]", &[("\"a\"", Plain, "3600")]),
        ("a: \"x\\ty\"\nb: 'it''s'\n", &[("a", Escaped, "\"x\\ty\""), ("b", Escaped, "'it''s'")]),
        ("a: &x one\nb: *x\n", &[("a", Plain, "one"), ("b", Alias, "*x")]),
        ("a: \"\"\n", &[("a", Quoted, "\"\"")]),
        ("a: one\n  two\n", &[("a", Wrapped, "one\n  two")]),
    ] {
        let Ok(node) = parse_yaml(source) else { panic!("{source}") };
        let mut found = Vec::new();
        places(&node, source, "", &mut found);
        let expected: Vec<String> =
            expected.iter().map(|(key, style, bytes)| format!("{key} {style:?} {bytes}")).collect();
        assert_eq!(found, expected, "{source}");
    }
}

#[test]
fn what_is_no_yaml_has_a_line_and_none_of_the_text() {
    let error = |text: &str| parse_yaml(text).map(|n| show(&n)).unwrap_err();
    let fault = error("- a: \"x\"\n  b: \"s3cr3t\" // comment\n");
    assert_eq!((fault.kind, fault.line), (FaultKind::Syntax, 2));
    assert!(!format!("{fault:?}").contains("s3cr3t"));
    assert_eq!(error("a: 1\n---\nb: 2\n").kind, FaultKind::Documents);
}

#[test]
fn bombs_and_abysses_are_refused_at_once() {
    let bomb = (1..12).fold("- &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, i| {
        let aliases = vec![format!("*a{}", i - 1); 9].join(",");
        format!("{text}- &a{i} [{aliases}]\n")
    });
    let kind = |text: &str| parse_yaml(text).map(|n| show(&n)).unwrap_err().kind;
    assert_eq!(kind(&bomb), FaultKind::Excessive);
    assert_eq!(kind(&"- x\n".repeat(30_000)), FaultKind::Excessive);
    assert_eq!(kind("&a [*a]"), FaultKind::Excessive);
    assert_eq!(kind(&"- ".repeat(17)), FaultKind::Excessive);
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
        assert!(parse_yaml(&deep).is_err());
    }
}
