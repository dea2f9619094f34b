//! The webhooks that the API server is told of, so that it asks us about new ServiceAccounts and about no others.
//!
//! Names and globs of namespaces are regular expressions in `matchConditions`, since a selector knows no globs and
//! a list of matching names would change with every namespace. `namespaceObject` is never named there: the API
//! server takes such an expression, and then cannot evaluate it.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, RuleWithOperations, ServiceReference, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::api::binding::FailurePolicy;
use crate::api::names;
use crate::model::Binding;
use crate::model::binding::Admission;
use crate::model::labels::Selector;
use crate::model::pattern::Pattern;

/// Bytes of expressions in one webhook at most. The API server bounds what their evaluation may cost, and refuses
/// the ServiceAccount under `Fail` where it costs more; this is a tenth of it.
const MAX_EXPRESSIONS: usize = 64 * 1024;

/// Where the API server asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Service in the controller's own namespace, at port 443.
    Service(Box<str>),
    /// An address: for a lab, whose API server reaches no Service.
    Url(Box<str>),
}

/// Who answers.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The controller's own namespace, about which it is never asked.
    pub namespace: &'a str,
    /// Where.
    pub address: &'a Address,
    /// PEM certificates of the authorities to believe.
    pub ca_bundle: &'a [u8],
    /// Whether it is asked about updates too.
    pub on_update: bool,
}

/// What of a selection one webhook is for.
#[derive(Clone, Copy, PartialEq)]
enum Part<'a> {
    /// Names and globs, which its condition tells.
    Named(&'a [Pattern]),
    /// Labels, which its selector tells.
    Labelled(&'a Selector),
}

impl<'a> Part<'a> {
    fn of(names: &'a [Pattern], selector: Option<&'a Selector>) -> impl Iterator<Item = Self> {
        let named = (!names.is_empty()).then_some(Part::Named(names));
        named.into_iter().chain(selector.map(Part::Labelled))
    }

    fn selector(self) -> Option<&'a Selector> {
        match self {
            Part::Named(_) => None,
            Part::Labelled(selector) => Some(selector),
        }
    }

    fn clause(self, subject: &str) -> Option<String> {
        match self {
            Part::Named(patterns) => matches(subject, patterns),
            Part::Labelled(_) => None,
        }
    }
}

/// One webhook in the making: bindings that differ in their conditions only.
struct Group<'a> {
    admission: Admission,
    namespaces: Option<&'a Selector>,
    accounts: Option<&'a Selector>,
    /// Each is enough; an empty one always holds.
    alternatives: Vec<String>,
}

/// The webhooks for the bindings that ask, in an order that is theirs alone.
pub fn webhooks<'a>(
    asking: impl IntoIterator<Item = &'a Binding>,
    target: &Target<'_>,
) -> Vec<MutatingWebhook> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for binding in asking {
        let Some(admission) = binding.admission else { continue };
        let (namespaces, accounts) = (&binding.namespaces, &binding.service_accounts);
        for of_namespaces in Part::of(namespaces.names(), namespaces.selector()) {
            for of_accounts in Part::of(accounts.names(), accounts.selector()) {
                let excluded = exclusion(namespaces.exclude());
                let clauses = [
                    of_namespaces.clause("request.namespace"),
                    excluded,
                    of_accounts.clause("object.metadata.name").map(|named| {
                        // One that the API server is yet to name, by `generateName`.
                        format!("(!has(object.metadata.name) || object.metadata.name == '' || {named})")
                    }),
                ];
                let alternative = clauses.into_iter().flatten().collect::<Vec<_>>().join(" && ");
                let selectors = (of_namespaces.selector(), of_accounts.selector());
                add(&mut groups, admission, selectors, alternative);
            }
        }
    }
    groups.iter().enumerate().map(|(number, group)| webhook(number, group, target)).collect()
}

fn add<'a>(
    groups: &mut Vec<Group<'a>>,
    admission: Admission,
    (namespaces, accounts): (Option<&'a Selector>, Option<&'a Selector>),
    alternative: String,
) {
    let has_room = |group: &&mut Group<'a>| {
        let held: usize = group.alternatives.iter().map(String::len).sum();
        (group.admission, group.namespaces, group.accounts) == (admission, namespaces, accounts)
            && (group.alternatives.contains(&alternative) || held + alternative.len() <= MAX_EXPRESSIONS)
    };
    match groups.iter_mut().find(has_room) {
        Some(group) if group.alternatives.contains(&alternative) => {}
        Some(group) => group.alternatives.push(alternative),
        None => groups.push(Group { admission, namespaces, accounts, alternatives: vec![alternative] }),
    }
}

/// All patterns as one regular expression; `None` where one of them matches everything.
fn matches(subject: &str, patterns: &[Pattern]) -> Option<String> {
    let alternatives: Vec<String> = patterns.iter().map(Pattern::to_regex).collect();
    if alternatives.iter().any(|regex| regex == "^.*$") {
        return None;
    }
    Some(format!("{subject}.matches(r'{}')", alternatives.join("|")))
}

fn exclusion(patterns: &[Pattern]) -> Option<String> {
    if patterns.is_empty() {
        return None;
    }
    Some(matches("request.namespace", patterns).map_or_else(|| "false".to_owned(), |m| format!("!{m}")))
}

fn webhook(number: usize, group: &Group<'_>, target: &Target<'_>) -> MutatingWebhook {
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

/// Never the namespaces without which no cluster comes up again, nor our own: with `Fail`, a controller that is down
/// would keep itself down.
fn namespace_selector(selector: Option<&Selector>, own: &str) -> LabelSelector {
    let mut never = vec!["kube-system".to_owned()];
    if own != "kube-system" {
        never.push(own.to_owned());
    }
    let mut expressions = vec![LabelSelectorRequirement {
        key: names::LABEL_NAMESPACE_NAME.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(never),
    }];
    expressions.extend(
        selector.and_then(|selector| selector.to_label_selector().match_expressions).into_iter().flatten(),
    );
    LabelSelector { match_expressions: Some(expressions), match_labels: None }
}

fn conditions(group: &Group<'_>, own_namespace: &str) -> Vec<MatchCondition> {
    let ourselves =
        format!("request.userInfo.username != 'system:serviceaccount:{own_namespace}:{}'", names::MANAGER);
    let skip = names::ANNOTATION_SKIP;
    let not_skipped = format!(
        "!(has(object.metadata.annotations) && '{skip}' in object.metadata.annotations && \
         object.metadata.annotations['{skip}'] == 'true')"
    );
    let covered = if group.alternatives.iter().any(String::is_empty) {
        None
    } else {
        Some(group.alternatives.iter().map(|text| format!("({text})")).collect::<Vec<_>>().join(" || "))
    };
    // Our own detaching is no business of this webhook.
    [("not-the-controller", Some(ourselves)), ("not-skipped", Some(not_skipped)), ("covered", covered)]
        .into_iter()
        .filter_map(|(name, expression)| {
            Some(MatchCondition { name: name.to_owned(), expression: expression? })
        })
        .collect()
}

#[cfg(test)]
mod tests;
