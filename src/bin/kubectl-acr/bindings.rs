//! The commands about bindings: `status`, `refresh`, `suspend` and `resume`.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use acr_credential_binding::args::kubectl_acr::{
    BindingArgs, ConnectionArgs, RefreshArgs, StatusArgs, StatusFormat,
};
use acr_credential_binding::cli::binding_change;
use acr_credential_binding::cli::status::{
    BindingsReport, Followed, NamespaceFilter, TreeStyle, WatchFailure, follow, status,
};
use acr_credential_binding::model::duration;
use kube::Client;

use crate::command::{NOT_PASSED, colour, now};
use crate::connection::{with_cluster, with_connection};
use crate::output;

pub(crate) fn run_status(args: &StatusArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    let name = args.name.as_deref();
    let filter = match &args.namespace {
        Some(namespace) => NamespaceFilter::One(namespace.as_str().into()),
        None => NamespaceFilter::Every,
    };
    if args.watch {
        return with_connection(connection, async |client| {
            let mut shown = Vec::new();
            let end = follow(&client, name, &filter, |heard| {
                let written = match heard {
                    Followed::Changed(report) | Followed::Aged(report) => {
                        show_next(report, args.output, &mut shown)
                    }
                    Followed::Interrupted(why) => interrupted(&why),
                };
                match written {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => ControlFlow::Break(error),
                }
            });
            Err(end.await?.into())
        });
    }
    if args.wait.is_some() {
        return with_connection(connection, async |client| {
            let waited = wait(&client, name, &filter, args.timeout, BindingsReport::is_ready).await?;
            finish(waited, args.output, "not ready", args.timeout)
        });
    }
    let report = with_cluster(connection, async |client| Ok(status(&client, name, &filter).await?))?;
    write(&report, args.output)?;
    Ok(0)
}

pub(crate) fn run_refresh(args: &RefreshArgs, connection: &ConnectionArgs) -> anyhow::Result<u8> {
    let name = args.binding.name.as_str();
    let request =
        with_cluster(connection, async |client| Ok(binding_change::refresh(&client, name, now()).await?))?;
    writeln!(output::stdout().lock(), "the refresh of the binding {name} is requested")?;
    if !args.wait {
        return Ok(0);
    }
    let is_handled = |report: &BindingsReport| {
        report
            .bindings
            .iter()
            .all(|binding| binding.suspended || binding.last_handled_refresh_at.as_ref() == Some(&request))
    };
    let every = NamespaceFilter::Every;
    with_connection(connection, async |client| {
        let waited = wait(&client, Some(name), &every, args.timeout, is_handled).await?;
        let is_refreshed =
            matches!(&waited, Waited::Holds(report) if report.bindings.iter().all(|b| b.is_refreshed()));
        let is_suspended =
            matches!(&waited, Waited::Holds(report) if report.bindings.iter().any(|b| b.suspended));
        let code = finish(waited, StatusFormat::Tree, "not handled", args.timeout)?;
        if is_suspended {
            output::say(format_args!(
                "error: the binding {name} is suspended, and refreshed once it is not: run kubectl acr resume {name}"
            ));
        }
        Ok(if is_refreshed { code } else { NOT_PASSED })
    })
}

pub(crate) fn run_suspend(
    args: &BindingArgs,
    suspend: bool,
    connection: &ConnectionArgs,
) -> anyhow::Result<u8> {
    let name = args.name.as_str();
    let changed =
        with_cluster(connection, async |client| Ok(binding_change::suspend(&client, name, suspend).await?))?;
    let state = if suspend { "suspended" } else { "resumed" };
    let already = if suspend { "is suspended already" } else { "is not suspended" };
    let mut out = output::stdout().lock();
    match changed {
        true => writeln!(out, "the binding {name} is {state}")?,
        false => writeln!(out, "the binding {name} {already}")?,
    }
    Ok(0)
}

/// What a wait has seen.
enum Waited {
    /// What it waited for, in this report.
    Holds(BindingsReport),
    /// The last report before the time was over, if there was one.
    TimedOut(Option<BindingsReport>),
}

/// Waits until a report is as it must be.
async fn wait(
    client: &Client,
    name: Option<&str>,
    filter: &NamespaceFilter,
    limit: Duration,
    holds: impl Fn(&BindingsReport) -> bool,
) -> Result<Waited, WatchFailure> {
    let mut last = None;
    let followed = follow(client, name, filter, |heard| match heard {
        Followed::Changed(report) if holds(report) => ControlFlow::Break(report.clone()),
        Followed::Changed(report) => {
            last = Some(report.clone());
            ControlFlow::Continue(())
        }
        Followed::Aged(_) => ControlFlow::Continue(()),
        Followed::Interrupted(why) => {
            // Without standard error, the wait goes on.
            let _ = interrupted(&why);
            ControlFlow::Continue(())
        }
    });
    let ended = tokio::time::timeout(limit, followed).await;
    match ended {
        Ok(report) => Ok(Waited::Holds(report?)),
        Err(_) => Ok(Waited::TimedOut(last)),
    }
}

/// Prints what a wait has seen, and returns the exit code.
fn finish(waited: Waited, format: StatusFormat, what: &str, limit: Duration) -> anyhow::Result<u8> {
    match waited {
        Waited::Holds(report) => {
            write(&report, format)?;
            Ok(0)
        }
        Waited::TimedOut(last) => {
            if let Some(report) = &last {
                write(report, format)?;
            }
            output::say(format_args!(
                "error: {what} after {}: kubectl acr check says whether the controller works",
                duration::format(limit)
            ));
            Ok(NOT_PASSED)
        }
    }
}

fn interrupted(why: &str) -> io::Result<()> {
    writeln!(output::stderr().lock(), "the watch was interrupted, and is opened again: {why}")
}

/// Separates two trees. Programs get one object after the other.
fn empty_line(format: StatusFormat) -> io::Result<()> {
    match format {
        StatusFormat::Tree | StatusFormat::Wide => writeln!(output::stdout().lock()),
        StatusFormat::Json => Ok(()),
        StatusFormat::Yaml => writeln!(output::stdout().lock(), "---"),
    }
}

/// Writes a report of a watch, unless it would show what the last one did.
fn show_next(report: &BindingsReport, format: StatusFormat, shown: &mut Vec<u8>) -> io::Result<()> {
    let mut next = Vec::new();
    draw(report, format, &mut next)?;
    if next == *shown {
        return Ok(());
    }
    if !shown.is_empty() {
        empty_line(format)?;
    }
    output::stdout().lock().write_all(&next)?;
    *shown = next;
    Ok(())
}

fn write(report: &BindingsReport, format: StatusFormat) -> io::Result<()> {
    let mut text = Vec::new();
    draw(report, format, &mut text)?;
    output::stdout().lock().write_all(&text)
}

fn draw(report: &BindingsReport, format: StatusFormat, to: &mut Vec<u8>) -> io::Result<()> {
    match format {
        StatusFormat::Json => writeln!(to, "{}", serde_json::to_string_pretty(report)?),
        StatusFormat::Yaml => {
            let text = serde_saphyr::to_string(report).map_err(io::Error::other)?;
            to.write_all(text.as_bytes())
        }
        StatusFormat::Tree | StatusFormat::Wide => {
            let is_terminal = output::stdout().is_terminal();
            let size = is_terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
            let style = TreeStyle {
                width: size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0),
                colour: colour(is_terminal),
                wide: matches!(format, StatusFormat::Wide),
                now: now(),
            };
            report.write_tree(&style, to)
        }
    }
}
