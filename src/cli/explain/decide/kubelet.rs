//! Whether the kubelet can have its credential provider log in for the Pod, where no binding does.

use crate::api::names;
use crate::cli::explain::cause::PullCause;
use crate::cli::explain::facts::PullFacts;
use crate::cli::explain::message::PullError;
use crate::cli::explain::verdict::Verdict;
use crate::cli::fact::Fact;

/// Returns the fault of a kubelet that may not request the token. Its own words are in its log only.
pub(super) fn fault(facts: &PullFacts, said: Option<PullError>) -> Option<Verdict> {
    let is_denied = facts.kubelet_may_request == Some(Fact::Known(false));
    let (Fact::Known(Some(account)), Some(pod)) = (&facts.account, &facts.pod) else { return None };
    let role = account.role.as_ref().filter(|_| is_denied && said == Some(PullError::Refused))?;
    let node = pod.node.as_deref().unwrap_or_default();
    let (namespace, name) = (&facts.namespace, &facts.account_name);
    let message = format!(
        "no binding serves the Pod, and the kubelet of {node} may not request a token of {namespace}/{name} for its credential provider"
    );
    let field = format!("metadata.annotations[{}]", names::ANNOTATION_ROLE_NAME);
    let verdict = Verdict::of(PullCause::KubeletMayNotRequestToken, message)
        .because(format!("serviceaccount/{name}"), field, role)
        .because(format!("node/{node}"), format!("the right for {}", names::STS_AUDIENCE), "none");
    Some(verdict.by_command("kubectl apply -f deploy/kubelet/rbac.yaml"))
}
