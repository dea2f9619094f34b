//! The webhooks of our MutatingWebhookConfiguration: the API server calls them for covered ServiceAccounts only.
//!
//! `matchConditions` never refer to `namespaceObject`: the API server accepts such an expression, and then cannot
//! evaluate it.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, RuleWithOperations, ServiceReference, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::api::binding::FailurePolicy;
use crate::api::names;
use crate::model::Binding;
use crate::model::binding::AdmissionSettings;
use crate::model::coverage::WebhookFilter;
use crate::model::labels::Selector;
use crate::model::skip::TRUE;

/// Bytes of expressions in one webhook at most, a tenth of what the API server evaluates. Under `Fail` it refuses a
/// ServiceAccount whose evaluation costs more.
const MAX_EXPRESSIONS: usize = 64 * 1024;

/// Address that the API server calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Service in the controller's own namespace, at port 443.
    Service(Box<str>),
    /// A URL: for a lab, whose API server does not reach Services.
    Url(Box<str>),
}

/// The webhook that answers.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The controller's own namespace, for which it is never called.
    pub namespace: &'a str,
    /// Its address.
    pub address: &'a Address,
    /// PEM certificates of the authorities to trust.
    pub ca_bundle: &'a [u8],
    /// Whether it is called for updates too.
    pub on_update: bool,
}

/// One webhook in the making: filters that differ in their conditions only.
struct WebhookGroup<'a> {
    admission: AdmissionSettings,
    namespaces: Option<&'a Selector>,
    accounts: Option<&'a Selector>,
    /// Any of them is enough; `None` always holds.
    conditions: Vec<Option<String>>,
}

/// Returns the webhooks for the bindings that enable admission, in an order that depends on the bindings alone.
pub fn webhooks<'a>(
    enabling: impl IntoIterator<Item = &'a Binding>,
    target: &Target<'_>,
) -> Vec<MutatingWebhook> {
    let mut groups: Vec<WebhookGroup<'a>> = Vec::new();
    for binding in enabling {
        let Some(admission) = binding.admission else { continue };
        for filter in binding.coverage().webhook_filters() {
            add(&mut groups, admission, filter);
        }
    }
    groups.iter().enumerate().map(|(number, group)| webhook(number, group, target)).collect()
}

fn add<'a>(groups: &mut Vec<WebhookGroup<'a>>, admission: AdmissionSettings, filter: WebhookFilter<'a>) {
    let WebhookFilter { namespace_selector: namespaces, object_selector: accounts, condition } = filter;
    let length = |condition: &Option<String>| condition.as_ref().map_or(0, String::len);
    let has_room = |group: &&mut WebhookGroup<'a>| {
        let bytes: usize = group.conditions.iter().map(length).sum();
        (group.admission, group.namespaces, group.accounts) == (admission, namespaces, accounts)
            && (group.conditions.contains(&condition) || bytes + length(&condition) <= MAX_EXPRESSIONS)
    };
    match groups.iter_mut().find(has_room) {
        Some(group) if group.conditions.contains(&condition) => {}
        Some(group) => group.conditions.push(condition),
        None => groups.push(WebhookGroup { admission, namespaces, accounts, conditions: vec![condition] }),
    }
}

fn webhook(number: usize, group: &WebhookGroup<'_>, target: &Target<'_>) -> MutatingWebhook {
    let policy = match group.admission.failure_policy {
        FailurePolicy::Ignore => "Ignore",
        FailurePolicy::Fail => "Fail",
    };
    let seconds = i32::try_from(group.admission.timeout.as_secs()).unwrap_or(30);
    let operations = if target.on_update { &["CREATE", "UPDATE"][..] } else { &["CREATE"][..] };
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    MutatingWebhook {
        admission_review_versions: texts(&["v1"]),
        client_config: client_config(target),
        failure_policy: Some(policy.to_owned()),
        match_conditions: Some(conditions(group, target.namespace)),
        match_policy: Some("Equivalent".to_owned()),
        name: format!("{}-{seconds}s-{number}.{}", policy.to_lowercase(), names::GROUP),
        namespace_selector: Some(namespace_selector(group.namespaces, target.namespace)),
        object_selector: Some(group.accounts.map(Selector::to_label_selector).unwrap_or_default()),
        reinvocation_policy: Some("IfNeeded".to_owned()),
        rules: Some(vec![RuleWithOperations {
            api_groups: Some(texts(&[""])),
            api_versions: Some(texts(&["v1"])),
            operations: Some(texts(operations)),
            resources: Some(texts(&["serviceaccounts"])),
            scope: Some("Namespaced".to_owned()),
        }]),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(seconds),
    }
}

fn client_config(target: &Target<'_>) -> WebhookClientConfig {
    let mut config = WebhookClientConfig {
        ca_bundle: Some(ByteString(target.ca_bundle.to_vec())),
        ..WebhookClientConfig::default()
    };
    match target.address {
        Address::Url(url) => config.url = Some(url.to_string()),
        Address::Service(name) => {
            config.service = Some(ServiceReference {
                name: name.to_string(),
                namespace: target.namespace.to_owned(),
                path: Some(names::WEBHOOK_PATH.to_owned()),
                port: Some(443),
            });
        }
    }
    config
}

/// Returns the selector of namespaces. It excludes those that opt out by a label, `kube-system` and the controller's own
/// namespace: with `Fail`, an unavailable controller would prevent its own restart.
fn namespace_selector(selector: Option<&Selector>, own: &str) -> LabelSelector {
    let mut never = vec!["kube-system".to_owned()];
    if own != "kube-system" {
        never.push(own.to_owned());
    }
    let not_in = |key: &str, values: Vec<String>| LabelSelectorRequirement {
        key: key.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(values),
    };
    let mut expressions = vec![
        not_in(names::LABEL_NAMESPACE_NAME, never),
        // An annotation cannot be selected by: this controller's answer decides on it.
        not_in(names::SKIP, TRUE.map(str::to_owned).into()),
    ];
    expressions.extend(
        selector.and_then(|selector| selector.to_label_selector().match_expressions).into_iter().flatten(),
    );
    LabelSelector { match_expressions: Some(expressions), match_labels: None }
}

fn conditions(group: &WebhookGroup<'_>, own_namespace: &str) -> Vec<MatchCondition> {
    let ourselves =
        format!("request.userInfo.username != 'system:serviceaccount:{own_namespace}:{}'", names::MANAGER);
    let skip = names::SKIP;
    let values = TRUE.map(|value| format!("'{value}'")).join(", ");
    let skipped = ["labels", "annotations"].map(|map| {
        format!(
            "(has(object.metadata.{map}) && '{skip}' in object.metadata.{map} && \
             object.metadata.{map}['{skip}'] in [{values}])"
        )
    });
    let not_skipped = format!("!({})", skipped.join(" || "));
    let all: Option<Vec<&String>> = group.conditions.iter().map(Option::as_ref).collect();
    let covered =
        all.map(|all| all.into_iter().map(|text| format!("({text})")).collect::<Vec<_>>().join(" || "));
    // The webhook does not restore the entries that the controller removes.
    [("not-the-controller", Some(ourselves)), ("not-skipped", Some(not_skipped)), ("covered", covered)]
        .into_iter()
        .filter_map(|(name, expression)| {
            Some(MatchCondition { name: name.to_owned(), expression: expression? })
        })
        .collect()
}

#[cfg(test)]
mod tests;
