//! `flags.md`: the flags and environment variables of the programs, from clap.

use acr_credential_binding::args::{acr_credential_controller, credential_provider, kubectl_acr};
use clap::{Arg, ArgAction, Command, CommandFactory};

/// Returns the page.
pub fn page() -> String {
    let mut page = "# Flags\n\nA flag wins over its environment variable.\n".to_owned();
    program("acr-credential-controller", acr_credential_controller::ControllerArgs::command(), &mut page);
    program("kubectl acr", kubectl_acr::PluginArgs::command(), &mut page);
    program("acr-credential-provider", credential_provider::ProviderArgs::command(), &mut page);
    program("docker-credential-acr", credential_provider::DockerArgs::command(), &mut page);
    page
}

fn program(name: &str, mut command: Command, page: &mut String) {
    command.build();
    page.push_str(&format!("\n## {name}\n\n{}\n", about(&command)));
    arguments(&command, 3, true, page);
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        page.push_str(&format!("\n### {name} {}\n\n{}\n", subcommand.get_name(), about(subcommand)));
        arguments(subcommand, 4, false, page);
    }
}

fn about(command: &Command) -> String {
    let about = command.get_long_about().or_else(|| command.get_about());
    paragraphs(&about.map(ToString::to_string).unwrap_or_default())
}

/// Writes the arguments. Those of every command are listed once, at the top.
fn arguments(command: &Command, level: usize, with_global: bool, page: &mut String) {
    let shown = |argument: &&Arg| {
        (with_global || !argument.is_global_set())
            && !argument.is_hide_set()
            && argument.get_id() != "help"
            && argument.get_id() != "version"
    };
    for argument in command.get_arguments().filter(shown) {
        page.push_str(&format!("\n{} `{}`\n\n", "#".repeat(level), name(argument)));
        let help = argument.get_long_help().or_else(|| argument.get_help());
        page.push_str(&format!("{}\n\n", paragraphs(&help.map(ToString::to_string).unwrap_or_default())));
        page.push_str(&facts(argument));
        if page.ends_with("\n\n") {
            page.pop();
        }
    }
}

/// Returns the flag as it is typed, without its value: the page's anchors are those of the flags alone.
fn name(argument: &Arg) -> String {
    match (argument.get_long(), argument.get_short()) {
        (Some(long), Some(short)) => format!("-{short}, --{long}"),
        (Some(long), None) => format!("--{long}"),
        (None, _) => {
            let value = argument.get_value_names().into_iter().flatten().next();
            value.map_or_else(|| argument.get_id().to_string(), ToString::to_string)
        }
    }
}

fn facts(argument: &Arg) -> String {
    let mut facts = String::new();
    if let Some(variable) = argument.get_env() {
        facts.push_str(&format!("- Environment variable: `{}`\n", variable.to_string_lossy()));
    }
    let takes_values = argument.get_action().takes_values();
    let defaults: Vec<String> = argument
        .get_default_values()
        .iter()
        .filter(|_| takes_values)
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if !defaults.is_empty() {
        facts.push_str(&format!("- Default: {}\n", defaults.join(", ")));
    }
    let values = argument.get_possible_values();
    if takes_values && !values.is_empty() {
        let names: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        facts.push_str(&format!("- One of: {}\n", names.join(", ")));
    }
    if matches!(argument.get_action(), ArgAction::Append) {
        facts.push_str("- May be repeated\n");
    }
    facts
}

/// Returns help text as Markdown, each paragraph ended by a full stop.
fn paragraphs(text: &str) -> String {
    let ended = text.split("\n\n").map(|paragraph| {
        let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() || line.ends_with(['.', ']', '!']) { line } else { format!("{line}.") }
    });
    ended.collect::<Vec<_>>().join("\n\n").replace('<', "\\<")
}
