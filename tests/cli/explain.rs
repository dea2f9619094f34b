//! `kubectl acr explain` without a cluster, and with an API server that does not answer.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::acr::{acr, command, run};
use crate::connection::kubeconfig;

#[test]
fn codes_and_reasons_are_explained_without_a_cluster() {
    for (name, words) in [
        ("ACR805", "cause     ACR805\nmeaning   the binding is not in force\n"),
        ("acr101", "finding   ACR101\n"),
        ("AccessDenied", "reason    AccessDenied\n"),
    ] {
        let done = acr(&["explain", name], "");
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{name}");
        assert!(done.out.starts_with(words) && done.out.contains("\ncure "), "{}", done.out);
    }
    let printed: Value = serde_json::from_str(&acr(&["explain", "ACR805", "-o", "json"], "").out).unwrap();
    assert_eq!((&printed["name"], &printed["kind"]), (&json!("ACR805"), &json!("cause")));
    let yaml: Value = serde_saphyr::from_str(&acr(&["explain", "ACR805", "-o", "yaml"], "").out).unwrap();
    assert_eq!(yaml, printed);
}

#[test]
fn words_that_are_neither_end_with_2_and_what_to_write() {
    for (words, says) in [
        (&["ACR999"][..], "neither a code such as ACR805 nor a reason"),
        (&["node/x"], "write pod/NAME"),
        (&["pod/x"], "no kubeconfig: "),
        (&["a.com/b:1"], "for an image write: image a.com/b:1"),
    ] {
        let done = acr(&[&["explain"], words].concat(), "");
        assert!(done.code == Some(2) && done.out.is_empty(), "{words:?}: {}", done.out);
        assert!(done.err.contains(says), "{words:?}: {}", done.err);
    }
}

#[test]
fn an_api_server_that_does_not_answer_ends_with_2_in_the_time_of_the_flag() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = kubeconfig(folder.path(), &[("silent", server)]);
    for target in ["pod/x", "sa/x", "deploy/x"] {
        let args = ["explain", target, "--request-timeout", "200ms", "--kubeconfig", &file];
        let done = run(command(&args), "");
        assert_eq!(done.code, Some(2), "{target}");
        let says = |words| done.err.contains(words);
        assert!(says("nothing was explained: the API server"), "{target}: {}", done.err);
        assert!(says("; check the address with kubectl cluster-info"), "{target}: {}", done.err);
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    for format in ["text", "json", "yaml"] {
        let mut command = command(&["explain", "ACR805", "-o", format]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{format}");
    }
}
