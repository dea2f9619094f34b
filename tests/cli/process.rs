//! Exit codes, formats, colours and secrets.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::acr::{Done, acr, command, json, run, sample, text};
use crate::samples::{SAMPLES, cured};

const WARNING: &str = "acr-registry-info: |\n  - instanceId: cri-a1b2c3\n    regionId: CN-HANGZHOU\n";

#[test]
fn the_exit_code_reports_the_result() {
    let code = |args: &[&str], input: &str| acr(args, input).code;
    assert_eq!(code(&["lint", "-"], &WARNING.replace("CN-HANGZHOU", "cn-hangzhou")), Some(0));
    assert_eq!(code(&["lint", "-"], WARNING), Some(0));
    assert_eq!(code(&["lint", "--strict", "-"], WARNING), Some(1));
    assert_eq!(code(&["lint", "-"], "service-account: *\n"), Some(2));
    for format in ["json", "sarif"] {
        assert_eq!(code(&["lint", "--strict", "-o", format, "-"], WARNING), Some(1));
        assert_eq!(code(&["lint", "-o", format, "-"], "service-account: *\n"), Some(2));
    }
    assert_eq!(code(&["lint", "-"], ""), Some(2));
    assert_eq!(code(&["lint", "no-such-file.yaml"], ""), Some(2));
    assert_eq!(code(&["lint"], ""), Some(2));
    assert_eq!(code(&["lint", "--live", "-"], ""), Some(2));
    assert_eq!(code(&["convert", "-"], WARNING), Some(0));
    assert_eq!(code(&["convert", "-"], "acr-registry-info: nonsense\n"), Some(2));
    // Without a binding the cluster is not contacted.
    let planned = acr(&["plan", "-"], "acr-registry-info: nonsense\n");
    assert_eq!((planned.code, planned.out.as_str()), (Some(2), ""));
    assert!(planned.err.ends_with("no binding: fix the errors above first\n"), "{}", planned.err);
    let live = acr(&["lint", "--live"], "");
    assert_eq!(live.code, Some(2));
    assert!(live.err.contains("no kubeconfig"), "{}", live.err);
}

#[test]
fn programs_can_read_it() {
    for name in SAMPLES {
        let report = json(&sample(name));
        let count = |severity: &str| {
            report["findings"].as_array().unwrap().iter().filter(|f| f["severity"] == severity).count()
        };
        assert_eq!(report["errors"], count("error"));
        assert_eq!(report["warnings"], count("warning"));
        assert_eq!(report["notes"], count("note"));
        let sarif = acr(&["lint", "-o", "sarif", &format!("{name}.yaml")], "");
        let sarif: serde_json::Value = serde_json::from_str(&sarif.out).unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(results.len(), findings.len());
        for (result, finding) in results.iter().zip(findings) {
            let place = &result["locations"][0]["physicalLocation"];
            assert_eq!(place["artifactLocation"]["uri"], format!("{name}.yaml"));
            assert_eq!((&result["level"], &result["ruleId"]), (&finding["severity"], &finding["code"]));
            let message = format!("{}: {}", text(finding, "key"), text(finding, "message"));
            assert_eq!(text(&result["message"], "text"), message);
            // Both write the same in the same places.
            let replaced = result["fixes"][0]["artifactChanges"][0]["replacements"].as_array();
            let replaced = replaced.into_iter().flatten().map(|replacement| {
                let mut edit = replacement["deletedRegion"].clone();
                edit["text"] = replacement["insertedContent"]["text"].clone();
                edit
            });
            assert_eq!(&replaced.collect::<Vec<_>>(), finding["edits"].as_array().unwrap());
        }
    }
}

#[test]
fn a_pipe_gets_no_colours_nor_does_a_terminal_that_declines_them() {
    for value in ["", "1"] {
        let mut command = command(&["lint", "same-account.yaml"]);
        command.env("NO_COLOR", value).env("CLICOLOR_FORCE", "1").env("TERM", "xterm-256color");
        let done = run(command, "");
        assert!(!done.out.contains('\u{1b}') && done.out.contains("ACR404"));
    }
}

/// Runs the binary with a terminal as its output. Both outputs come as one text.
fn on_a_terminal(args: &[&str], no_color: Option<&str>) -> Done {
    let mut command = command(args);
    command.env_remove("NO_COLOR");
    no_color.map(|value| command.env("NO_COLOR", value));
    on_a_screen(command, 80)
}

/// Runs a command with a terminal of this width as its output.
pub fn on_a_screen(mut command: Command, columns: u16) -> Done {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let screen = openpt(flags).unwrap();
    unlockpt(&screen).unwrap();
    tcsetwinsize(&screen, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    command.env("TERM", "xterm-256color");
    command.stdin(Stdio::null());
    for output in [Command::stdout, Command::stderr] {
        output(&mut command, Stdio::from(ioctl_tiocgptpeer(&screen, flags).unwrap()));
    }
    let mut child = command.spawn().unwrap();
    // No other process may hold the terminal: it ends when the program has ended, which is read as an error.
    drop(command);
    let mut shown = Vec::new();
    let _ = File::from(screen).read_to_end(&mut shown);
    let out = String::from_utf8(shown).unwrap();
    Done { code: child.wait().unwrap().code(), out, err: String::new() }
}

#[test]
fn a_terminal_gets_colours_unless_they_are_declined() {
    for (no_color, colours) in [(None, true), (Some(""), true), (Some("1"), false)] {
        let done = on_a_terminal(&["lint", "same-account.yaml"], no_color);
        assert_eq!(done.code, Some(2), "{}{}", done.out, done.err);
        assert!(done.out.contains("ACR404"), "{}", done.out);
        assert_eq!(done.out.contains('\u{1b}'), colours, "{no_color:?}: {}", done.out);
    }
}

#[test]
fn a_terminal_shows_no_key_pair_unless_it_is_requested() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, cured("key-pair").replace("\"SampleSecret\"", "aVerySecretSecret")).unwrap();
    let file = file.path().to_str().unwrap();
    let hidden = on_a_terminal(&["convert", file], Some("1"));
    assert_eq!(hidden.code, Some(0), "{}{}", hidden.out, hidden.err);
    assert!(hidden.out.contains("kind: AcrCredentialBinding"), "{}", hidden.out);
    for secret in ["kind: Secret", "LTAI5tSample", "aVerySecretSecret"] {
        assert!(!hidden.out.contains(secret), "{secret} in {}", hidden.out);
    }
    let note = "not shown on a terminal: the Secret acr-credential-system/acr-configuration-0";
    assert!(hidden.out.contains(note), "{}", hidden.out);
    let shown = on_a_terminal(&["convert", "--show-secrets", file], Some("1")).out;
    assert!(shown.contains("kind: Secret") && shown.contains("aVerySecretSecret"), "{shown}");
    assert!(!shown.contains("not shown"), "{shown}");
}

#[test]
fn a_pipe_that_is_closed_early_is_not_an_error() {
    let mut command = command(&["lint", "-o", "json", "rrsa.yaml"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_key_pair_is_in_no_output_but_the_secret() {
    let file = cured("key-pair")
        .replace("\"LTAI5tSample\"", "LTAI5tKEYKEYKEYKEYKEY")
        .replace("\"SampleSecret\"", "aVerySecretSecretOfThirtySigns0");
    let keys = ["LTAI5tKEYKEYKEYKEYKEY", "aVerySecretSecretOfThirtySigns0"];
    for input in
        [file.clone(), file.replace("customAccessKey:", "customAccessKey：").replace("Secret: ", "Secret:")]
    {
        for args in [
            &["lint", "-"][..],
            &["lint", "-o", "json", "-"],
            &["lint", "-o", "sarif", "-"],
            &["convert", "-"],
        ] {
            let done = acr(args, &input);
            let shown =
                if args[0] == "convert" { done.err.clone() } else { format!("{}{}", done.out, done.err) };
            assert!(!keys.iter().any(|key| shown.contains(key)), "{args:?}: {shown}");
        }
    }
    let converted = acr(&["convert", "-"], &file).out;
    let (binding, secret) = converted.split_once("---\n").unwrap();
    assert!(!keys.iter().any(|key| binding.contains(key)) && !binding.contains('#'), "{binding}");
    assert!(secret.starts_with("# An AccessKey pair") && keys.iter().all(|key| secret.contains(key)));
    assert!(secret.contains("namespace: acr-credential-system"));
}

#[test]
fn a_binding_becomes_a_config_map_or_its_unsupported_parts_are_named() {
    for name in SAMPLES.into_iter().filter(|name| *name != "key-pair") {
        let binding = acr(&["convert", "-"], &cured(name)).out;
        let back = acr(&["convert", "--reverse", "-"], &binding);
        assert_eq!(back.code, Some(0), "{name}: {}", back.err);
        assert_eq!(acr(&["convert", "-"], &back.out).out, binding, "{name}");
    }
    let binding = acr(&["convert", "-"], &cured("key-pair")).out;
    let back = acr(&["convert", "--reverse", "-"], &binding);
    assert_eq!((back.code, back.out.as_str()), (Some(2), ""));
    assert!(back.err.contains("accessKeySecretRef"), "{}", back.err);
}

#[test]
fn the_managed_add_on_is_read_too_also_as_terraform_carries_it() {
    let config = "{\"AcrInstanceInfo\": [{\"instanceId\": \"cri-a1b2c3\", \"regionId\": \"CN-BEIJING\"}],\n \"watchNamespace\": \"all\"}";
    let linted = acr(&["lint", "--strict", "-"], config);
    assert_eq!(linted.code, Some(1), "{}", linted.out);
    assert!(linted.out.contains("<stdin>:1:") && linted.out.contains("cn-beijing"), "{}", linted.out);
    let converted = acr(&["convert", "-"], config);
    assert!(
        converted.out.contains("- instanceId: cri-a1b2c3\n    regionId: cn-beijing\n"),
        "{}",
        converted.err
    );
    for verb in ["lint", "convert", "plan"] {
        let help = acr(&[verb, "--help"], "").out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("in the output of `terraform show -json`"), "{help}");
    }
    let escaped = format!("{config:?}");
    assert_eq!(acr(&["convert", "-"], &escaped).out, converted.out);
    let report = json(&escaped)["findings"][0]["region"].clone();
    assert_eq!(
        escaped.get(report["startColumn"].as_u64().unwrap() as usize - 1..).unwrap().find("CN-BEIJING"),
        Some(2)
    );
}

#[test]
fn a_file_without_a_configuration_is_reported_in_a_line_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let utf16: Vec<u8> = "\u{feff}data:\r\n".encode_utf16().flat_map(|unit| unit.to_le_bytes()).collect();
    for (path, words) in [
        (file("utf16.yaml", &utf16), "is UTF-16, as PowerShell's > writes it"),
        (file("binary", &[0xc3, 0x28, 0, 1]), "is not UTF-8 text"),
        (file("empty.yaml", b""), "get cm acr-configuration -o yaml | kubectl acr lint -"),
        (file("tfplan", b"PK\x03\x04\xff"), "terraform show -json"),
        (file("service.yaml", b"kind: Service\nmetadata: {name: a}\n"), "has Service, but no ConfigMap"),
        (file("chart.yaml", b"data:\n  watch-namespace: {{ .Values.a }}\n"), "helm template"),
        (file("binding.yaml", b"kind: AcrCredentialBinding\n"), "--dry-run=server"),
        (folder.path().display().to_string(), "s a directory"),
        ("no-such-file.yaml".to_owned(), "No such file"),
    ] {
        for verb in ["lint", "convert"] {
            let done = acr(&[verb, &path], "");
            let said = format!("{}{}", done.out, done.err);
            assert_eq!(done.code, Some(2), "{verb} {path}: {said}");
            assert!(said.contains(words), "{verb} {path}: {said}");
            assert!(!said.contains("panicked") && said.lines().count() < 12, "{verb} {path}: {said}");
        }
    }
}

#[test]
fn the_configuration_is_found_in_lists_and_among_documents_of_any_line_end() {
    let map = "kind: ConfigMap\nmetadata: {name: acr-configuration}\ndata:\n  acr-registry-info: |\n    - instanceId: cri-a1b2c3\n";
    let listed = format!("kind: List\nitems:\n- kind: Service\n- {}", map.replace('\n', "\n  ").trim_end());
    let among = format!("kind: Service\n---\n{map}---\nkind: Deployment\n");
    for file in [map.to_owned(), listed, among.clone(), among.replace('\n', "\r\n"), format!("\u{feff}{map}")]
    {
        assert_eq!(acr(&["lint", "--strict", "-"], &file).code, Some(0), "{file}");
        assert!(acr(&["convert", "-"], &file).out.contains("instanceId: cri-a1b2c3"), "{file}");
    }
}

/// The properties that SARIF 2.1.0 requires of each written object.
#[test]
fn sarif_has_all_that_its_schema_requires() {
    for input in SAMPLES.map(sample).into_iter().chain([String::new(), "data: [".to_owned()]) {
        let log: serde_json::Value =
            serde_json::from_str(&acr(&["lint", "-o", "sarif", "-"], &input).out).unwrap();
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert!(run["tool"]["driver"]["name"].is_string());
        let rules: Vec<_> =
            run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|r| &r["id"]).collect();
        for result in run["results"].as_array().unwrap() {
            assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
            assert!(rules.contains(&&result["ruleId"]));
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
            let fixes = result["fixes"].as_array().into_iter().flatten();
            for change in fixes.flat_map(|fix| fix["artifactChanges"].as_array().unwrap()) {
                assert!(change["artifactLocation"]["uri"].is_string());
                for replacement in change["replacements"].as_array().unwrap() {
                    let region = &replacement["deletedRegion"];
                    let of = |key: &str| region[key].as_u64().unwrap();
                    assert!(of("startLine") >= 1 && of("startColumn") >= 1);
                    assert!((of("endLine"), of("endColumn")) >= (of("startLine"), of("startColumn")));
                }
            }
        }
    }
}
