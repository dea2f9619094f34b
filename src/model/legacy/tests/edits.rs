//! Edits that reach beyond one scalar: they leave what was read as it was, and nothing to say.

use super::{codes, data, of, reported, spec};
use crate::model::legacy::{Conversion, apply_edits, convert, from_addon_config};

const INFO: &str = "acr-registry-info";

/// Returns the text once there is nothing left to edit, and what it then comes to. One edit may be in another's
/// way, so that it takes a few rounds.
#[track_caller]
fn repaired(text: &str) -> (String, Conversion) {
    let mut text = text.to_owned();
    for _ in 0..4 {
        let conversion = of(INFO, &text);
        let next = apply_edits(&text, INFO, &conversion.findings);
        if next == text {
            return (text, conversion);
        }
        text = next;
    }
    panic!("it never comes to rest: {text}");
}

#[test]
fn what_can_be_written_by_machine_is() {
    for (text, expected) in [
        // Several instances in one entry.
        (
            "- instanceId: cri-a,cri-b # both\n  regionId: cn-beijing\n",
            "- instanceId: cri-a\n  regionId: cn-beijing\n- instanceId: cri-b # both\n  regionId: cn-beijing\n",
        ),
        (
            "  - instanceId: \"cri-a, cri-b，cri-c\"\n    regionId: \"cn-beijing\"\n    domains: \"\"\n    assumeRoleARN: acs:ram::1:role/r\n  - instanceId: cri-d\n",
            "  - instanceId: cri-a\n    regionId: \"cn-beijing\"\n    domains: \"\"\n    assumeRoleARN: acs:ram::1:role/r\n  - instanceId: cri-b\n    regionId: \"cn-beijing\"\n    domains: \"\"\n    assumeRoleARN: acs:ram::1:role/r\n  - instanceId: cri-c\n    regionId: \"cn-beijing\"\n    domains: \"\"\n    assumeRoleARN: acs:ram::1:role/r\n  - instanceId: cri-d\n",
        ),
        ("- instanceId: [cri-a, 'cri-b']\n", "- instanceId: cri-a\n- instanceId: cri-b\n"),
        (
            "- instanceId: cri-a,cri-b\r\n  regionId: cn-beijing\r\n",
            "- instanceId: cri-a\n  regionId: cn-beijing\n- instanceId: cri-b\r\n  regionId: cn-beijing\r\n",
        ),
        // Each in braces stays in braces, on a line of its own.
        (
            "- {instanceId: \"cri-a,cri-b\", regionId: cn-beijing}\n- {instanceId: cri-c}\n",
            "- {instanceId: \"cri-a\", regionId: cn-beijing}\n- {instanceId: \"cri-b\", regionId: cn-beijing}\n- {instanceId: cri-c}\n",
        ),
        (
            "  -  { instanceId: 'cri-a,cri-b' }",
            "  -  { instanceId: \"cri-a\"}\n  -  {instanceId: \"cri-b\" }",
        ),
        // A list in brackets, and lists in it.
        (
            "[{\"instanceId\": \"cri-a\", \"regionId\":\"cn-beijing\"}, {\"instanceId\": \"\"}]\n",
            "- \"instanceId\": \"cri-a\"\n  \"regionId\": \"cn-beijing\"\n- \"instanceId\": \"\"\n",
        ),
        (
            "[\n  {\n    instanceId: cri-a,\n    regionId: CN-beijing\n  }\n]",
            "- instanceId: cri-a\n  regionId: cn-beijing",
        ),
        (
            "[{instanceId: \"cri-a,cri-b\", domains: []}]",
            "- instanceId: cri-a\n  domains: \"\"\n- instanceId: cri-b\n  domains: \"\"",
        ),
        (
            "- instanceId: cri-a\n  domains: [a.com, 'B.com']\n",
            "- instanceId: cri-a\n  domains: \"a.com,b.com\"\n",
        ),
        (
            "- instanceId: cri-a\n  domains:\n    - a.com\n    - b.com # x\n  regionId: cn-beijing\n",
            "- instanceId: cri-a\n  domains: \"a.com,b.com\" # x\n  regionId: cn-beijing\n",
        ),
        // A repeated entry and a repeated key.
        // Of an entry for several, only the instance that repeats.
        ("- instanceId: cri-a\n- instanceId: cri-a,cri-b\n", "- instanceId: cri-a\n- instanceId: cri-b\n"),
        (
            "- instanceId: cri-a\n- instanceId: \"cri-a\"\n  domains: \"\" # again\n- instanceId: cri-b\n",
            "- instanceId: cri-a\n- instanceId: cri-b\n",
        ),
        ("- instanceId: cri-a\r\n- instanceId: cri-a\r\n", "- instanceId: cri-a\r\n"),
        ("- instanceId: cri-a\n- instanceId: cri-a\n  regionId:", "- instanceId: cri-a"),
        (
            "- {instanceId: cri-a}\n- {instanceId: cri-b}\n- {instanceId: cri-b}\n",
            "- {instanceId: cri-a}\n- {instanceId: cri-b}\n- {instanceId: cri-b}\n",
        ),
        (
            "- instanceId: cri-a\n  instanceId: cri-a\n  regionId: cn-beijing\n",
            "- instanceId: cri-a\n  regionId: cn-beijing\n",
        ),
        ("- {instanceId: cri-a, instanceId: cri-a}\n", "- {instanceId: cri-a}\n"),
        // Keys in another case, in brackets too.
        ("[{INSTANCEID: cri-a, 'RegionId': cn-beijing}]", "- instanceId: cri-a\n  \"regionId\": cn-beijing"),
    ] {
        let (written, left) = repaired(text);
        assert_eq!(written, expected, "{text}");
        assert_eq!(left.spec, of(INFO, text).spec, "{text} became {written}");
        // The third entry in braces on lines of its own has no comma to go with it.
        let expected: &[&str] = if text.starts_with("- {instanceId: cri-a}\n") { &["ACR109"] } else { &[] };
        assert_eq!(codes(&left), expected, "{text} became {written}: {}", reported(&left));
    }
}

/// A key on a line of its own must end on that line, which one in brackets need not.
#[test]
fn what_has_a_break_in_it_keeps_its_brackets() {
    for text in ["[{\"instance\r\rId\": cri-a}]", "[{\"instance\n\n  Id\": cri-a}]"] {
        let before = of(INFO, text);
        assert!(before.spec.is_some(), "{text:?}: {}", reported(&before));
        let (written, left) = repaired(text);
        assert!(written.starts_with('['), "{text:?} became {written:?}");
        assert_eq!(left.spec, before.spec, "{text:?} became {written:?}");
    }
}

/// Where only the user knows, the finding says so.
#[test]
fn what_only_the_user_knows_is_said() {
    for (text, why) in [
        (
            "- instanceId: cri-a,cri-b\n  domains: a.com,b.com\n",
            "which domain belongs to which, only you know",
        ),
        (
            "- instanceId: cri-a,cri-b\n  customAccessKey: LTAI\n  customAccessKeySecret: abc\n",
            "no key pair is printed",
        ),
        ("- regionId: cn-beijing\n  instanceId: cri-a,cri-b\n", "cannot be done by machine"),
    ] {
        let conversion = of(INFO, text);
        let found = conversion.findings.iter().find(|f| f.code.as_str() == "ACR115").unwrap();
        assert!(found.edits.is_empty() && found.message.contains(why), "{found}");
    }
    let hosts = of("acr-registry", "registry.cn-hangzhou.aliyuncs.com");
    assert!(reported(&hosts).contains("whose ID only you know"), "{}", reported(&hosts));
}

/// The text between is kept.
#[test]
fn a_comment_in_the_way_keeps_a_text_as_it_is() {
    for text in [
        "[ # all\n {instanceId: cri-a}, {instanceId: \"\"}]",
        "[{instanceId: cri-a # one\n}, {instanceId: \"\"}]",
        "- instanceId: cri-a\n  domains:\n    # mine\n    - a.com\n    - b.com\n",
        "- instanceId: cri-a\n  domains: [a.com, # mine\n   b.com]\n",
    ] {
        let (written, left) = repaired(text);
        assert_eq!(written, text);
        assert!(left.findings.iter().any(|finding| finding.edits.is_empty()));
    }
}

/// The quotes around a key pair are repaired one by one, so that no edit holds it.
#[test]
fn the_quotes_around_a_key_pair_are_repaired() {
    for (text, expected) in [
        ("“LTAI”", "\"LTAI\""),
        ("“ LTAI ”", "\"LTAI\""),
        ("\"“LTAI”\"", "\"LTAI\""),
        ("'\"LTAI\"'", "'LTAI'"),
        ("“LT'AI”", "“LT'AI”"),
    ] {
        let text = format!("- customAccessKey: {text}\n  customAccessKeySecret: abc\n");
        let (written, left) = repaired(&text);
        assert_eq!(written, format!("- customAccessKey: {expected}\n  customAccessKeySecret: abc\n"));
        let whole = expected.contains(['“', '”']);
        assert_eq!(codes(&left), if whole { &["ACR503", "ACR501"][..] } else { &["ACR501"] });
        let edits = of(INFO, &text).findings.into_iter().flat_map(|finding| finding.edits);
        assert!(edits.into_iter().all(|edit| !edit.text.contains("LT")));
    }
    // Two repeated entries with a pair are one without a word of it.
    let pair = "- customAccessKey: LTAI\n  customAccessKeySecret: abc\n";
    assert_eq!(repaired(&pair.repeat(2)).0, pair);
}

#[test]
fn json_stays_json() {
    let json = r#"{"AcrInstanceInfo": [{"instanceId": "cri-a,cri-b", "regionId": "cn-beijing", "domains": []}, {"instanceId": "cri-a", "regionId": "cn-beijing"}, {"instanceId": "cri-c", "domains": ["a.com", "b.com"], "domains": "a.com"}]}"#;
    let mut text = json.replace(", \"domains\": \"a.com\"", "");
    let before = from_addon_config(&text);
    for _ in 0..4 {
        let findings = from_addon_config(&text).findings;
        // All are in the one text, for every key.
        let mut edits: Vec<_> = findings.iter().flat_map(|finding| finding.edits.clone()).collect();
        edits.sort_by_key(|edit| std::cmp::Reverse((edit.span.start, edit.span.end)));
        edits.into_iter().for_each(|edit| text.replace_range(edit.span, &edit.text));
    }
    let after = from_addon_config(&text);
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    assert_eq!(codes(&after), [""; 0], "{text}: {}", reported(&after));
    assert_eq!(spec(&after).registries.len(), 3);
    assert_eq!(after.spec, before.spec);
}

/// A thousand findings do not help.
#[test]
fn findings_and_their_edits_are_bounded() {
    let many = (0..1_500).map(|i| format!("- instanceId: x{i}\n")).collect::<String>();
    let conversion = convert(&data(&[(INFO, &many)]));
    assert!(
        codes(&conversion).contains(&"ACR907") && conversion.findings.len() <= 201,
        "{}",
        conversion.findings.len()
    );
    let brackets = format!("[{}]", vec!["{instanceId: cri-a, regionId: cn-a}"; 900].join(", "));
    let edits: usize = of(INFO, &brackets).findings.iter().map(|finding| finding.edits.len()).sum();
    assert!(edits <= 2_048, "{edits}");
}
