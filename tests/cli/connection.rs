//! kubectl's flags for the connection, on every command.

use serde_json::json;

use crate::acr::{acr, command, run};

/// Writes a kubeconfig whose contexts are API servers without credentials, the first of them the current one. Returns its
/// path.
pub fn kubeconfig(folder: &std::path::Path, contexts: &[(&str, String)]) -> String {
    let named = |(name, server): &(&str, String)| json!({ "name": name, "cluster": { "server": server } });
    let context =
        |(name, _): &(&str, String)| json!({ "name": name, "context": { "cluster": name, "user": "u" } });
    let file = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": contexts[0].0,
        "users": [{ "name": "u", "user": {} }],
        "clusters": contexts.iter().map(named).collect::<Vec<_>>(),
        "contexts": contexts.iter().map(context).collect::<Vec<_>>(),
    });
    let path = folder.join("kubeconfig");
    std::fs::write(&path, file.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_flags_name_the_api_server_before_and_after_the_command_and_a_silent_one_ends_it() {
    // It accepts connections, and answers nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let absent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = |listener: &std::net::TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = kubeconfig(folder.path(), &[("absent", address(&absent)), ("silent", address(&silent))]);
    drop(absent);
    let commands: [&[&str]; 6] = [
        &["status"],
        &["lint", "--live"],
        &["plan", "--live"],
        &["refresh", "team-a"],
        &["suspend", "team-a"],
        &["withdraw"],
    ];
    for words in commands {
        let flags = ["--kubeconfig", &file];
        let refused = acr(&[words, &flags].concat(), "");
        assert!(refused.code == Some(2) && refused.err.contains("onnect"), "{words:?}: {}", refused.err);
        let flags = ["--kubeconfig", &file, "--context", "silent", "--request-timeout", "1"];
        let mut before = command(&[&flags[..], words].concat());
        // The flag wins over the variable.
        before.env("KUBECONFIG", "/nonexistent");
        let hanging = run(before, "");
        assert_eq!(hanging.code, Some(2), "{words:?}: {}", hanging.err);
        assert!(hanging.err.contains("timed out"), "{words:?}: {}", hanging.err);
    }
    let other = acr(&["status", "--kubeconfig", &file, "--context", "other"], "");
    assert_eq!(other.code, Some(2));
    assert!(other.err.contains("other"), "{}", other.err);
}

#[test]
fn a_request_timeout_is_written_as_for_kubectl() {
    for (value, is_valid) in [("0", true), ("5", true), ("1m30s", true), ("soon", false), ("-1", false)] {
        let flag = format!("--request-timeout={value}");
        let done = acr(&["lint", "personal.yaml", &flag], "");
        assert_eq!(!done.err.contains("is not a duration"), is_valid, "{value}: {}", done.err);
        assert_eq!(done.code == Some(0) || done.out.contains("ACR"), is_valid, "{value}: {}", done.out);
    }
}
