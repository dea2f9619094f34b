//! `kubectl acr`: checks, converts and previews the configuration, and removes what the controller created.

mod bindings;
mod command;
mod connection;
mod input;
mod output;

use std::io::{self, Write};
use std::process::ExitCode;

use acr_credential_binding::args::kubectl_acr::{
    CheckArgs, CheckFormat, ConnectionArgs, ConvertArgs, ExceptionsArgs, ExceptionsFormat, ExplainArgs,
    ExplainFormat, InputArgs, LintArgs, OutputFormat, PlanArgs, PlanFormat, PluginArgs, PluginCommand,
    UninstallArgs, WithdrawArgs,
};
use acr_credential_binding::cli::explain::{ExplainError, ExplainOptions, ExplainTarget, Topic, explain};
use acr_credential_binding::cli::lint::{Format, LintReport, check};
use acr_credential_binding::cli::{
    check as installation, convert, exceptions, plan, reverse, uninstall, withdraw,
};
use acr_credential_binding::model::exceptions::Exceptions;
use anyhow::Context;
use clap::Parser;

use self::command::{NOT_PASSED, colour, now};

/// Exit code of errors.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let PluginArgs { command, connection } = match PluginArgs::try_parse() {
        Ok(args) => args,
        Err(error) => return refused(&error),
    };
    let done = match command {
        PluginCommand::Lint(lint) => run_lint(&lint, &connection),
        PluginCommand::Convert(convert) if convert.reverse => run_reverse(&convert),
        PluginCommand::Convert(convert) => run_convert(&convert, &connection),
        PluginCommand::Plan(plan) => run_plan(&plan, &connection),
        PluginCommand::Withdraw(withdraw) => run_withdraw(&withdraw, &connection),
        PluginCommand::Check(check) => run_check(&check, &connection),
        PluginCommand::Explain(explain) => run_explain(&explain, &connection),
        PluginCommand::Uninstall(uninstall) => run_uninstall(&uninstall, &connection),
        PluginCommand::Exceptions(exceptions) => run_exceptions(&exceptions, &connection),
        PluginCommand::Status(status) => bindings::run_status(&status, &connection),
        PluginCommand::Refresh(refresh) => bindings::run_refresh(&refresh, &connection),
        PluginCommand::Suspend(suspend) => bindings::run_suspend(&suspend, true, &connection),
        PluginCommand::Resume(resume) => bindings::run_suspend(&resume, false, &connection),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        // The reader has closed the pipe: it has read enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(format_args!("error: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Prints a help text, or why the command line is refused.
fn refused(error: &clap::Error) -> ExitCode {
    let is_help = !error.use_stderr();
    let coloured = match is_help {
        true => colour(output::stdout().is_terminal()),
        false => colour(output::stderr().is_terminal()),
    };
    let text = error.render();
    let text = if coloured { text.ansi().to_string() } else { text.to_string() };
    // A reader that has gone is not an error of its own.
    let _ = match is_help {
        true => output::stdout().lock().write_all(text.as_bytes()),
        false => output::stderr().lock().write_all(text.as_bytes()),
    };
    u8::try_from(error.exit_code()).unwrap_or(FAILED).into()
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run_lint(lint: &LintArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    let report = check(&input::document(&lint.input, connection)?);
    let out = output::stdout();
    let format = match lint.output {
        OutputFormat::Human => Format::Human { colour: colour(out.is_terminal()) },
        OutputFormat::Json => Format::Json,
        OutputFormat::Sarif => Format::Sarif,
    };
    report.write(format, &mut out.lock())?;
    Ok(report.exit_code(lint.strict))
}

/// Reads the configuration, and writes its findings to standard error.
fn read_with_findings(input: &InputArgs, connection: &ConnectionArgs) -> anyhow::Result<LintReport> {
    let report = check(&input::document(input, connection)?);
    let err = output::stderr();
    if !report.diagnostics.is_empty() {
        report.write(Format::Human { colour: colour(err.is_terminal()) }, &mut err.lock())?;
    }
    Ok(report)
}

fn run_convert(args: &ConvertArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    let report = read_with_findings(&args.input, connection)?;
    let (out, err) = (output::stdout(), output::stderr());
    let Some(conversion) = &report.conversion else { return Ok(FAILED) };
    let edition = match report.is_managed {
        true => convert::ComponentEdition::Managed,
        false => convert::ComponentEdition::ConfigMap,
    };
    let Some(manifests) = convert::manifests(conversion, edition)? else {
        writeln!(err.lock(), "\nno binding: fix the errors above first")?;
        return Ok(FAILED);
    };
    let shown = convert::secrets_may_be_printed(out.is_terminal(), args.show_secrets);
    manifests.write(shown, &mut out.lock())?;
    let mut err = err.lock();
    if !shown {
        for (name, _) in &manifests.secrets {
            writeln!(err, "\nnot shown on a terminal: {}", convert::place(name))?;
        }
    }
    writeln!(err, "\n{}", convert::heading(edition))?;
    for (number, step) in convert::steps(conversion, edition).iter().enumerate() {
        writeln!(err, "{}. {step}", number + 1)?;
    }
    Ok(0)
}

fn run_plan(args: &PlanArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    let is_diff = args.output == PlanFormat::Diff;
    anyhow::ensure!(
        !(is_diff && args.remove_leftovers),
        "--output diff writes nothing to the cluster: pass --remove-leftovers in a call of its own"
    );
    let report = read_with_findings(&args.input, connection)?;
    let (out, err) = (output::stdout(), output::stderr());
    let spec = report.conversion.as_ref().and_then(|conversion| conversion.spec.clone());
    let Some(spec) = spec else {
        writeln!(err.lock(), "\nno binding: fix the errors above first")?;
        return Ok(FAILED);
    };
    let options = plan::PlanOptions {
        region: args.region.as_str().into(),
        secret_name: args.secret_name.as_str().into(),
        with_objects: is_diff,
    };
    let planned = connection::with_cluster(connection, async |client| {
        let planned = plan::plan(&client, spec, &options).await?;
        if args.remove_leftovers {
            plan::remove_leftovers(&client, &planned.leftovers).await?;
        }
        Ok(planned)
    })?;
    if is_diff {
        planned.write_diff(&mut out.lock(), &mut err.lock())?;
        return Ok(if planned.objects.is_empty() { 0 } else { NOT_PASSED });
    }
    planned.write(&mut out.lock())?;
    if args.remove_leftovers {
        planned.leftovers.iter().try_for_each(|name| writeln!(err.lock(), "deleted {name}"))?;
    }
    Ok(0)
}

fn run_withdraw(args: &WithdrawArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    let options = withdraw::WithdrawOptions {
        namespace: args.namespace.as_str().into(),
        secret_name: args.secret_name.as_str().into(),
        retained: args.retained,
    };
    let done = connection::with_cluster_for(connection::HOUR, connection, async |client| {
        Ok(withdraw::withdraw(&client, &options, args.yes).await?)
    })?;
    done.write(&mut output::stdout().lock())?;
    Ok(if done.failed.is_empty() { 0 } else { FAILED })
}

fn run_check(args: &CheckArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    let options = installation::CheckOptions {
        namespace: args.installation.namespace.as_str().into(),
        service_account: args.installation.service_account.as_str().into(),
        secret_name: args.secret_name.as_str().into(),
        request_timeout: connection.request_timeout,
        clock: now,
    };
    let report = connection::with_connection(connection, async |client| {
        let report = match args.pre {
            true => installation::check_before_installation(&client, &options).await,
            false => installation::check_installation(&client, &options).await,
        };
        report.map_err(|error| {
            anyhow::anyhow!(
                "nothing was checked: {error}; check the address with kubectl cluster-info, and run it again"
            )
        })
    })?;
    let mut out = output::stdout().lock();
    match args.output {
        CheckFormat::Text => report.write_text(&mut out)?,
        CheckFormat::Json => report.write_json(&mut out)?,
    }
    Ok(if report.has_passed() { 0 } else { NOT_PASSED })
}

fn run_explain(args: &ExplainArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    let target = ExplainTarget::parse(&args.target).map_err(|error| anyhow::anyhow!("{error}"))?;
    let out = output::stdout();
    if let ExplainTarget::Topic(name) = &target {
        let topic = Topic::find(name).ok_or_else(|| ExplainError::UnknownTopic(name.clone()))?;
        match args.output {
            ExplainFormat::Text => topic.write_text(&mut out.lock())?,
            ExplainFormat::Json => topic.write_json(&mut out.lock())?,
            ExplainFormat::Yaml => topic.write_yaml(&mut out.lock())?,
        }
        return Ok(0);
    }
    let options = ExplainOptions {
        namespace: args.namespace.as_deref().map(Into::into),
        service_account: args.service_account.as_str().into(),
        secret_name: args.secret_name.as_str().into(),
        request_timeout: connection.request_timeout,
        clock: now,
    };
    let verdict = connection::with_connection(connection, async |client| {
        Ok(explain(&client, &target, &options).await?)
    })?;
    match args.output {
        ExplainFormat::Text => verdict.write_text(&mut out.lock())?,
        ExplainFormat::Json => verdict.write_json(&mut out.lock())?,
        ExplainFormat::Yaml => verdict.write_yaml(&mut out.lock())?,
    }
    Ok(verdict.exit_code())
}

fn run_uninstall(args: &UninstallArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    let options = uninstall::UninstallOptions {
        namespace: args.installation.namespace.as_str().into(),
        service_account: args.installation.service_account.as_str().into(),
        withdraw: args.withdraw,
        timeout: args.timeout,
        request_timeout: connection.request_timeout,
    };
    connection::with_connection(connection, async |client| {
        match uninstall::uninstall(&client, &options, &mut output::stdout().lock()).await {
            Ok(()) => Ok(0),
            Err(error) => {
                output::say(format_args!("error: {error}"));
                Ok(NOT_PASSED)
            }
        }
    })
}

fn run_exceptions(args: &ExceptionsArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    use exceptions::{PolicyLists, SHIPPED};
    let added = args.added.exceptions();
    anyhow::ensure!(
        args.live || added != Exceptions::default(),
        "no exception is given: name one, or print those of the cluster with --live"
    );
    let (name, text) = match &args.file {
        Some(file) => input::text(file)?,
        None if args.live => {
            let read = async |client| exceptions::live(client).await.context("the policies cannot be read");
            ("the cluster".to_owned(), connection::with_cluster(connection, read)?)
        }
        None => ("deploy/policies.yaml".to_owned(), SHIPPED.to_owned()),
    };
    let lists = PolicyLists::read(&text).with_context(|| name.clone())?;
    let all = lists.with(&added).with_context(|| name.clone())?;
    // A file is made from that of this version: the policies in the cluster have no comments.
    let (base, text) = match args.output {
        ExceptionsFormat::Yaml | ExceptionsFormat::Kustomize if args.live => {
            anyhow::ensure!(
                !exceptions::is_customized(&text),
                "the policies in the cluster name another Secret, namespace or account than deploy/policies.yaml: pass \
                 your own copy of that file instead of --live, or add --output commands, or --output values for the Helm chart"
            );
            (PolicyLists::read(SHIPPED)?, SHIPPED.to_owned())
        }
        _ => (lists, text),
    };
    let patches = base.patches(&all);
    let printed = match args.output {
        ExceptionsFormat::Yaml => base.fill(&text, &all).with_context(|| name.clone())?,
        ExceptionsFormat::Values => exceptions::values(&all),
        _ if patches.is_empty() => String::new(),
        ExceptionsFormat::Kustomize => exceptions::kustomization(&patches),
        ExceptionsFormat::Commands => exceptions::commands(&patches),
    };
    output::stdout().lock().write_all(printed.as_bytes())?;
    if patches.is_empty() {
        output::say(format_args!("{name} has these exceptions already"));
    } else if args.file.is_none() && !args.live {
        output::say(format_args!(
            "These lists replace those that the cluster or your copy of deploy/policies.yaml has. To keep their exceptions, \
             add --live or the name of the file."
        ));
    }
    Ok(0)
}

fn run_reverse(args: &ConvertArgs) -> anyhow::Result<u8> {
    let (name, text) =
        input::text(args.input.file.as_deref().context("--reverse needs a FILE, or - for standard input")?)?;
    match reverse::config_map(&text) {
        Ok(manifest) => output::stdout().lock().write_all(manifest.as_bytes())?,
        Err(reverse::ReverseError::Unsupported(fields)) => {
            output::say(format_args!("{name}: the ConfigMap has no key for"));
            fields.iter().for_each(|field| output::say(format_args!("  {field}")));
            output::say(format_args!("delete them in the file, or keep the binding"));
            return Ok(FAILED);
        }
        Err(error) => return Err(error).context(name),
    }
    Ok(0)
}
