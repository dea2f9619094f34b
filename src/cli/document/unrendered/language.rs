//! Files in another language: programs that print the ConfigMap, and output of other commands.

use super::named::{NamedFile, first_line, shell_name};
use crate::model::legacy::Code;

/// The languages of programs by the ends of their files' names, and the commands that print what they generate.
const LANGUAGES: [(&[&str], &str, &str); 9] = [
    (&[".jsonnet", ".libsonnet"], "Jsonnet", "jsonnet FILE"),
    (&[".cue"], "CUE", "cue export FILE --out yaml"),
    (&[".dhall"], "Dhall", "dhall-to-yaml --file FILE"),
    (&[".pkl"], "Pkl", "pkl eval -f yaml FILE"),
    (&[".k", ".kcl"], "KCL", "kcl run FILE"),
    (&[".nix"], "Nix", "nix eval --json --file FILE"),
    (&[".star", ".bzl"], "Starlark", "ytt -f FILE"),
    (&[".ts", ".js", ".py", ".go"], "a programming language", "cdk8s synth --stdout"),
    (&[".sh", ".bash", ".ps1"], "a shell", "kubectl create configmap … --dry-run=client -o yaml"),
];

/// Returns what a file is that is not in YAML, JSON or HCL.
pub(super) fn of(name: &str, text: &str) -> Option<NamedFile> {
    let file = shell_name(name);
    let body = text.trim_start_matches('\u{feff}').trim_start();
    let first = body
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("//"))
        .unwrap_or_default();
    let made = |what: &str, command: &str| {
        let command = command.replace("FILE", file);
        format!(
            "the file is a program in {what}, which generates the ConfigMap: check what it prints: {command} | kubectl acr lint -"
        )
    };
    let found = |code, message| Some(NamedFile { code, span: first_line(text), message });
    if first.starts_with("<!DOCTYPE") || first.starts_with("<!doctype") || first.starts_with("<html") {
        let message =
            "the file is a web page: download the file itself, which code hosts call raw, and check that";
        return found(Code::NoConfiguration, message.to_owned());
    }
    if first.starts_with("diff --git ")
        || first.starts_with("--- ") && body.contains("\n+++ ") && body.contains("\n@@ ")
    {
        let message = "the file has the changes to another file and not the file itself: apply them with git apply, and check the changed file";
        return found(Code::NoConfiguration, message.to_owned());
    }
    if first.starts_with("Name:") && body.contains("\nData\n====") {
        let message = "the file is the output of kubectl describe, which cannot be read back: kubectl get configmap acr-configuration -n kube-system -o yaml | kubectl acr lint -";
        return found(Code::NoConfiguration, message.to_owned());
    }
    let language = LANGUAGES.iter().find(|(ends, ..)| ends.iter().any(|end| name.ends_with(end)));
    let json = body.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
    if let Some((_, what, command)) = language.filter(|_| !json) {
        return found(Code::Generator, made(what, command));
    }
    if first.starts_with("#!/") {
        return found(
            Code::Generator,
            made("a shell", "kubectl create configmap … --dry-run=client -o yaml"),
        );
    }
    let starts = |heads: &[&str]| body.lines().any(|line| heads.iter().any(|head| line.starts_with(head)));
    if !json && (starts(&["local "]) && body.contains(" = ") || body.contains("std.manifest")) {
        return found(Code::Generator, made("Jsonnet", "jsonnet FILE"));
    }
    let word = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if first.strip_prefix("package ").is_some_and(word) {
        return found(Code::Generator, made("CUE", "cue export FILE --out yaml"));
    }
    None
}
