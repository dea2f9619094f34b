//! The keys beside names and registries.

use std::time::Duration;

use super::code::Code;
use super::fields::{MapFields, MapSchema};
use super::finding::Findings;
use super::mistakes::{Schema, Shape};
use super::patch::Edit;
use super::source::parse;
use super::source_value::SourceValue;
use super::text::{boolean, list, quoted, unquote};
use super::unrendered::HIDDEN;
use super::validate::validate_entry;
use crate::api::binding::{FailurePolicy, RegistryEntry, Webhook};
use crate::api::legacy::{ACR_REGISTRY_INFO, Node, Value, webhook};
use crate::model::duration;

/// `expiring-threshold` by default, and in the place of an invalid one.
pub(super) const DEFAULT_THRESHOLD: &str = "15m";

/// The most characters of an address that the schema allows.
const MAX_EMAIL_CHARS: usize = 320;

/// Reads the threshold as a Go duration. An invalid one costs only itself: 15m is right for every credential.
pub(super) fn threshold(value: Option<&SourceValue<'_>>, findings: &Findings) -> String {
    let Some(value) = value else { return DEFAULT_THRESHOLD.to_owned() };
    let written = unquote(value.value);
    if written.text.is_empty() {
        return DEFAULT_THRESHOLD.to_owned();
    }
    let span = value.span(&written.range);
    let read = duration::parse(written.text).map(|duration| (go_duration(duration), written.irregular));
    // The page itself recommends `15min`, which Go does not read.
    let read = read.or_else(|message| match duration::parse(&short_units(written.text)) {
        Ok(duration) => Ok((go_duration(duration), true)),
        Err(_) if written.text.chars().all(|c| c.is_ascii_digit()) => {
            Err(format!("{} has no unit: write {DEFAULT_THRESHOLD} or 900s", quoted(written.text)))
        }
        Err(_) if super::text::can_show(written.text) => Err(message),
        Err(_) => Err(format!("the threshold is not a valid duration: write {DEFAULT_THRESHOLD}")),
    });
    let read = read.and_then(|(threshold, irregular)| {
        let invalid = validate_entry(RegistryEntry::default(), &threshold).into_iter().next();
        invalid.map_or(Ok((threshold, irregular)), |invalid| Err(invalid.message))
    });
    match read {
        Ok((threshold, irregular)) => {
            if irregular {
                let message = format!("the threshold is read as {threshold}: write {threshold}");
                findings.edit(Code::ThresholdSpelling, value.key, span, message, value.instead(&threshold));
            }
            threshold
        }
        Err(message) => {
            let message = format!("{message}; {DEFAULT_THRESHOLD} is used");
            findings.add(Code::ThresholdInvalid, value.key, span, message);
            DEFAULT_THRESHOLD.to_owned()
        }
    }
}

/// Spells `15 Min` as `15m`.
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

/// Spells a threshold as [`threshold`] does. `None`: it is not a duration.
pub(super) fn respelled(text: &str) -> Option<String> {
    duration::parse(text).ok().map(go_duration)
}

/// Spells a duration in the fewest whole units, so that the same threshold always gives the same spec.
fn go_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if nanos > 0 {
        return match nanos % 1_000_000 {
            0 => format!("{}ms", duration.as_millis()),
            _ => format!("{}ns", duration.as_nanos()),
        };
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads the address, which is only carried.
pub(super) fn notify_email(value: Option<&SourceValue<'_>>, findings: &Findings) -> Option<String> {
    let value = value?;
    let email = Some(unquote(value.value).text).filter(|text| !text.contains(HIDDEN)).unwrap_or_default();
    if email.chars().count() > MAX_EMAIL_CHARS {
        let message = format!(
            "the address has more than {MAX_EMAIL_CHARS} characters and is left out: delete it, since it has no effect anyway"
        );
        findings.add(Code::EmailTooLong, value.key, value.all(), message);
        return None;
    }
    (!email.is_empty()).then(|| email.to_owned())
}

/// Reports a key that has no effect.
pub(super) fn carried(value: Option<&SourceValue<'_>>, findings: &Findings) {
    if let Some(value) = value {
        let message = "the key has no effect: each edition uses the right API by itself";
        findings.add(Code::CarriedOnly, value.key, value.all(), message);
    }
}

/// Returns whether RRSA is enabled. `None`: it cannot be read, which is reported.
pub(super) fn rrsa(value: Option<&SourceValue<'_>>, findings: &Findings) -> Option<bool> {
    let Some(value) = value else { return Some(false) };
    let Some(node) = settings(value, &[&[webhook::ENABLE]], findings)? else { return Some(false) };
    let on = node.text().and_then(|text| boolean(unquote(text).text));
    if let Some(on) = on {
        let message = format!("the value is read as enable: {on}: write \"enable: {on}\"");
        let span = node.span.clone().filter(|_| node.text_start().is_some());
        let edit = span.map(|span| Edit { span, text: format!("enable: {on}") });
        findings.edit(Code::RrsaSpelling, value.key, node.mark(), message, edit);
        return Some(on);
    }
    let Some(fields) = MapFields::read(settings_of(value, &[webhook::ENABLE]), &node, findings) else {
        let kind = if node.text().is_some() { "not a map" } else { "a list" };
        let message = format!("the value is {kind}: write \"enable: true\"");
        findings.add(Code::RrsaInvalid, value.key, node.mark(), message);
        return None;
    };
    fields.consistent()?.boolean(webhook::ENABLE, false).ok()
}

/// Reads the YAML of some settings. The inner `None`: they are empty. The outer one: they cannot be read, which is
/// reported.
fn settings(
    value: &SourceValue<'_>,
    keys: &'static [&'static [&'static str]],
    findings: &Findings,
) -> Option<Option<Node>> {
    let node = parse(value, &Schema { shape: Shape::Map, keys }, findings)?.node;
    let empty = match &node.value {
        Value::Null => true,
        Value::Text(text) => unquote(text).text.is_empty(),
        Value::List(_) | Value::Map(_) => false,
    };
    Some((!empty).then_some(node))
}

fn settings_of<'a>(value: &SourceValue<'a>, known: &'a [&'static str]) -> MapSchema<'a> {
    MapSchema { at: value.key, text: value.value, known, unknown: Code::SettingKeyUnknown }
}

/// Reads the webhook. `None`: it cannot be read, which is reported. An invalid field costs only itself.
pub(super) fn webhook(value: Option<&SourceValue<'_>>, findings: &Findings) -> Option<Webhook> {
    let mut result = Webhook::default();
    let Some(value) = value else { return Some(result) };
    let Some(node) = settings(value, &[&webhook::KEYS], findings)? else { return Some(result) };
    let Some(fields) = MapFields::read(settings_of(value, &webhook::KEYS), &node, findings) else {
        let message = "the value is not a map: write \"enable: true\", and if needed failure-policy and timeout-seconds below it";
        findings.add(Code::WebhookInvalid, value.key, node.mark(), message);
        return None;
    };
    let fields = fields.consistent()?;
    result.enable = fields.boolean(webhook::ENABLE, false).unwrap_or(false);
    if let Some(policy) = failure_policy(&fields) {
        result.failure_policy = policy;
    }
    if let Some(seconds) = timeout(&fields) {
        result.timeout_seconds = seconds;
    }
    Some(result)
}

fn failure_policy(fields: &MapFields<'_>) -> Option<FailurePolicy> {
    let written = fields.text(webhook::FAILURE_POLICY).ok()??;
    let policy = match written.to_ascii_lowercase().as_str() {
        "ignore" => FailurePolicy::Ignore,
        "fail" => FailurePolicy::Fail,
        _ => {
            let message = format!(
                "{} is neither Ignore nor Fail: write Ignore or Fail; Ignore is used",
                quoted(&written)
            );
            fields.report(Code::WebhookFieldInvalid, webhook::FAILURE_POLICY, message);
            return None;
        }
    };
    let spelled = format!("{policy:?}");
    if written != spelled {
        let message = format!("the value is read as {spelled}: write {spelled}");
        let edit = fields.instead(webhook::FAILURE_POLICY, &spelled);
        fields.propose(Code::WebhookSpelling, webhook::FAILURE_POLICY, message, edit);
    }
    Some(policy)
}

fn timeout(fields: &MapFields<'_>) -> Option<i32> {
    let written = fields.text(webhook::TIMEOUT_SECONDS).ok()??;
    let Ok(number @ 1..=30) = written.strip_suffix('s').unwrap_or(&written).parse::<i32>() else {
        let message = format!("{} is not a number of seconds: write 1 to 30; 10 is used", quoted(&written));
        fields.report(Code::WebhookFieldInvalid, webhook::TIMEOUT_SECONDS, message);
        return None;
    };
    if written.ends_with('s') {
        let message = format!("the value is in seconds without a unit: write {number}");
        let edit = fields.instead(webhook::TIMEOUT_SECONDS, &number.to_string());
        fields.propose(Code::WebhookSpelling, webhook::TIMEOUT_SECONDS, message, edit);
    }
    Some(number)
}

/// Reports the key of 2019. It names hosts, from which no instance can be derived.
pub(super) fn registry_of_2019(
    value: Option<&SourceValue<'_>>,
    info: Option<&SourceValue<'_>>,
    findings: &Findings,
) {
    let Some(value) = value else { return };
    let hosts = list(value.value);
    if hosts.items.is_empty() {
        return;
    }
    let code = if info.is_some() { Code::RegistryOf2019Beside } else { Code::RegistryOf2019 };
    let message = format!(
        "the key of 2019 is not read: write in {ACR_REGISTRY_INFO} one entry an instance, whose ID only you know, such as {}; then delete this key",
        entries_of_2019(&hosts.texts())
    );
    findings.add(code, value.key, value.all(), message);
}

/// Proposes an entry for each region of the hosts, as a list on one line. The user fills in the ID.
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
            "- {{instanceId: {id:?}, regionId: {region:?}, domains: {:?}}}",
            super::finding::clip(host, 80)
        ));
    }
    let more = if hosts.len() > MOST { "; and so on" } else { "" };
    format!("{}{more}", entries.join("; "))
}
