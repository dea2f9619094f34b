//! Documents as people write them, and every byte of a value found again in them.

mod fault;
mod located;
mod structured;

use proptest::prelude::*;

use super::*;
use crate::model::legacy::Edit;
use crate::model::legacy::patch::PatchedText;

/// A line end, a byte order mark, and how deep `data` lies.
#[derive(Clone, Copy, Debug)]
struct Dress {
    crlf: bool,
    bom: bool,
    indent: usize,
}

impl Dress {
    fn file(self, written: &str) -> String {
        let text = format!("data:\n{}notify-email: {written}\n", " ".repeat(self.indent));
        let text = if self.crlf { text.replace('\n', "\r\n") } else { text };
        if self.bom { format!("\u{feff}{text}") } else { text }
    }
}

fn dress() -> impl Strategy<Value = Dress> {
    (any::<bool>(), any::<bool>(), 1_usize..6).prop_map(|(crlf, bom, indent)| Dress { crlf, bom, indent })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Literal,
    Folded,
    Plain,
    Single,
    Double,
}

/// Returns the value of the only key, with every character of it compared with the file.
#[track_caller]
fn mapped(file: &str, manner: Manner) -> String {
    let document = read("file", file);
    assert_eq!(document.diagnostics, [], "{file:?}");
    let scalar = &document.values["notify-email"].scalar;
    for (at, c) in scalar.value().char_indices() {
        let source = &file[scalar.place(&(at..at + c.len_utf8()))];
        let written = match (c, manner) {
            ('\'', Manner::Single) => source == "''",
            (_, Manner::Double) if source.starts_with('\\') => source.len() > 1,
            ('\n', _) => matches!(source, "\n" | "\r\n"),
            (' ', Manner::Literal) => source == " ",
            (' ', _) => matches!(source, " " | "\n" | "\r\n"),
            _ => source == c.to_string(),
        };
        assert!(written, "{c:?} at {at} is {source:?} in {file:?}");
    }
    scalar.value().to_owned()
}

fn literal(value: &str, indent: usize, style: &str) -> String {
    let chomp = match value.len() - value.trim_end_matches('\n').len() {
        0 => "-",
        1 if value.len() > 1 => "",
        _ => "+",
    };
    let lead = value.trim_start_matches('\n').starts_with(' ') || value.trim_matches('\n').is_empty();
    let indicator = if lead { "3" } else { "" };
    let body = value.strip_suffix('\n').unwrap_or(value);
    let line = |line: &str| {
        if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(indent + 3)) }
    };
    let lines: Vec<String> = body.split('\n').map(line).collect();
    format!("{style}{indicator}{chomp}\n{}", lines.join("\n"))
}

fn double(value: &str, escape: bool) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c if escape && u32::from(c) > 0xffff => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
            }
            c if escape && !c.is_ascii_alphanumeric() => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text + "\""
}

/// Returns words between which one space may be a line break in the file, and a line break two.
fn folded(words: &[(String, u8)], indent: usize) -> (String, String) {
    let (mut value, mut file) = (String::new(), String::new());
    let lead = " ".repeat(indent + 3);
    for (at, (word, gap)) in words.iter().enumerate() {
        if at > 0 {
            let (meant, written) = match gap {
                0 => (" ", " ".to_owned()),
                1 => (" ", format!("\n{lead}")),
                2 => ("\n", format!("\n\n{lead}")),
                _ => ("\n\n", format!("\n\n\n{lead}")),
            };
            value.push_str(meant);
            file.push_str(&written);
        }
        value.push_str(word);
        file.push_str(word);
    }
    (value, file)
}

proptest! {
    #[test]
    fn a_literal_block_maps_back(value in "[a-z:#'\"é中🙂 ]{0,4}(\n{0,2}[-a-z:#é中🙂 ]{0,6}){0,5}\n{0,2}", dress in dress()) {
        prop_assume!(!value.trim_matches([' ', '\n']).is_empty());
        let file = dress.file(&literal(&value, dress.indent, "|"));
        prop_assert_eq!(mapped(&file, Manner::Literal), value);
    }

    #[test]
    fn a_double_quoted_text_maps_back(value in "[-a-z:#'\"\\\\é中🙂 \n]{0,20}", escape: bool, dress in dress()) {
        let file = dress.file(&double(&value, escape));
        prop_assert_eq!(mapped(&file, Manner::Double), value);
    }

    #[test]
    fn a_text_of_several_lines_maps_back(
        words in prop::collection::vec(("w[a-z'é中]{0,4}", 0_u8..4), 1..6), dress in dress()
    ) {
        let (value, written) = folded(&words, dress.indent);
        let bare = !value.contains('\'');
        if bare {
            prop_assert_eq!(mapped(&dress.file(&written), Manner::Plain), value.clone());
        }
        prop_assert_eq!(mapped(&dress.file(&format!("\"{written}\"")), Manner::Double), value.clone());
        let quoted = written.replace('\'', "''");
        prop_assert_eq!(mapped(&dress.file(&format!("'{quoted}'")), Manner::Single), value.clone());
        let block = format!(">-\n{}{written}", " ".repeat(dress.indent + 3));
        prop_assert_eq!(mapped(&dress.file(&block), Manner::Folded), value);
    }

    #[test]
    fn a_change_of_the_value_is_a_change_of_the_file(
        value in "[a-z]{1,3}( [a-z']{1,3}){0,2}(\n[a-z: ]{1,4}){0,3}", from in 0_usize..30, length in 0_usize..9,
        text in "[a-z]{1,3}", dress in dress(), double_quoted: bool
    ) {
        let value = value.trim_end().to_owned();
        let span = from.min(value.len())..(from + length).min(value.len());
        let written = if double_quoted { double(&value, false) } else { literal(&value, dress.indent, "|") };
        let file = dress.file(&written);
        let edit = Edit { span: span.clone(), text: text.clone() };
        let moved = read("file", &file).values["notify-email"].scalar.edit(&edit).unwrap();
        let changed = PatchedText::new(&file, &[moved]).text;
        let mut expected = value;
        expected.replace_range(span, &text);
        let read = read("file", &changed);
        prop_assert_eq!(read.values["notify-email"].scalar.value(), expected);
    }

    #[test]
    fn nothing_that_is_read_ends_in_a_panic(text in "[-a-z:|>\"'{}\\[\\] \t\n/#*&é：]{0,80}") {
        let document = read("file", &format!("data:\n{text}"));
        for value in document.values.values() {
            value.scalar.place(&(0..value.scalar.value().len()));
        }
        read("file", &text);
    }
}

fn apply(file: &str) -> String {
    let document = read("file", file);
    let edits: Vec<Edit> = document.diagnostics.iter().flat_map(|d| d.edits.clone()).collect();
    PatchedText::new(file, &edits).text
}

fn found(file: &str) -> Vec<String> {
    let place = |d: &Diagnostic| {
        let at =
            crate::cli::diagnostic::Lines::of(file).position(file, d.span.clone().unwrap_or_default().start);
        format!("{} {} {}:{}", d.code, d.key, at.line, at.column)
    };
    read("file", file).diagnostics.iter().map(place).collect()
}

#[test]
fn each_mistake_is_reported_at_its_place_and_repaired() {
    for (file, findings, repaired) in [
        ("data:\n  notify-email:\"a\"\n", vec!["ACR404 notify-email 2:15"], "data:\n  notify-email: \"a\"\n"),
        (
            "data:\n  acr-registry-info:|\n    - instanceId:\"\"\n",
            vec!["ACR404 acr-registry-info 2:20"],
            "data:\n  acr-registry-info: |\n    - instanceId:\"\"\n",
        ),
        (
            "data:\r\n  notify-email：\"a\"\r\n",
            vec!["ACR408 notify-email 2:15"],
            "data:\r\n  notify-email: \"a\"\r\n",
        ),
        (
            "data:\n\tservice-account: a\n\tacr-registry-info: |\n\t\t- instanceId: \"\"\n",
            vec!["ACR407 data 2:1", "ACR407 data 3:1", "ACR407 data 4:1"],
            "data:\n  service-account: a\n  acr-registry-info: |\n    - instanceId: \"\"\n",
        ),
        (
            "data:\n  acr-registry-info: |\n    - instanceId: a\n\t\n    - instanceId: b\n",
            vec!["ACR407 data 4:1"],
            "data:\n  acr-registry-info: |\n    - instanceId: a\n\n    - instanceId: b\n",
        ),
        (
            "data:\n  service-account: \"a\" // b\n",
            vec!["ACR406 service-account 2:24"],
            "data:\n  service-account: \"a\" # b\n",
        ),
        (
            "data:\n  service-account: a // b\n",
            vec!["ACR406 service-account 2:22"],
            "data:\n  service-account: a # b\n",
        ),
        (
            "// b\ndata:\n  service-account: \"a\"//b\n",
            vec!["ACR406 data 1:1", "ACR406 service-account 3:23"],
            "# b\ndata:\n  service-account: \"a\" #b\n",
        ),
        (
            "data:\n  service-account: *\n",
            vec!["ACR411 service-account 2:20"],
            "data:\n  service-account: \"*\"\n",
        ),
        (
            "data:\n  acr-registry-info:\n  - instanceId: \"\"\n    regionId: a\n  rrsa:\n    enable: true\n",
            vec!["ACR704 acr-registry-info 2:3", "ACR704 rrsa 5:3"],
            "data:\n  acr-registry-info: |\n    - instanceId: \"\"\n      regionId: a\n  rrsa: |\n    enable: true\n",
        ),
        (
            "data:\n  acr-registry-info: |\n  - instanceId: \"\"\n    regionId: a\n  rrsa: \"\"\n",
            vec!["ACR409 acr-registry-info 2:3"],
            "data:\n  acr-registry-info: |\n    - instanceId: \"\"\n      regionId: a\n  rrsa: \"\"\n",
        ),
        (
            "data:\n  acr-registry-info: |\n  instanceId: cri-a\n  regionId: a\n  rrsa: |\n  enable: true\n  service-account: a\n",
            vec!["ACR409 acr-registry-info 2:3", "ACR409 rrsa 5:3"],
            "data:\n  acr-registry-info: |\n    instanceId: cri-a\n    regionId: a\n  rrsa: |\n    enable: true\n  service-account: a\n",
        ),
        (
            "data:\n  acr-registry-info:\n    service-account: a\n    rrsa: |\n      enable: true\n",
            vec!["ACR114 acr-registry-info 2:3"],
            "data:\n  acr-registry-info:\n  service-account: a\n  rrsa: |\n    enable: true\n",
        ),
        ("service-account: [a, b]\n", vec!["ACR704 service-account 1:1"], "service-account: \"a,b\"\n"),
        (
            "service-account:\n- a\n- b\nrrsa: ''\n",
            vec!["ACR704 service-account 1:1"],
            "service-account: \"a,b\"\nrrsa: ''\n",
        ),
        (
            "data: {acr-registry-info: [{instanceId: \"\"}]}\n",
            vec!["ACR704 acr-registry-info 1:8"],
            "data: {acr-registry-info: '[{instanceId: \"\"}]'}\n",
        ),
        ("expiring-threshold: 15\n", vec!["ACR707 expiring-threshold 1:21"], "expiring-threshold: \"15\"\n"),
        (
            "service-account: a\nservice-account: b\n",
            vec!["ACR112 service-account 2:1"],
            "service-account: a\nservice-account: b\n",
        ),
    ] {
        assert_eq!(found(file), findings, "{file}");
        assert_eq!(apply(file), repaired);
        if repaired != file {
            assert_eq!(found(repaired), [""; 0], "{repaired}");
        }
    }
}

#[test]
fn what_is_right_is_left_alone() {
    for file in [
        "data:\n  acr-registry-info: |\n    - instanceId: \"\" // a\n\n    x:\"y\"\n  rrsa: |-\n    enable: true\n",
        "data:\n  notify-email: \"http://a\n    rrsa:\n      b: //c\"\n",
        "data:\n  acr-registry-info: # none\n  notify-email:\n  rrsa: ''\n",
        "# kubectl get\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\ndata:\n  rrsa: >\n    enable: true\n",
    ] {
        assert_eq!(found(file), [""; 0], "{file}");
    }
}

#[test]
fn an_irreparable_value_says_why() {
    assert_eq!(found("data:\n  service-account: [a\n"), ["ACR401 data 2:20"]);
    assert_eq!(found("kind: Secret\ndata:\n  a: b\n"), ["ACR702 data 1:1"]);
    assert_eq!(found(""), ["ACR702 data 1:1"]);
    let file = "data:\n  rrsa: &r {enable: true}\n  webhook-configuration: *r\n";
    assert_eq!(found(file), ["ACR401 data 3:26"]);
    assert!(read("file", file).diagnostics.iter().any(|d| d.message.contains("write it out")));
}

#[test]
fn lines_put_into_a_block_take_its_indent_and_lines_taken_out_leave_none() {
    let file = "data:\r\n  notify-email: |\r\n    a\r\n    b\r\n    c\r\n";
    let changed = |span, text: &str| {
        let edit = Edit { span, text: text.to_owned() };
        let moved = read("file", file).values["notify-email"].scalar.edit(&edit).unwrap();
        PatchedText::new(file, &[moved]).text
    };
    assert_eq!(changed(2..4, ""), "data:\r\n  notify-email: |\r\n    a\r\n    c\r\n");
    // The last line takes its own indent along.
    assert_eq!(changed(4..6, ""), "data:\r\n  notify-email: |\r\n    a\r\n    b\r\n");
    assert_eq!(changed(2..4, "x\ny\n"), "data:\r\n  notify-email: |\r\n    a\r\n    x\r\n    y\r\n    c\r\n");
    assert_eq!(changed(2..3, "x\ny"), "data:\r\n  notify-email: |\r\n    a\r\n    x\r\n    y\r\n    c\r\n");
}

#[test]
fn a_plain_text_is_quoted_when_it_would_be_something_else() {
    let changed = |file: &str, text: &str| {
        let document = read("file", file);
        let scalar = &document.values["notify-email"].scalar;
        let edit = Edit { span: 0..scalar.value().len(), text: text.to_owned() };
        PatchedText::new(file, &[scalar.edit(&edit).unwrap()]).text
    };
    assert_eq!(changed("notify-email: a\n", "b,c"), "notify-email: b,c\n");
    for text in ["*", "a: b", "true", "15", "a #b", "\"", ""] {
        let file = changed("notify-email: a # c\n", text);
        assert_eq!(read("file", &file).values["notify-email"].scalar.value(), text, "{file}");
    }
}

#[test]
fn an_empty_value_is_rewritten_without_a_second_text() {
    let changed = |file: &str| {
        let edit = Edit { span: 0..0, text: "default".to_owned() };
        let document = read("file", file);
        let moved = document.values["notify-email"].scalar.edits(&[edit])?;
        Some(PatchedText::new(file, &moved).text)
    };
    for empty in ["\"\"", "''", "~", "null"] {
        let file = changed(&format!("data:\n  notify-email: {empty} # none\n")).unwrap();
        assert_eq!(file, "data:\n  notify-email: \"default\" # none\n", "{empty}");
    }
    let json = changed("{\"data\":{\"notify-email\":\"\"}}").unwrap();
    assert_eq!(json, "{\"data\":{\"notify-email\":\"default\"}}");
    // Nothing is there to replace.
    for file in ["notify-email:\n", "notify-email: |\nrrsa: ''\n", "notify-email: >-\n"] {
        assert_eq!(changed(file), None, "{file}");
    }
}

#[test]
fn a_template_is_not_looked_into_but_named() {
    for file in [
        "data:\n  watch-namespace: {{ .Values.namespaces }}\n",
        "data:\n  watch-namespace: \"{{ .Values.namespaces }}\"\n",
        "{{- if .Values.enabled }}\ndata:\n  service-account: *\n{{- end }}\n",
    ] {
        let document = read("file", file);
        let codes: Vec<&str> = document.diagnostics.iter().map(|d| d.code.as_str()).collect();
        assert_eq!((codes, document.holds_nothing()), (vec!["ACR713"], true), "{file}");
        assert!(document.diagnostics[0].message.contains("helm template"));
    }
    assert_eq!(found("# {{ rendered }} by hand\ndata:\n  service-account: a\n"), [""; 0]);
}

#[test]
fn findings_of_the_outer_document_are_bounded() {
    let document = read("file", &format!("data:\n{}", "\twatch-namespace：x\n".repeat(5_000)));
    assert!(document.diagnostics.len() <= 202, "{}", document.diagnostics.len());
    assert!(document.diagnostics.iter().any(|d| d.code.as_str() == "ACR907"));
}
