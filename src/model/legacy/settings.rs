//! The keys beside names and registries.

use std::time::Duration;

use super::fields::{Fields, parse};
use super::finding::Findings;
use super::text::{boolean, list, plain, shown, spelling};
use super::validate;
use crate::api::binding::{AcrCredentialBindingSpec, FailurePolicy, RegistryEntry, Webhook};
use crate::api::legacy::{
    ACR_REGISTRY, EXPIRING_THRESHOLD, NOTIFY_EMAIL, RRSA, Value, WEBHOOK_CONFIGURATION, webhook,
};
use crate::model::duration;

/// `expiring-threshold` where nothing is said, or nothing that can be used.
const DEFAULT_THRESHOLD: &str = "15m";

/// The most characters of an address that the schema allows.
const MAX_EMAIL_CHARS: usize = 320;

/// The threshold as a Go duration. What is none costs only itself: 15m is right for every credential.
pub(super) fn threshold(value: Option<&str>, findings: &mut Findings) -> String {
    let written = plain(value.unwrap_or_default());
    if written.text.is_empty() {
        return DEFAULT_THRESHOLD.to_owned();
    }
    let (duration, odd) = match duration::parse(&written.text) {
        Ok(duration) => (duration, written.odd),
        // The page itself recommends `15min`, which Go does not read.
        Err(message) => match duration::parse(&short_units(&written.text)) {
            Ok(duration) => (duration, true),
            Err(_) => {
                let message = if written.text.chars().all(|c| c.is_ascii_digit()) {
                    format!("{} has no unit: write {DEFAULT_THRESHOLD} or 900s", shown(&written.text))
                } else if super::text::tellable(&written.text) {
                    message
                } else {
                    format!("is not a duration: write {DEFAULT_THRESHOLD}")
                };
                findings.error(EXPIRING_THRESHOLD, None, format!("{message}; {DEFAULT_THRESHOLD} is used"));
                return DEFAULT_THRESHOLD.to_owned();
            }
        },
    };
    let threshold = go_duration(duration);
    let spec = AcrCredentialBindingSpec {
        registries: vec![RegistryEntry::default()],
        expiring_threshold: threshold.clone(),
        ..AcrCredentialBindingSpec::default()
    };
    if let Some(invalid) = validate(&spec).first() {
        findings.error(EXPIRING_THRESHOLD, None, format!("{}; {DEFAULT_THRESHOLD} is used", invalid.message));
        return DEFAULT_THRESHOLD.to_owned();
    }
    if odd {
        findings.warning(EXPIRING_THRESHOLD, None, format!("is read as {threshold}: write {threshold}"));
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

/// The shortest spelling in whole units, so that the same threshold always gives the same spec.
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
pub(super) fn notify_email(value: Option<&str>, findings: &mut Findings) -> Option<String> {
    let email = plain(value.unwrap_or_default()).text;
    if email.chars().count() > MAX_EMAIL_CHARS {
        let message =
            format!("has more than {MAX_EMAIL_CHARS} characters and is left out: it is unused anyway");
        findings.warning(NOTIFY_EMAIL, None, message);
        return None;
    }
    (!email.is_empty()).then_some(email)
}

/// Whether RRSA is on. `None`: it cannot be read, which is told.
pub(super) fn rrsa(value: Option<&str>, findings: &mut Findings) -> Option<bool> {
    let Some(text) = value else { return Some(false) };
    let node = parse(RRSA, text, findings)?;
    match &node.value {
        Value::Null => Some(false),
        Value::Text(text) if plain(text).text.is_empty() => Some(false),
        Value::Text(text) => {
            let on = boolean(&plain(text).text);
            match on {
                Some(on) => findings.warning(
                    RRSA,
                    node.line,
                    format!("is read as enable: {on}: write \"enable: {on}\""),
                ),
                None => findings.error(RRSA, node.line, "is no map: write \"enable: true\""),
            }
            on
        }
        Value::List(_) => {
            findings.error(RRSA, node.line, "is a list: write \"enable: true\"");
            None
        }
        Value::Map(_) => Fields::read(RRSA, &node, &[webhook::ENABLE], findings)?
            .boolean(webhook::ENABLE, false, findings)
            .ok(),
    }
}

/// The webhook. `None`: it cannot be read, which is told. A field that is wrong costs only itself.
pub(super) fn webhook(value: Option<&str>, findings: &mut Findings) -> Option<Webhook> {
    let mut result = Webhook::default();
    let Some(text) = value else { return Some(result) };
    let node = parse(WEBHOOK_CONFIGURATION, text, findings)?;
    match &node.value {
        Value::Null => return Some(result),
        Value::Text(text) if plain(text).text.is_empty() => return Some(result),
        Value::Text(_) | Value::List(_) => {
            let message = "is no map: write \"enable: true\", and if need be failure-policy and timeout-seconds beneath it";
            findings.error(WEBHOOK_CONFIGURATION, node.line, message);
            return None;
        }
        Value::Map(_) => {}
    }
    let known = [webhook::ENABLE, webhook::FAILURE_POLICY, webhook::TIMEOUT_SECONDS];
    let fields = Fields::read(WEBHOOK_CONFIGURATION, &node, &known, findings)?;
    result.enable = fields.boolean(webhook::ENABLE, false, findings).unwrap_or(false);
    if let Ok(Some(policy)) = fields.text(webhook::FAILURE_POLICY, findings) {
        let (path, line) = (fields.path(webhook::FAILURE_POLICY), fields.line(webhook::FAILURE_POLICY));
        result.failure_policy = match policy.to_ascii_lowercase().as_str() {
            "ignore" => FailurePolicy::Ignore,
            "fail" => FailurePolicy::Fail,
            _ => {
                findings.error(
                    &path,
                    line,
                    format!("{} is neither Ignore nor Fail; Ignore is used", shown(&policy)),
                );
                FailurePolicy::Ignore
            }
        };
        let spelt = format!("{:?}", result.failure_policy);
        if policy.eq_ignore_ascii_case(&spelt) && policy != spelt {
            findings.warning(&path, line, format!("is read as {spelt}: write {spelt}"));
        }
    }
    if let Ok(Some(seconds)) = fields.text(webhook::TIMEOUT_SECONDS, findings) {
        let (path, line) = (fields.path(webhook::TIMEOUT_SECONDS), fields.line(webhook::TIMEOUT_SECONDS));
        match seconds.strip_suffix('s').unwrap_or(&seconds).parse::<i32>() {
            Ok(number @ 1..=30) => {
                result.timeout_seconds = number;
                if seconds.ends_with('s') {
                    findings.warning(&path, line, format!("is in seconds without a unit: write {number}"));
                }
            }
            _ => {
                let message = format!("{} is no number of seconds from 1 to 30; 10 is used", shown(&seconds));
                findings.error(&path, line, message);
            }
        }
    }
    Some(result)
}

/// The spelling of 2019 names hosts only; which instance stands behind each, nobody can tell.
pub(super) fn registry_of_2019(value: Option<&str>, info: Option<&str>, findings: &mut Findings) {
    let hosts = list(value.unwrap_or_default()).items;
    if hosts.is_empty() {
        return;
    }
    let message = format!(
        "is the spelling of 2019 and is not read: write in acr-registry-info one entry an instance, such as \"- instanceId: cri-…\", \"regionId: cn-hangzhou\", \"domains: …\" for {}",
        spelling(&hosts)
    );
    if info.is_some() {
        findings.warning(ACR_REGISTRY, None, message);
    } else {
        findings.error(ACR_REGISTRY, None, message);
    }
}
