//! The plugin under another name, as krew installs it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use acr_lab::docs::commands;
use acr_lab::krew::Krew;
use acr_lab::plane::{Binaries, Release};
use clap::CommandFactory;

use crate::acr::{Done, command, root, run};

/// Returns the program under the name that krew gives it.
fn renamed(folder: &Path) -> PathBuf {
    let path = folder.join("kubectl-aliyun_acr");
    symlink(env!("CARGO_BIN_EXE_kubectl-acr"), &path).unwrap();
    path
}

/// Runs the program at a path as the tests run the plugin.
fn run_at(program: &Path, args: &[&str], input: &str) -> Done {
    let usual = command(args);
    let mut command = Command::new(program);
    command.args(usual.get_args());
    for (name, value) in usual.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    run(command, input)
}

#[test]
fn every_help_and_each_message_has_the_name_that_the_user_calls() {
    let folder = tempfile::tempdir().unwrap();
    let program = renamed(folder.path());
    let plugin = acr_credential_binding::args::kubectl_acr::PluginArgs::command();
    let names: Vec<&str> = plugin.get_subcommands().map(clap::Command::get_name).collect();
    assert!(names.len() > 10, "{names:?}");
    let helps = names.iter().map(|name| vec![*name, "--help"]);
    // Errors of the command line, of a file, of the cluster, and the cures of causes.
    let messages = [
        vec!["none"],
        vec!["status"],
        vec!["convert", "--reverse", "-"],
        vec!["explain", "ACR803"],
        vec!["explain", "ACR807"],
        vec!["lint", "-"],
    ];
    let mut found = 0;
    for args in helps.chain(messages).chain([vec!["--help"]]) {
        let Done { code, out, err } = run_at(&program, &args, "data: {a: b}");
        let usual = crate::acr::acr(&args, "data: {a: b}");
        assert_eq!(code, usual.code, "{args:?}");
        for (text, usual) in [(out, usual.out), (err, usual.err)] {
            assert_eq!(text, usual.replace("kubectl acr", "kubectl aliyun-acr"), "{args:?}");
            found += text.matches("kubectl aliyun-acr").count();
        }
    }
    assert!(found > names.len(), "{found}");
}

#[test]
fn krew_installs_the_plugin_from_the_release_and_kubectl_runs_it() {
    let Some(krew) = Krew::find().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let dist = folder.path();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let binaries = dist.join(arch).join("usr/local/bin");
    std::fs::create_dir_all(&binaries).unwrap();
    symlink(env!("CARGO_BIN_EXE_kubectl-acr"), binaries.join("kubectl-acr")).unwrap();
    let release = |name: &str| {
        let output =
            Command::new(root().join("deploy/release").join(name)).env("DIST", dist).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    release("archives");
    let manifest = dist.join("aliyun-acr.yaml");
    std::fs::write(&manifest, release("krew")).unwrap();
    let checked = krew.validator(&manifest).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let kubectl = Binaries::find(Release::Newest).unwrap().path("kubectl");
    let run = |line: &str| {
        let mut command = Command::new("/bin/sh");
        krew.add_to(&mut command, kubectl.parent().unwrap());
        let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
        let mut path = path.into_string().unwrap();
        path.push_str(":/usr/bin:/bin");
        command.env("PATH", path).args(["-c", line]).current_dir(dist);
        command.output().unwrap()
    };
    for line in commands("docs/kubectl-acr.md", "Install with krew").unwrap() {
        let line = line.replace("amd64", arch);
        let output = run(&line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output = run("kubectl aliyun-acr explain ACR803");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("ACR803"));
}
