//! Exit codes, formats, colours and secrets.

use crate::acr::{acr, command, json, run, sample};
use crate::samples::{SAMPLES, cured};

const WARNING: &str = "acr-registry-info: |\n  - instanceId: cri-a1b2c3\n    regionId: CN-HANGZHOU\n";

#[test]
fn a_number_says_how_it_went() {
    let code = |args: &[&str], input: &str| acr(args, input).code;
    assert_eq!(code(&["lint", "-"], &WARNING.replace("CN-HANGZHOU", "cn-hangzhou")), Some(0));
    assert_eq!(code(&["lint", "-"], WARNING), Some(0));
    assert_eq!(code(&["lint", "--strict", "-"], WARNING), Some(1));
    assert_eq!(code(&["lint", "-"], "service-account: *\n"), Some(2));
    assert_eq!(code(&["lint", "-"], ""), Some(2));
    assert_eq!(code(&["lint", "no-such-file.yaml"], ""), Some(2));
    assert_eq!(code(&["lint"], ""), Some(2));
    assert_eq!(code(&["lint", "--live", "-"], ""), Some(2));
    assert_eq!(code(&["convert", "-"], WARNING), Some(0));
    assert_eq!(code(&["convert", "-"], "acr-registry-info: nonsense\n"), Some(2));
    let live = acr(&["lint", "--live"], "");
    assert_eq!(live.code, Some(2));
    assert!(live.err.contains("no kubeconfig"), "{}", live.err);
}

#[test]
fn programs_can_read_it() {
    for name in SAMPLES {
        let told = json(&sample(name));
        let count = |severity: &str| {
            told["findings"].as_array().unwrap().iter().filter(|f| f["severity"] == severity).count()
        };
        assert_eq!(told["errors"], count("error"));
        assert_eq!(told["warnings"], count("warning"));
        let sarif = acr(&["lint", "-o", "sarif", &format!("{name}.yaml")], "");
        let sarif: serde_json::Value = serde_json::from_str(&sarif.out).unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), told["findings"].as_array().unwrap().len());
        for result in results {
            let place = &result["locations"][0]["physicalLocation"];
            assert_eq!(place["artifactLocation"]["uri"], format!("{name}.yaml"));
            assert!(result["message"]["text"].is_string() && result["level"].is_string());
        }
    }
}

#[test]
fn a_pipe_gets_no_colours_and_neither_does_one_who_declines_them() {
    for value in ["", "1"] {
        let mut command = command(&["lint", "same-account.yaml"]);
        command.env("NO_COLOR", value).env("CLICOLOR_FORCE", "1").env("TERM", "xterm-256color");
        let done = run(command, "");
        assert!(!done.out.contains('\u{1b}') && done.out.contains("ACR703"));
    }
}

#[test]
fn a_pipe_that_is_closed_early_is_no_error() {
    let mut command = command(&["lint", "-o", "json", "rrsa.yaml"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_key_pair_is_in_no_output_but_the_secret() {
    let file = cured("key-pair")
        .replace("\"xxxxx\"", "LTAI5tKEYKEYKEYKEYKEY")
        .replace("\"xxxxxx\"", "aVerySecretSecretOfThirtySigns0");
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
fn a_binding_is_said_as_a_config_map_or_what_cannot_be_said_is_named() {
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
    let escaped = format!("{config:?}");
    assert_eq!(acr(&["convert", "-"], &escaped).out, converted.out);
    let told = json(&escaped)["findings"][0]["region"].clone();
    assert_eq!(
        escaped.get(told["startColumn"].as_u64().unwrap() as usize - 1..).unwrap().find("CN-BEIJING"),
        Some(2)
    );
}
