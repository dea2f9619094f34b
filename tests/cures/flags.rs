//! Cures of flags: a value that is refused, and one that the message asks for.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use acr_credential_binding::args::acr_credential_controller::ControllerArgs;
use clap::Parser;

fn parse(flag: &str) -> Result<(), String> {
    let parsed = ControllerArgs::try_parse_from(["acr-credential-controller", flag]);
    parsed.map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_refused_value_is_corrected_as_the_message_says() {
    // The flag, a wrong value, words of the message, and a value of the form that they ask for.
    for (flag, wrong, words, right) in [
        ("lease-duration", "1s", "write a duration between 3s and 5m", "3s"),
        ("lease-duration", "6m", "write a duration between 3s and 5m", "5m"),
        ("withdrawal-grace", "ten", "write a number and a unit, such as 15m, 900s or 1h30m", "1h30m"),
        ("secret-label", "team", "write key=value", "key=value"),
        ("cr-endpoint", "cr.example.com", "write key=value", "cn-hangzhou=cr.example.com"),
        (
            "secret-name",
            "ACR_pull",
            "write lower-case letters, digits, - and ., such as acr-pull",
            "acr-pull",
        ),
        ("rrsa-service-account", "helper", "write namespace/name", "namespace/name"),
        ("listen-address", "8080", "write address:port, such as 0.0.0.0:8080", "0.0.0.0:8080"),
        ("webhook-address", "8443", "write address:port, or an empty value", "0.0.0.0:8443"),
        ("webhook-address", "8443", "write address:port, or an empty value", ""),
        ("webhook-lifetimes", "300s", "write three durations, as 300s,90s,3s", "300s,90s,3s"),
        ("cloud-address", "sim", "is not an address such as http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ] {
        let message = parse(&format!("--{flag}={wrong}")).expect_err(flag);
        assert!(message.contains(words), "{flag}: {message}");
        parse(&format!("--{flag}={right}")).unwrap_or_else(|error| panic!("{flag} {right}: {error}"));
    }
}

/// Starts the controller, and returns what it logs until it ends, or says that it starts.
fn start(flags: &[&str], kubeconfig: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_acr-credential-controller"));
    command.args(flags).env_clear().stderr(Stdio::piped());
    command.envs(kubeconfig.map(|path| ("KUBECONFIG", path)));
    let mut child = command.spawn().expect("the controller starts");
    let mut log = String::new();
    for line in BufReader::new(child.stderr.take().expect("a log")).lines() {
        log.push_str(&line.expect("text"));
        log.push('\n');
        if log.contains(" starting ") {
            break;
        }
    }
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    log
}

#[test]
fn what_the_start_lacks_is_given_as_its_error_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    let text = "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], \
                clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}], users: [{name: u, user: {}}]}";
    std::fs::write(&path, text).expect("a file");
    let kubeconfig = path.to_str().expect("a path in UTF-8");
    let nowhere = "--metadata-endpoint=http://127.0.0.1:9";

    let log = start(&[nowhere], None);
    assert!(log.contains("set KUBECONFIG to a file, or run in a Pod"), "{log}");
    let log = start(&[nowhere], Some(kubeconfig));
    assert!(log.contains("neither --region nor the node's metadata: set --region"), "{log}");
    let log = start(&[nowhere, "--region=cn-hangzhou"], Some(kubeconfig));
    assert!(log.contains(" starting "), "{log}");
}
