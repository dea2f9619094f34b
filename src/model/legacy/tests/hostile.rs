//! With any content of the ConfigMap: no panic, no secret reported, nothing without bounds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::samples::{SAMPLES, cured, read};
use super::{convert, data, info, marks, of, reported};
use crate::api::legacy::KEYS;
use crate::model::legacy::validate::validate;
use crate::model::legacy::{Code, Conversion, Finding, apply_edits, from_addon_config, summarize, to_data};

const ID: &str = "LTAI5tQnKxyzAAAA";
const SECRET: &str = "8fJq2mUvS3cR3tWx";

/// Checks the promises of every conversion.
fn sound(conversion: &Conversion) {
    if let Some(spec) = &conversion.spec {
        assert_eq!(validate(spec), []);
    } else {
        assert!(conversion.has_errors() && conversion.key_pairs.is_empty());
    }
    for finding in &conversion.findings {
        let line = finding.to_string();
        assert!(!line.contains('\n') && line.chars().count() < 600, "{line}");
    }
    assert!(summarize(&conversion.findings).len() <= 1024);
}

/// Checks the places and edits within the values.
fn placed(data: &BTreeMap<String, String>, conversion: &Conversion) {
    for (key, value) in data {
        let of_key = conversion.findings.iter().filter(|f| f.data_key() == key);
        let mut edits = Vec::new();
        for finding in of_key {
            if let Some(span) = &finding.span {
                assert!(value.get(span.clone()).is_some(), "{finding:?}");
                let before = &value[..span.start];
                let line = 1 + before.matches('\n').count();
                let column = 1 + before.rsplit('\n').next().unwrap().replace('\u{feff}', "").chars().count();
                assert_eq!((finding.line, finding.column), (Some(line as u32), Some(column as u32)));
            }
            edits.extend(finding.edits.iter().map(|edit| edit.span.clone()));
        }
        edits.sort_by_key(|span| (span.start, span.end));
        for pair in edits.windows(2) {
            assert!(pair[0].end <= pair[1].start && pair[0] != pair[1], "{edits:?}");
        }
        assert!(edits.iter().all(|span| value.get(span.clone()).is_some()));
    }
}

#[test]
fn no_key_pair_shows_in_debug_or_in_a_finding() {
    let pair = format!("  customAccessKey: {ID}\n  customAccessKeySecret: {SECRET}\n");
    let cases = [
        format!("- instanceId: cri-a\n{pair}"),
        format!("- instanceId: nonsense\n{pair}"),
        format!("- instanceId: cri-a\n{pair}{pair}"),
        format!("- instanceId: cri-a\n{pair}  customAccessKeySecret: other\n"),
        format!("- instanceId: cri-a\n  customAccessKey: “{ID}”\n  customAccessKeySecret: [{SECRET}]\n"),
        format!("- instanceId: cri-a\n{pair}- instanceId: cri-a\n{pair}"),
        // Another key slips into a value by its indent, its colon or its comma.
        format!("- instanceId: cri-a\n   customAccessKeySecret:{SECRET}\n"),
        format!("- regionId: cn-beijing\n   customAccessKeySecret：{SECRET}\n"),
        format!("- regionId: cn-beijing\n   custom-key：{SECRET}\n"),
        format!("- assumeRoleARN: x\n   custom-key:{SECRET}\n"),
        format!("- domains: a.com\n   custom-key:{SECRET}\n"),
        format!("- domains: a.com,\n   customAccessKeySecret:{SECRET}\n"),
        format!("- domains: a.com,customAccessKeySecret:{SECRET}\n"),
        format!("- instanceId: cri-a,customAccessKeySecret:{SECRET}\n"),
        format!("- assumeRoleARN: x\n   customAccessKeySecret：{SECRET}\n"),
        format!("- {{instanceId: cri-a, customAccessKey:{ID}, secret:{SECRET}}}\n"),
        format!("- customAccessKeySecret:{SECRET}\n"),
        format!(
            "- instanceId: \"\"\n  customAccessKey: \"{ID}\" // id\n  customAccessKeySecret: \"{SECRET}\"\n"
        ),
        format!("- instanceId: cri-a\n{pair}\tregionId: x\n"),
        format!("customAccessKeySecret: {SECRET}"),
        SECRET.to_owned(),
    ];
    for text in cases {
        let conversion = info(&text);
        sound(&conversion);
        let shown = format!("{conversion:?} {:#?} {}", conversion.key_pairs, reported(&conversion));
        assert!(!shown.contains(SECRET) && !shown.contains(ID), "{text}\n{shown}");
    }
}

#[test]
fn a_value_over_one_mebibyte_is_refused() {
    for key in KEYS {
        let conversion = of(key, &"#".repeat((1 << 20) + 1));
        assert_eq!(conversion.spec, None, "{key}");
        assert_eq!(marks(&conversion), [format!("E {key}")]);
    }
    assert!(info(&"#".repeat(1 << 20)).spec.is_some());
}

/// Each of these would take a careless reader minutes, or all memory.
#[test]
fn what_is_meant_to_hurt_is_answered() {
    let bomb = (1..12).fold("- &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, i| {
        format!("{text}- &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(","))
    });
    let mebibyte = |unit: &str| unit.repeat((1 << 20) / unit.len());
    for (key, value) in [
        ("acr-registry-info", bomb),
        ("acr-registry-info", "[".repeat(100_000)),
        ("acr-registry-info", "{a: ".repeat(100_000)),
        ("acr-registry-info", "- ".repeat(100_000)),
        ("acr-registry-info", mebibyte("- instanceId: cri-a\n")),
        ("acr-registry-info", format!("- instanceId: \"{}\"", "cri-a,x".repeat(100_000))),
        ("acr-registry-info", format!("- domains: \"{}\"", "A_b,,".repeat(100_000))),
        ("acr-registry-info", format!("- {{{}}}", "é,".repeat(4_000))),
        // Each of these is repaired, entry by entry or line by line, before it is given up.
        ("acr-registry-info", format!("- a: \"\n{}", "- instanceId:\"x\"\n".repeat(10_000))),
        ("acr-registry-info", format!("- a: \"\n{}", format!("- [{}\n", "*a,".repeat(1_000)).repeat(80))),
        ("acr-registry-info", mebibyte("\tinstanceId：\"x\",\"y\" //\n")),
        ("acr-registry-info", mebibyte("\u{3000}")),
        ("acr-registry-info", format!("- instanceId: \"{}", "\",\"".repeat(60_000))),
        ("acr-registry-info", format!("- domains: \"a\"{}", " // #".repeat(40_000))),
        ("acr-registry-info", format!("- a: [\n{}", "watch-namespace: x\n".repeat(10_000))),
        ("acr-registry-info", "rrsa:\n".to_owned() + &" enable: x\n".repeat(20_000)),
        ("acr-registry-info", "#-instanceId:\n".repeat(15_000) + "- a: b"),
        // Each of these may begin a text that another program replaces.
        ("acr-registry-info", "- instanceId: ${X}\n".repeat(10_000)),
        ("acr-registry-info", "<".repeat(50_000)),
        ("acr-registry-info", "${".repeat(50_000)),
        ("acr-registry-info", "ENC[AES256_GCM,".repeat(20_000)),
        ("acr-registry-info", " ref+ op:// ((".repeat(10_000)),
        ("acr-registry-info", "<<<<<<<\n|\n```\n".repeat(10_000)),
        ("watch-namespace", "a\u{200b}\u{a0}–".repeat(30_000)),
        ("watch-namespace", "n,".repeat(1_000_000)),
        ("acr-registry-info", "\u{0}\u{1}\u{fffd}\u{7f}".to_owned()),
        ("watch-namespace", (0..150_000).map(|i| format!("n{i},")).collect()),
        ("watch-namespace", mebibyte("_,")),
        ("service-account", mebibyte(",，")),
        ("service-account", mebibyte("“")),
        ("expiring-threshold", mebibyte("1m")),
        ("expiring-threshold", mebibyte("min")),
        ("rrsa", "[".repeat(100_000)),
        ("webhook-configuration", mebibyte("a: b\n")),
        ("acr-registry", mebibyte("a,")),
    ] {
        let map = data(&[(key, &value)]);
        let conversion = convert(&map);
        sound(&conversion);
        // Checking the places one by one takes longer than finding them.
        if value.len() < 16_384 {
            placed(&map, &conversion);
        }
        assert!(!conversion.findings.is_empty(), "{key} {value:.20}");
        assert!(conversion.findings.len() <= 201);
        let grown: usize =
            conversion.findings.iter().flat_map(|f| &f.edits).map(|edit| edit.text.len()).sum();
        assert!(grown <= 256 * 1024);
        sound(&convert(&data(&[(key, &apply_edits(&value, key, &conversion.findings))])));
        let addon = from_addon_config(&value);
        sound(&addon);
        assert!(!addon.findings.is_empty() && addon.findings.len() <= 201);
    }
}

#[test]
fn what_is_meant_to_hurt_in_an_add_ons_json_is_answered() {
    let wrapped = |json: &str| (0..5).fold(json.to_owned(), |json, _| serde_json::to_string(&json).unwrap());
    for json in [
        wrapped("{}"),
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
        format!("{{\"AcrInstanceInfo\": [{}{{}}]}}", "{},".repeat(200_000)),
        format!("{{\"AcrInstanceInfo\": [{}{{}}]}}", "{\"instanceId\":\"x\"},".repeat(4_000)),
        format!("{{{}\"a\":1}}", "\"a\":1,".repeat(9_000)),
        format!("{{\"watchNamespace\": \"{}\"}}", "N,".repeat(400_000)),
        "\\\"{".repeat(200_000),
        "x".repeat((1 << 20) + 1),
    ] {
        let conversion = from_addon_config(&json);
        sound(&conversion);
        assert!(!conversion.findings.is_empty() && conversion.findings.len() <= 201, "{json:.30}");
    }
}

#[test]
fn every_truncation_of_an_add_ons_json_is_answered() {
    let escaped = serde_json::to_string(super::addon::SAMPLE).unwrap();
    for sample in [super::addon::SAMPLE, &escaped] {
        for (end, _) in sample.char_indices() {
            sound(&from_addon_config(&sample[..end]));
        }
    }
}

/// An edit is reported like a message is.
#[test]
fn no_edit_holds_a_key_pair() {
    let pair = format!("customAccessKey: {ID}\n  customAccessKeySecret: {SECRET}\n");
    for text in [
        format!("- {pair}").replace(": ", ":"),
        format!("- {pair}").replace(": ", "："),
        format!("- {pair}").replace(": ", ": “"),
        format!("- {pair}").replace(": ", ": *"),
        format!("- {pair}").replace('\n', " // x\n"),
        pair.replace("\n  ", "\n"),
        format!("- {pair}").replace("  ", "\t"),
        format!("- {pair}").replace("customAccessKeySecret: ", "customAccessKeySecret: \"a\",\""),
        format!("- instanceId: cri-a\n  domains: “a.com，{pair}"),
        format!("- instanceId: *{pair}"),
        format!("- instanceId: “{SECRET} x”\n"),
        format!("- instanceId: cri-a,cri-b\n  {pair}"),
        format!("- instanceId: cri-a,cri-b\n  secret: {SECRET}\n"),
        format!("- instanceId: cri-a,cri-b\n  regionId: customAccessKeySecret:{SECRET}\n"),
        format!("[{{InstanceId: cri-a, CustomAccessKey: {ID}, CUSTOMACCESSKEYSECRET: “{SECRET}”}}]"),
    ] {
        for conversion in [info(&text), from_addon_config(&format!("{{AcrInstanceInfo: {text}}}"))] {
            sound(&conversion);
            let shown = format!("{conversion:?} {}", reported(&conversion));
            assert!(!shown.contains(SECRET) && !shown.contains(ID), "{text}\n{shown}");
        }
    }
}

#[test]
fn every_truncation_of_a_sample_is_answered() {
    for sample in SAMPLES {
        for mut whole in [read(sample), cured(sample)] {
            whole.insert(
                "webhook-configuration".to_owned(),
                "enable: true\nfailure-policy: Ignore\n".to_owned(),
            );
            for (key, value) in &whole {
                for (end, _) in value.char_indices() {
                    let mut cut = whole.clone();
                    cut.insert(key.clone(), value[..end].to_owned());
                    let conversion = convert(&cut);
                    sound(&conversion);
                    placed(&cut, &conversion);
                }
            }
        }
    }
}

#[test]
fn the_same_data_gives_the_same_conversion() {
    for sample in SAMPLES {
        let (a, b) = (convert(&cured(sample)), convert(&cured(sample)));
        assert_eq!((a.spec, a.findings), (b.spec, b.findings));
    }
}

proptest! {
    #[test]
    fn any_strings_are_answered(values in proptest::collection::vec(any::<String>(), KEYS.len())) {
        let map: BTreeMap<String, String> = KEYS.iter().map(|k| (*k).to_owned()).zip(values).collect();
        let conversion = convert(&map);
        sound(&conversion);
        placed(&map, &conversion);
    }

    #[test]
    fn what_looks_like_configuration_is_answered(
        info in "(- |  |\t|instanceId: ?|regionId：|domains: |customAccessKeySecret:? ?|cri-a|\"|“|,|，|//|#|\n|\r\n|\\[|\\{|\\}|&a |\\*a|<<: |---|~|é){0,40}",
        names in "(all|\\*|[A-Za-z._-]{1,5}|,|，|\"|”| ){0,12}",
        threshold in "([0-9.]{1,4}|m|min|h|s| |µs){0,6}",
    ) {
        let map = data(&[
            ("acr-registry-info", &info), ("watch-namespace", &names), ("service-account", &names),
            ("expiring-threshold", &threshold), ("rrsa", &info), ("webhook-configuration", &info),
        ]);
        let conversion = convert(&map);
        sound(&conversion);
        placed(&map, &conversion);
    }
}

proptest! {
    #[test]
    fn any_text_is_answered_as_an_add_ons_json(
        text in any::<String>(),
        like in "(\\{|\\}|\\[|\\]|\"|\\\\\"|:|,| |\n|AcrInstanceInfo|instanceId|watchNamespace|cri-a|config|true|é){0,40}",
    ) {
        for json in [text, like.clone(), serde_json::to_string(&like).unwrap()] {
            let conversion = from_addon_config(&json);
            sound(&conversion);
            if let Some(spec) = &conversion.spec {
                let _ = to_data(spec);
            }
        }
    }

    /// What the edits leave is not worse than what was there.
    #[test]
    fn edits_do_no_harm(
        info in "(- |  |\t|instanceId: ?|regionId：|domains: |cri-a|cri-b|cn-beijing|\"|“|,|，|//|#|\n|\r\n|é|\\{|\\}|, |\u{200b}|\u{a0}|–|\u{2028}|\\|\n|```\n|EOT|\\$\\{X\\}|<x>){0,40}",
    ) {
        let before = convert(&data(&[("acr-registry-info", &info)]));
        let repaired = apply_edits(&info, "acr-registry-info", &before.findings);
        let after = convert(&data(&[("acr-registry-info", &repaired)]));
        sound(&after);
        if before.spec.is_some() && !before.has_errors() {
            prop_assert_eq!(&after.spec, &before.spec, "{:?} became {:?}", info, repaired);
        }
    }
}

fn finding(code: Code, message: &str) -> Finding {
    Finding {
        code,
        severity: code.severity(),
        key: "acr-registry-info[1].regionId".to_owned(),
        span: Some(40..41),
        line: Some(4),
        column: Some(2),
        message: message.to_owned(),
        edits: Vec::new(),
    }
}

#[test]
fn a_finding_is_one_line() {
    let mut one = finding(Code::RegionInvalid, "\"x\" is not a valid region");
    assert_eq!(one.to_string(), "ACR117 acr-registry-info[1].regionId line 4: \"x\" is not a valid region");
    one.line = None;
    assert_eq!(one.to_string(), "ACR117 acr-registry-info[1].regionId: \"x\" is not a valid region");
}

#[test]
fn a_summary_names_errors_first_and_counts_the_rest() {
    assert_eq!(summarize(&[]), "");
    let two = [finding(Code::RegionSpelling, "later"), finding(Code::RegionInvalid, "first")];
    let at = "acr-registry-info[1].regionId line 4";
    assert_eq!(summarize(&two), format!("ACR117 {at}: first; ACR118 {at}: later"));
    assert_eq!(summarize(&[finding(Code::EmptyList, "worth knowing")]), "");
    let many: Vec<_> = (0..100).map(|i| finding(Code::RegionInvalid, &format!("number {i}"))).collect();
    let summary = summarize(&many);
    let reported = summary.matches("number").count();
    assert!(reported > 5 && summary.ends_with(&format!("; and {} more", 100 - reported)), "{summary}");
    let wide = vec![finding(Code::RegionInvalid, &"字".repeat(400)); 5];
    let summary = summarize(&wide);
    assert!(summary.len() <= 1024 && summary.ends_with("; and 3 more"), "{summary}");
}
