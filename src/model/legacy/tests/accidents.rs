//! What is in a text by accident: characters that do not show, lines of other languages, keys at several depths, and
//! text that another program was to replace.

use super::{codes, convert, data, info, of, only, reported, spec};
use crate::model::legacy::unrendered::HIDDEN;
use crate::model::legacy::{Conversion, apply_edits, from_addon_config, summarize};

const INFO: &str = "acr-registry-info";

/// Returns the value once there is nothing left to edit.
#[track_caller]
fn repaired(key: &str, value: &str) -> (String, Conversion) {
    let mut text = value.to_owned();
    for _ in 0..6 {
        let conversion = of(key, &text);
        let next = apply_edits(&text, key, &conversion.findings);
        if next == text {
            return (text, conversion);
        }
        text = next;
    }
    panic!("it never comes to rest: {text}");
}

/// Each is named, read as if it were not there, and gone once the edits are applied.
#[test]
fn each_sign_is_named_and_replaced_or_removed() {
    let clean = "- instanceId: cri-a1\n  regionId: cn-beijing\n  domains: \"a.com,b-c.com\"\n";
    let expected = info(clean).spec.unwrap();
    for (c, name, at) in [
        ('\u{a0}', "a no-break space (U+00A0)", " "),
        ('\u{2007}', "a figure space (U+2007)", " "),
        ('\u{202f}', "a narrow no-break space (U+202F)", " "),
        ('\u{3000}', "an ideographic space (U+3000)", " "),
        ('\u{200b}', "a zero-width space (U+200B)", ""),
        ('\u{200c}', "a zero-width non-joiner (U+200C)", ""),
        ('\u{200d}', "a zero-width joiner (U+200D)", ""),
        ('\u{2060}', "a word joiner (U+2060)", ""),
        ('\u{feff}', "a byte order mark (U+FEFF)", ""),
        ('\u{ad}', "a soft hyphen (U+00AD)", ""),
        ('\u{200e}', "a left-to-right mark (U+200E)", ""),
        ('\u{202e}', "a right-to-left override (U+202E)", ""),
        ('\u{2066}', "a left-to-right isolate (U+2066)", ""),
        ('\u{2028}', "a line separator (U+2028)", ""),
        ('\u{7f}', "a delete character (U+007F)", ""),
        ('\u{1b}', "an escape character (U+001B)", ""),
        ('\u{2010}', "a hyphen (U+2010)", "-"),
        ('\u{2011}', "a non-breaking hyphen (U+2011)", "-"),
        ('\u{2013}', "an en dash (U+2013)", "-"),
        ('\u{2014}', "an em dash (U+2014)", "-"),
        ('\u{2212}', "a minus sign (U+2212)", "-"),
        ('\u{ff0d}', "a full-width hyphen-minus (U+FF0D)", "-"),
        ('\u{ff0e}', "a full-width full stop (U+FF0E)", "."),
        ('\u{ff43}', "a full-width letter (U+FF43)", "c"),
        ('\u{3002}', "an ideographic full stop (U+3002)", "."),
    ] {
        let written = match at {
            "" => clean.replace("beijing", &format!("bei{c}jing")),
            " " => clean.replace(": cn", &format!(":{c}cn")),
            sign => clean
                .replacen(&format!("b{sign}"), &format!("b{c}"), 1)
                .replacen(&format!("a{sign}com,"), &format!("a{c}com,"), 1)
                .replace(": cn", &format!(": {}n", if sign == "c" { c } else { 'c' })),
        };
        let conversion = info(&written);
        assert_eq!(conversion.spec.as_ref(), Some(&expected), "{written:?}: {}", reported(&conversion));
        let [finding] = &conversion.findings[..] else { panic!("{written:?}: {}", reported(&conversion)) };
        assert!(finding.message.starts_with(name), "{finding}");
        let first = written.find(c).unwrap();
        assert_eq!(finding.span.clone().unwrap().start, first, "{finding}");
        let line = 1 + written[..first].matches('\n').count();
        assert_eq!(finding.line, Some(line as u32), "{finding}");
        let (text, left) = repaired(INFO, &written);
        assert_eq!((text.as_str(), codes(&left).len()), (clean, 0), "{written:?}");
    }
}

#[test]
fn signs_in_keys_indents_and_lists_are_found() {
    for (value, found, expected) in [
        (
            "- instanceId: cri-a\n\u{a0}\u{a0}regionId: cn-beijing\n",
            vec!["ACR413"],
            "- instanceId: cri-a\n  regionId: cn-beijing\n",
        ),
        (
            "- instanceId: cri-a\n\u{3000}regionId: cn-beijing\n",
            vec!["ACR408"],
            "- instanceId: cri-a\n  regionId: cn-beijing\n",
        ),
        ("-\u{a0}instanceId: cri-a\n", vec!["ACR413"], "- instanceId: cri-a\n"),
        ("- instance\u{200b}Id: cri-a\n", vec!["ACR413"], "- instanceId: cri-a\n"),
        ("– instanceId: cri–a\n", vec!["ACR414"], "- instanceId: cri-a\n"),
        (
            "- instanceId: cri-a\u{2028}  regionId: cn-beijing\n",
            vec!["ACR413"],
            "- instanceId: cri-a\n  regionId: cn-beijing\n",
        ),
        ("- instanceId: “cri-a”\n", vec!["ACR131"], "- instanceId: cri-a\n"),
        (
            "- instanceId: cri-a\u{a0}# 说明\u{3000}——。\n",
            vec!["ACR413"],
            "- instanceId: cri-a # 说明\u{3000}——。\n",
        ),
    ] {
        let before = info(value);
        assert_eq!(codes(&before), found, "{value:?}: {}", reported(&before));
        let (text, left) = repaired(INFO, value);
        assert_eq!((text.as_str(), codes(&left)), (expected, vec![]), "{value:?}");
        assert_eq!(left.spec, before.spec);
    }
    let quotes = reported(&info("- instanceId: “cri-a”\n"));
    assert!(
        quotes.contains("a left double quotation mark (U+201C), a right double quotation mark (U+201D)"),
        "{quotes}"
    );
    let names = of("watch-namespace", "shop，\u{a0}pay–ments");
    assert_eq!(spec(&names).watch_namespaces.names, ["shop", "pay-ments"]);
    assert!(reported(&names).contains("a full-width comma (U+FF0C)"), "{}", reported(&names));
    // A comment may have any sign, and a file a mark at its beginning.
    for value in ["\u{feff}- instanceId: cri-a\n", "# a\u{a0}b – c\n- instanceId: cri-a\n"] {
        assert_eq!(codes(&info(value)), [""; 0], "{value:?}");
    }
}

/// Two signs a line in a thousand lines, fifty in each of a hundred, and a hundred in one line. The bounds of all findings
/// stop no row but the first.
#[test]
fn signs_and_variables_are_bounded() {
    let mut beyond = Vec::new();
    let signs =
        |count: usize| format!("- instanceId: cri-a\n  domains: \"{}\"\n", "a\u{200b}.com,".repeat(count));
    for (what, value, codes, most_found, most_edits) in [
        (
            "lines of signs",
            "- instanceId: cri\u{2013}a\u{200b}\n".repeat(1_000),
            ["ACR413", "ACR414"],
            200,
            200,
        ),
        ("text", signs(50).repeat(100), ["ACR413"; 2], 100, 1_024),
        ("line", signs(100), ["ACR413", "ACR414"], 1, 0),
        ("lines", "- instanceId: ${X}\n".repeat(1_000), ["ACR720"; 2], 100, 0),
        ("list", format!("- domains: \"{}\"\n", "${X},".repeat(10_000)), ["ACR720"; 2], 100, 0),
    ] {
        let conversion = info(&value);
        assert!(conversion.findings.len() <= 201, "{}", conversion.findings.len());
        let of_codes: Vec<_> =
            conversion.findings.iter().filter(|finding| codes.contains(&finding.code.as_str())).collect();
        let edits: usize = of_codes.iter().map(|finding| finding.edits.len()).sum();
        assert!(!of_codes.is_empty() && (conversion.has_errors() || conversion.spec.is_some()));
        if of_codes.len() > most_found || edits > most_edits {
            beyond.push((what, of_codes.len(), edits));
        }
    }
    assert!(beyond.is_empty(), "{beyond:?}");
}

#[test]
fn the_keys_of_a_map_are_written_at_one_depth() {
    for (value, line, manner) in [
        (
            "enable: true\n  failure-policy: Fail\n  timeout-seconds: 5",
            2,
            "(failure-policy) is indented deeper than enable:",
        ),
        (
            "enable: true\nfailure-policy: Fail\n    timeout-seconds: 5\n",
            3,
            "(timeout-seconds) is indented deeper than enable:",
        ),
        (
            "  enable: true\nfailure-policy: Fail\n timeout-seconds: 5\n",
            2,
            "(failure-policy) is indented less than enable:",
        ),
        (
            "enable: true\n\tfailure-policy: Fail\n\ttimeout-seconds: 5\n",
            2,
            "(failure-policy) begins with a tab, unlike enable:",
        ),
        (
            "timeout-seconds: 5\n  failure-policy: Fail\n    enable: true\n",
            2,
            "(failure-policy) is indented deeper than timeout-seconds:",
        ),
        (
            "enable: true\r\n  failure-policy: Fail\r\n  timeout-seconds: 5\r\n",
            2,
            "(failure-policy) is indented deeper than enable:",
        ),
        (
            "# c\nenable: true # on\n  failure-policy:Fail\n  timeout-seconds: 5\n",
            3,
            "(failure-policy) is indented deeper than enable:",
        ),
    ] {
        let before = of("webhook-configuration", value);
        let mut found = codes(&before);
        found.retain(|code| *code != "ACR101" && *code != "ACR404");
        assert_eq!(found, ["ACR415"], "{value:?}: {}", reported(&before));
        let finding = before.findings.iter().find(|finding| finding.code.as_str() == "ACR415").unwrap();
        assert!(
            finding
                .message
                .starts_with(&format!("line {line} of the value {manner} write all keys at one depth")),
            "{finding}"
        );
        assert_eq!((finding.key.as_str(), finding.line), ("webhook-configuration", Some(line)));
        let (text, left) = repaired("webhook-configuration", value);
        assert_eq!(codes(&left), ["ACR101"], "{value:?} became {text:?}");
        let webhook = &spec(&left).webhook;
        assert_eq!(
            (webhook.enable, format!("{:?}", webhook.failure_policy), webhook.timeout_seconds),
            (true, "Fail".to_owned(), 5)
        );
        assert_eq!(left.spec, before.spec);
    }
    // A map below a key without a value is one.
    let deeper = of("webhook-configuration", "enable: true\nselector:\n  a: b\n");
    assert!(!codes(&deeper).contains(&"ACR415"), "{}", reported(&deeper));
    let unknown = of("webhook-configuration", "enable: true\n  selector: a\n  failure-policy: Fail\n");
    assert!(codes(&unknown).contains(&"ACR415") && spec(&unknown).webhook.enable, "{}", reported(&unknown));
    let rrsa = convert(&data(&[("rrsa", "  enable: true\nother: a\n"), (INFO, "- instanceId: cri-a\n")]));
    assert!(codes(&rrsa).contains(&"ACR415"), "{}", reported(&rrsa));
    let entry = reported(&info("- instanceId: cri-a\n    regionId: cn-beijing\n"));
    assert!(
        entry.contains(
            "line 2 of the value (regionId) is indented deeper than instanceId: write all keys of an entry"
        ),
        "{entry}"
    );
}

#[test]
fn a_sign_of_the_manifest_or_of_another_language_is_taken_out() {
    let entry = "- instanceId: cri-a\n  regionId: cn-beijing\n";
    let deep = "  - instanceId: cri-a\n    regionId: cn-beijing\n";
    for (value, expected) in [
        (format!("|\n{deep}"), deep.to_owned()),
        (format!("|-\n{entry}"), entry.to_owned()),
        (format!("# ours\n>-\r\n{entry}"), format!("# ours\n{entry}")),
        (format!("  |+\n{deep}"), deep.to_owned()),
        (format!("|2 # two\n{deep}"), deep.to_owned()),
        (format!("```yaml\n{entry}```\n"), entry.to_owned()),
        (format!("```\n{entry}```"), entry.trim_end().to_owned()),
        (format!("<<EOT\n{entry}EOT\n"), entry.to_owned()),
        (format!("<<-\"EOF\"\n|\n{deep}EOF"), deep.trim_end().to_owned()),
        (format!("{entry}EOF\n"), entry.to_owned()),
        ("| - instanceId: cri-a\n  regionId: cn-beijing\n".to_owned(), entry.to_owned()),
    ] {
        let before = info(&value);
        assert!(codes(&before).iter().all(|code| *code == "ACR416"), "{value:?}: {}", reported(&before));
        let (text, left) = repaired(INFO, &value);
        assert_eq!((text.as_str(), codes(&left)), (expected.as_str(), vec![]), "{value:?}");
        assert_eq!(only(&left).region_id.as_deref(), Some("cn-beijing"));
        assert_eq!(left.spec, before.spec, "{value:?}");
    }
    let names = of("watch-namespace", "|\n  shop,pay\n");
    assert_eq!(spec(&names).watch_namespaces.names, ["shop", "pay"], "{}", reported(&names));
    assert!(codes(&names).contains(&"ACR416"));
    // A text in a block of its own is one.
    assert_eq!(codes(&info("- instanceId:\n    |-\n    cri-a\n")), [""; 0]);
    assert_eq!(codes(&of("service-account", "|")), ["ACR101", "ACR204"]);
}

/// Each is reported once, by its own words, and nothing else is reported of it.
#[test]
fn what_is_not_rendered_is_named_as_written_with_its_command() {
    for (text, code, command) in [
        ("${ACR_ID}", "ACR720", "envsubst < FILE | kubectl acr lint -"),
        ("${ACR_ID:=cri-a}", "ACR720", "flux envsubst --strict < FILE | kubectl acr lint -"),
        ("${ACR_ID:-cri-a}", "ACR720", "flux envsubst --strict < FILE"),
        ("$ACR_ID", "ACR720", "envsubst < FILE"),
        ("$(ACR_ID)", "ACR720", "kustomize build . | kubectl acr lint -"),
        ("%ACR_ID%", "ACR720", "sed 's|%ACR_ID%|VALUE|g' FILE | kubectl acr lint -"),
        ("@ACR_ID@", "ACR720", "sed 's|@ACR_ID@|VALUE|g' FILE"),
        ("@@ACR_ID@@", "ACR720", "sed 's|@@ACR_ID@@|VALUE|g' FILE"),
        ("__ACR_ID__", "ACR720", "sed 's|__ACR_ID__|VALUE|g' FILE"),
        ("#{ACR_ID}#", "ACR720", "sed 's|#{ACR_ID}#|VALUE|g' FILE"),
        ("#{acr.id}", "ACR720", "sed 's|#{acr.id}|VALUE|g' FILE"),
        ("((acr_id))", "ACR720", "spruce merge FILE"),
        ("(( grab meta.acr.id ))", "ACR720", "spruce merge FILE"),
        ("<path:secret/data/acr#id>", "ACR720", "argocd-vault-plugin generate FILE"),
        ("${var.acr_id}", "ACR720", "terraform show -json tfplan | kubectl acr lint -"),
        ("${module.acr[0].id}", "ACR720", "terraform show -json"),
        ("%{ if prod }", "ACR720", "terraform show -json"),
        ("${{ secrets.ACR_ID }}", "ACR720", "kubectl acr lint --live"),
        ("%(acr_id)s", "ACR720", "jsonnet FILE"),
        ("ref+vault://secret/acr#/id", "ACR720", "vals eval -f FILE"),
        ("op://vault/acr/id", "ACR720", "op inject -i FILE"),
        ("{{ .Values.acr.id }}", "ACR713", "helm template RELEASE CHART | kubectl acr lint -"),
        ("{{ getenv \"ACR_ID\" }}", "ACR713", "gomplate -f FILE"),
        ("{{ acr_id }}", "ACR713", "jinja2 FILE"),
        ("{{ key }}", "ACR713", "jinja2 FILE"),
        ("{{ key(\"acr/id\") }}", "ACR713", "jinja2 FILE"),
        ("{{ key \"acr/id\" }}", "ACR713", "consul-template -once -template FILE:rendered.yaml"),
        (
            "{{- with secret \"secret/acr\" -}}",
            "ACR713",
            "consul-template -once -template FILE:rendered.yaml",
        ),
        (
            "{{ keyOrDefault `acr/id` `cri-a` }}",
            "ACR713",
            "consul-template -once -template FILE:rendered.yaml",
        ),
        ("[[ .AcrId ]]", "ACR713", "gomplate -f FILE"),
        ("<%= acr_id %>", "ACR713", "erb FILE"),
        (
            "ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]",
            "ACR722",
            "sops -d FILE | kubectl acr lint -",
        ),
        ("<no value>", "ACR720", "render the file again"),
        ("(known after apply)", "ACR720", "render the file again"),
        ("<your-instance-id>", "ACR124", "write the text that belongs there"),
        ("<实例 ID>", "ACR124", "write the text that belongs there"),
    ] {
        let shown = if code == "ACR722" { "ENC[AES256_GCM,…]" } else { text };
        for quote in ["", "\"", "'"].iter().filter(|quote| **quote != "\"" || !text.contains('"')) {
            let value =
                format!("- instanceId: {quote}{text}{quote}\n  domains: A.com\n- instanceId: cri-b\n");
            let conversion = info(&value);
            let mut found = codes(&conversion);
            found.sort_unstable();
            let mut expected = vec![code, "ACR120"];
            expected.sort_unstable();
            assert_eq!(found, expected, "{value}: {}", reported(&conversion));
            let finding = conversion.findings.iter().find(|finding| finding.code.as_str() == code).unwrap();
            assert_eq!(finding.key, "acr-registry-info[0].instanceId", "{value}");
            assert!(finding.message.starts_with(&format!("{shown} is ")), "{finding}");
            assert!(finding.message.contains(command), "{finding}");
            assert_eq!(&value[finding.span.clone().unwrap()], text);
            // The literal entry is served.
            assert_eq!(only(&conversion).instance_id.as_deref(), Some("cri-b"), "{value}");
            assert!(summarize(&conversion.findings).contains(shown), "{}", summarize(&conversion.findings));
        }
        let names = of("watch-namespace", &format!("shop,{text},Bad_Name"));
        let found: Vec<&str> = codes(&names).into_iter().filter(|code| *code != "ACR101").collect();
        if !text.contains(' ') {
            assert_eq!(found, [code, "ACR204"], "{text}: {}", reported(&names));
            assert_eq!(spec(&names).watch_namespaces.names, ["shop"]);
            let message = &names.findings.iter().find(|f| f.code.as_str() == "ACR204").unwrap().message;
            assert!(message.contains("left out: \"Bad_Name\";"), "{message}");
        }
        let json =
            format!("{{\"AcrInstanceInfo\": [{{\"instanceId\": {text:?}}}, {{\"instanceId\": \"cri-b\"}}]}}");
        if !text.contains('"') {
            let addon = from_addon_config(&json);
            assert_eq!(codes(&addon), [code], "{json}: {}", reported(&addon));
            assert_eq!(only(&addon).instance_id.as_deref(), Some("cri-b"));
        }
    }
}

/// Nothing is made up for a text that is missing as a whole.
#[test]
fn a_whole_that_is_not_rendered_leaves_no_binding() {
    for value in [
        "${REGISTRIES}",
        "- instanceId: cri-a\n${MORE}\n",
        "{% for x in y %}\n- instanceId: cri-a\n{% endfor %}\n",
        "<<<<<<< HEAD\n- instanceId: cri-a\n=======\n- instanceId: cri-b\n>>>>>>> b\n",
    ] {
        let conversion = info(value);
        assert_eq!(conversion.spec, None, "{value}: {}", reported(&conversion));
        let named = ["ACR720", "ACR713", "ACR723"];
        assert!(
            codes(&conversion).iter().all(|code| named.contains(code)),
            "{value}: {}",
            reported(&conversion)
        );
    }
    let rrsa = convert(&data(&[("rrsa", "enable: ${RRSA}"), (INFO, "- instanceId: cri-a\n")]));
    assert_eq!((codes(&rrsa), rrsa.spec), (vec!["ACR720"], None));
    let email = convert(&data(&[("notify-email", "${MAIL}"), (INFO, "- instanceId: cri-a\n")]));
    assert_eq!((codes(&email), spec(&email).notify_email.as_deref()), (vec!["ACR720"], None));
    // Neither a comment nor a sign that means itself.
    for value in [
        "- instanceId: cri-a # ${X} {{ y }}\n",
        "- &d {regionId: cn-beijing}\n- {<<: *d, instanceId: cri-a}\n",
        "#- instanceId: <id>\n- instanceId: cri-a\n",
    ] {
        let found = info(value);
        assert!(codes(&found).iter().all(|code| ["ACR102"].contains(code)), "{value}: {}", reported(&found));
    }
    assert_eq!(codes(&of("notify-email", "Ops <ops@example.com>")), ["ACR101"]);
}

#[test]
fn nothing_of_a_secret_is_echoed_and_no_key_pair_is_made_of_a_variable() {
    for (id, secret) in [
        ("${AK}", "${SK:-SECRETSECRET}"),
        ("LTAI5tQnKxyzAAAA", "${SK:=SECRETSECRET}"),
        ("<LTAISECRETSECRET>", "<SECRETSECRET>"),
        ("{{ acr_key }}", "ENC[AES256_GCM,SECRETSECRET]"),
    ] {
        let value =
            format!("- instanceId: cri-b\n- customAccessKey: {id}\n  customAccessKeySecret: {secret}\n");
        let conversion = info(&value);
        assert!(conversion.key_pairs.is_empty() && spec(&conversion).registries.len() == 1, "{value}");
        let echoed = reported(&conversion);
        assert!(!echoed.contains("SECRETSECRET"), "{value}: {echoed}");
        assert!(!format!("{conversion:?}").contains(HIDDEN), "{conversion:?}");
    }
}
