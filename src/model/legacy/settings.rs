//! The keys beside names and registries.

use std::time::Duration;

use super::code::Code;
use super::fields::{Fields, MapSchema, scalar};
use super::finding::{Edit, Findings};
use super::mistakes::{Schema, Shape};
use super::source::parse;
use super::text::{boolean, list, quoted, unquote};
use super::{SourceValue, validate};
use crate::api::binding::{AcrCredentialBindingSpec, FailurePolicy, RegistryEntry, Webhook};
use crate::api::legacy::{ACR_REGISTRY_INFO, Value, webhook};
use crate::model::duration;

/// `expiring-threshold` where nothing is said, or nothing that can be used.
const DEFAULT_THRESHOLD: &str = "15m";

/// The most characters of an address that the schema allows.
const MAX_EMAIL_CHARS: usize = 320;

/// The threshold as a Go duration. What is none costs only itself: 15m is right for every credential.
pub(super) fn threshold(value: Option<&SourceValue<'_>>, findings: &mut Findings) -> String {
    let Some(value) = value else { return DEFAULT_THRESHOLD.to_owned() };
    let written = unquote(value.value);
    if written.text.is_empty() {
        return DEFAULT_THRESHOLD.to_owned();
    }
    let span = value.span(&written.range);
    let mut refuse = |message: String| {
        let message = format!("{message}; {DEFAULT_THRESHOLD} is used");
        findings.add(Code::ThresholdInvalid, value.key, span.clone(), message);
        DEFAULT_THRESHOLD.to_owned()
    };
    let (duration, irregular) = match duration::parse(written.text) {
        Ok(duration) => (duration, written.irregular),
        // The page itself recommends `15min`, which Go does not read.
        Err(message) => match duration::parse(&short_units(written.text)) {
            Ok(duration) => (duration, true),
            Err(_) if written.text.chars().all(|c| c.is_ascii_digit()) => {
                return refuse(format!(
                    "{} has no unit: write {DEFAULT_THRESHOLD} or 900s",
                    quoted(written.text)
                ));
            }
            Err(_) if super::text::can_show(written.text) => return refuse(message),
            Err(_) => return refuse(format!("is not a duration: write {DEFAULT_THRESHOLD}")),
        },
    };
    let threshold = go_duration(duration);
    let spec = AcrCredentialBindingSpec {
        registries: vec![RegistryEntry::default()],
        expiring_threshold: threshold.clone(),
        ..AcrCredentialBindingSpec::default()
    };
    if let Some(invalid) = validate(&spec).first() {
        return refuse(invalid.message.clone());
    }
    if irregular {
        let message = format!("is read as {threshold}: write {threshold}");
        findings.edit(Code::ThresholdSpelling, value.key, span, message, value.instead(&threshold));
    }
    threshold
}

/// `15 Min` as `15m`.
fn short_units(text: &str) -> String {
    let lower: String = text.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    [
        ("minutes", "m"),
        ("minute", "m"),
        ("mins", "m"),
        ("min", "m"),
        ("hours", "h"),
        ("hour", "h"),
        ("seconds", "s"),
    ]
    .into_iter()
    .fold(lower, |text, (long, short)| text.replace(long, short))
}

/// A threshold as [`threshold`] would give it. `None`: it is no duration.
pub(super) fn respelt(text: &str) -> Option<String> {
    duration::parse(text).ok().map(go_duration)
}

/// The shortest spelled in whole units, so that the same threshold always gives the same spec.
fn go_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if nanos > 0 {
        return match nanos % 1_000_000 {
            0 => format!("{}ms", duration.as_millis()),
            _ => format!("{}ns", duration.as_nanos()),
        };
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let spelt: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if spelt.is_empty() { "0s".to_owned() } else { spelt }
}

/// Carried as it stands.
pub(super) fn notify_email(value: Option<&SourceValue<'_>>, findings: &mut Findings) -> Option<String> {
    let value = value?;
    let email = unquote(value.value).text;
    if email.chars().count() > MAX_EMAIL_CHARS {
        let message =
            format!("has more than {MAX_EMAIL_CHARS} characters and is left out: it is unused anyway");
        findings.add(Code::EmailTooLong, value.key, value.all(), message);
        return None;
    }
    (!email.is_empty()).then(|| email.to_owned())
}

/// What is read and has no effect.
pub(super) fn carried(value: Option<&SourceValue<'_>>, findings: &mut Findings) {
    if let Some(value) = value {
        let message = "has no effect here: the right API is asked for each edition";
        findings.add(Code::CarriedOnly, value.key, value.all(), message);
    }
}

/// Whether RRSA is on. `None`: it cannot be read, which is told.
pub(super) fn rrsa(value: Option<&SourceValue<'_>>, findings: &mut Findings) -> Option<bool> {
    let Some(value) = value else { return Some(false) };
    let node = parse(value, &Schema { shape: Shape::Map, keys: &[&[webhook::ENABLE]] }, findings)?.node;
    match &node.value {
        Value::Null => Some(false),
        Value::Text(text) if unquote(text).text.is_empty() => Some(false),
        Value::Text(text) => {
            let on = boolean(unquote(text).text);
            match on {
                Some(on) => {
                    let message = format!("is read as enable: {on}: write \"enable: {on}\"");
                    let span = node.span.clone().filter(|_| node.text_start().is_some());
                    let edit = span.map(|span| Edit { span, text: format!("enable: {on}") });
                    findings.edit(Code::RrsaSpelling, value.key, node.mark(), message, edit);
                }
                None => findings.add(
                    Code::RrsaInvalid,
                    value.key,
                    node.mark(),
                    "is no map: write \"enable: true\"",
                ),
            }
            on
        }
        Value::List(_) => {
            let message = "is a list: write \"enable: true\"";
            findings.add(Code::RrsaInvalid, value.key, node.mark(), message);
            None
        }
        Value::Map(_) => {
            let sort = settings_of(value, &[webhook::ENABLE]);
            Fields::read(&sort, &node, findings)?.consistent()?.boolean(webhook::ENABLE, false, findings).ok()
        }
    }
}

fn settings_of<'a>(value: &SourceValue<'a>, known: &'a [&'static str]) -> MapSchema<'a> {
    MapSchema { at: value.key, text: value.value, known, unknown: Code::SettingKeyUnknown }
}

/// The webhook. `None`: it cannot be read, which is told. A field that is wrong costs only itself.
pub(super) fn webhook(value: Option<&SourceValue<'_>>, findings: &mut Findings) -> Option<Webhook> {
    let mut result = Webhook::default();
    let Some(value) = value else { return Some(result) };
    let node = parse(value, &Schema { shape: Shape::Map, keys: &[&webhook::KEYS] }, findings)?.node;
    match &node.value {
        Value::Null => return Some(result),
        Value::Text(text) if unquote(text).text.is_empty() => return Some(result),
        Value::Text(_) | Value::List(_) => {
            let message = "is no map: write \"enable: true\", and if need be failure-policy and timeout-seconds beneath it";
            findings.add(Code::WebhookInvalid, value.key, node.mark(), message);
            return None;
        }
        Value::Map(_) => {}
    }
    let fields = Fields::read(&settings_of(value, &webhook::KEYS), &node, findings)?.consistent()?;
    result.enable = fields.boolean(webhook::ENABLE, false, findings).unwrap_or(false);
    if let Some(policy) = failure_policy(&fields, findings) {
        result.failure_policy = policy;
    }
    if let Some(seconds) = timeout(&fields, findings) {
        result.timeout_seconds = seconds;
    }
    Some(result)
}

fn failure_policy(fields: &Fields<'_>, findings: &mut Findings) -> Option<FailurePolicy> {
    let written = fields.text(webhook::FAILURE_POLICY, findings).ok()??;
    let (path, span) = (fields.path(webhook::FAILURE_POLICY), fields.span(webhook::FAILURE_POLICY));
    let policy = match written.to_ascii_lowercase().as_str() {
        "ignore" => FailurePolicy::Ignore,
        "fail" => FailurePolicy::Fail,
        _ => {
            let message = format!("{} is neither Ignore nor Fail; Ignore is used", quoted(&written));
            findings.add(Code::WebhookFieldInvalid, &path, span, message);
            return None;
        }
    };
    let spelt = format!("{policy:?}");
    if written != spelt {
        let message = format!("is read as {spelt}: write {spelt}");
        let edit = fields.instead(webhook::FAILURE_POLICY, &spelt);
        findings.edit(Code::WebhookSpelling, &path, span, message, edit);
    }
    Some(policy)
}

fn timeout(fields: &Fields<'_>, findings: &mut Findings) -> Option<i32> {
    let written = fields.text(webhook::TIMEOUT_SECONDS, findings).ok()??;
    let (path, span) = (fields.path(webhook::TIMEOUT_SECONDS), fields.span(webhook::TIMEOUT_SECONDS));
    let Ok(number @ 1..=30) = written.strip_suffix('s').unwrap_or(&written).parse::<i32>() else {
        let message = format!("{} is no number of seconds from 1 to 30; 10 is used", quoted(&written));
        findings.add(Code::WebhookFieldInvalid, &path, span, message);
        return None;
    };
    if written.ends_with('s') {
        let message = format!("is in seconds without a unit: write {number}");
        let edit = fields.node(webhook::TIMEOUT_SECONDS).and_then(|node| scalar(node, &number.to_string()));
        findings.edit(Code::WebhookSpelling, &path, span, message, edit);
    }
    Some(number)
}

/// The spelled of 2019 names hosts only; which instance stands behind each, nobody can report.
pub(super) fn registry_of_2019(
    value: Option<&SourceValue<'_>>,
    info: Option<&SourceValue<'_>>,
    findings: &mut Findings,
) {
    let Some(value) = value else { return };
    let hosts = list(value.value);
    if hosts.items.is_empty() {
        return;
    }
    let code = if info.is_some() { Code::RegistryOf2019Beside } else { Code::RegistryOf2019 };
    let message = format!(
        "is the spelled of 2019 and is not read: write in {ACR_REGISTRY_INFO} one entry an instance, whose id only you know, such as {}",
        entries_of_2019(&hosts.texts())
    );
    findings.add(code, value.key, value.all(), message);
}

/// An entry for each region that the hosts are in, as a list on one line. The id is for the user to fill in.
fn entries_of_2019(hosts: &[&str]) -> String {
    const MOST: usize = 3;
    let mut entries = Vec::new();
    for host in hosts.iter().filter(|host| super::text::can_show(host)).take(MOST) {
        // `demo-registry.cn-hangzhou.cr.aliyuncs.com`, `registry-vpc.cn-hangzhou.aliyuncs.com`
        let region = host
            .split('.')
            .find(|part| part.starts_with("cn-") || part.starts_with("ap-") || part.starts_with("us-"))
            .unwrap_or("cn-hangzhou");
        let id = if host.contains(".cr.") { "cri-…" } else { "" };
        entries.push(format!(
            "- instanceId: {id:?}, regionId: {region:?}, domains: {:?}",
            super::finding::clip(host, 80)
        ));
    }
    let more = if hosts.len() > MOST { "; and so on" } else { "" };
    format!("{}{more}", entries.join("; "))
}
