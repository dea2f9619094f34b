//! What the readers promise of any text. The fuzz targets look for one that breaks it.

use std::collections::BTreeMap;

use acr_credential_binding::cloud::read_reply::{self, ReceivedReply};
use acr_credential_binding::model::domain;
use acr_credential_binding::model::identity::Arn;
use acr_credential_binding::server::review;
use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;

use acr_credential_binding::api::legacy::KEYS;
use acr_credential_binding::cli::document::read;
use acr_credential_binding::cli::lint::{Format, check};
use acr_credential_binding::model::legacy::{self, apply_edits, from_addon_config, summarize, to_data};

/// The keys of `data` whose values have more to them than a text.
const FIRST: [&str; 3] = ["acr-registry-info", "rrsa", "webhook-configuration"];

/// Checks a ConfigMap: the parts of the input, between zero bytes, are the values of the keys of `data`.
pub fn convert(input: &str) {
    let rest = KEYS.iter().filter(|key| !FIRST.contains(key));
    let keys = FIRST.iter().chain(rest).map(|key| (*key).to_owned());
    let data: BTreeMap<String, String> = keys.zip(input.split('\0').map(str::to_owned)).collect();
    let conversion = legacy::convert(&data);
    assert!(conversion.spec.is_some() || conversion.has_errors());
    assert!(conversion.findings.len() <= 201 && summarize(&conversion.findings).len() <= 1024);
    let mut repaired = BTreeMap::new();
    for (key, value) in &data {
        let of_key = conversion.findings.iter().filter(|finding| finding.data_key() == key);
        let mut spans: Vec<_> = of_key.flat_map(|f| &f.edits).map(|edit| edit.span.clone()).collect();
        spans.sort_by_key(|span| (span.start, span.end));
        assert!(spans.iter().all(|span| value.get(span.clone()).is_some()));
        assert!(spans.windows(2).all(|two| two[0].end <= two[1].start && two[0] != two[1]));
        repaired.insert(key.clone(), apply_edits(value, key, &conversion.findings));
    }
    let again = legacy::convert(&repaired);
    if let Some(spec) = &conversion.spec {
        // The edits write what was read.
        assert!(conversion.has_errors() || again.spec.as_ref() == Some(spec), "{repaired:?}");
        let said = to_data(spec);
        assert!(said.is_err() || legacy::convert(&said.unwrap_or_default()).spec.as_ref() == Some(spec));
    }
}

/// Checks the input as the managed add-on's configuration.
pub fn addon(input: &str) {
    let conversion = from_addon_config(input);
    assert!(conversion.spec.is_some() || conversion.has_errors());
    assert!(conversion.findings.len() <= 201);
    let edits = conversion.findings.iter().flat_map(|finding| &finding.edits);
    assert!(edits.into_iter().all(|edit| input.get(edit.span.clone()).is_some()));
    if let Some(spec) = &conversion.spec {
        let _ = to_data(spec);
    }
}

/// Checks the input as a file for `kubectl acr lint`.
pub fn lint(input: &str) {
    let report = check(&read("file", input));
    assert!(report.diagnostics.len() <= 402);
    let mut spans: Vec<_> =
        report.diagnostics.iter().flat_map(|d| &d.edits).map(|edit| edit.span.clone()).collect();
    spans.sort_by_key(|span| (span.start, span.end));
    assert!(spans.iter().all(|span| input.get(span.clone()).is_some()));
    assert!(spans.windows(2).all(|two| two[0].end <= two[1].start && two[0] != two[1]));
    let written = |format| {
        let mut bytes = Vec::new();
        report.write(format, &mut bytes).map(|()| bytes).unwrap_or_default()
    };
    written(Format::Human { colour: true });
    for format in [Format::Json, Format::Sarif] {
        assert!(serde_json::from_slice::<serde_json::Value>(&written(format)).is_ok());
    }
}

/// Checks the input as the body of an admission review.
pub fn review(input: &str) {
    match review::read(input.as_bytes()) {
        Ok(review) => {
            // The answer repeats it, and what is kept is not more than what was sent.
            assert!(review.uid.len() <= input.len());
            let Some(subject) = review.subject else { return };
            let list = &subject.account.pull_secrets;
            assert!(list.len() <= 4096 && list.iter().all(|name| name.len() <= 253));
            assert!(subject.has_list || list.is_empty());
            assert!(list.iter().map(|name| name.len()).sum::<usize>() <= input.len());
            assert!(subject.namespace.len() <= input.len());
        }
        Err(invalid) => assert!(!invalid.0.is_empty()),
    }
}

/// Checks each line of the input as a registry's domain.
pub fn domains(input: &str) {
    for line in input.split('\n') {
        if let Some(meant) = domain::meant(line) {
            // What a message says to write is accepted.
            assert!(
                domain::check(&meant).is_ok() && domain::check_port(&meant).is_ok(),
                "{line:?}: {meant:?}"
            );
        }
        match domain::check(line) {
            Ok(()) => assert!(!line.is_empty() && line.len() <= 253 && line.is_ascii()),
            Err(message) => assert!(!message.is_empty() && message.len() <= 4096, "{message}"),
        }
    }
}

/// Checks each line of the input as an ARN.
pub fn arns(input: &str) {
    for line in input.split('\n') {
        for parse in [Arn::role, Arn::oidc_provider] {
            match parse(line) {
                Ok(arn) => {
                    assert!(arn.as_str() == line && line.starts_with("acs:ram::"));
                    assert!(!arn.name().is_empty() && line.ends_with(&format!("/{}", arn.name())));
                }
                Err(message) => assert!(message.contains("is not an ARN of the form acs:ram::")),
            }
        }
        assert!(Arn::role(line).is_err() || Arn::oidc_provider(line).is_err());
    }
}

/// Checks the input as a reply of the cloud: a status, a line feed, and a body.
pub fn replies(input: &str) {
    let (status, body) = input.split_once('\n').unwrap_or(("200", input));
    let status = status.parse().unwrap_or(200);
    let reply = ReceivedReply { status, body: body.as_bytes(), now: Timestamp::UNIX_EPOCH };
    let short = |message: &str| message.len() <= 2048 && !message.contains(char::is_control);
    match read_reply::token(reply) {
        Ok(credential) => {
            assert!((200..300).contains(&status) && credential.expires_at > reply.now);
            assert!(!credential.username.is_empty() && !credential.username.contains(':'));
            assert!(!credential.token.expose_secret().is_empty());
        }
        Err(error) => assert!(short(&error.message), "{error}"),
    }
    match read_reply::domains(reply) {
        Ok(names) => {
            assert!((200..300).contains(&status) && !names.is_empty());
            assert!(names.iter().all(|name| domain::check(name).is_ok()), "{names:?}");
        }
        Err(error) => assert!(short(&error.message), "{error}"),
    }
}
