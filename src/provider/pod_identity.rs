//! The identity that mints for a Pod: pure decisions.

use super::config::{PodIdentityConfig, ProviderConfig, role_of};
use super::failure::ProviderFailure;
use crate::api::names::ANNOTATION_ROLE_NAME;
use crate::model::identity::{CredentialSource, Identity};

/// What a request says of the Pod.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestingPod<'a> {
    /// Whether it has a token of the Pod's ServiceAccount.
    pub has_token: bool,
    /// Value of [`ANNOTATION_ROLE_NAME`].
    pub role_name: Option<&'a str>,
}

/// Returns the identity that mints for a Pod, for an entry with the identity `entry`. An entry's own `rrsaRoleARN` comes
/// first, then the role of the ServiceAccount, then the file's, and then the node's where the file allows it.
///
/// # Errors
/// There is none, or the one that is asked for cannot be used.
pub fn for_pod(
    config: &ProviderConfig,
    entry: &Identity,
    pod: RequestingPod<'_>,
) -> Result<Identity, ProviderFailure> {
    let refused = |message: String| ProviderFailure::Refused(message);
    if let CredentialSource::Rrsa { role, .. } = &entry.source {
        if !pod.has_token {
            return Err(refused(no_token(role.as_str())));
        }
        return Ok(entry.clone());
    }
    let role = match (&config.pod_identity, pod.role_name) {
        (Some(PodIdentityConfig { provider, .. }), Some(name)) => {
            Some(role_of(provider, name).ok_or_else(|| {
                let name: String = name.chars().take(64).collect();
                refused(format!(
                    "the annotation {ANNOTATION_ROLE_NAME} of the Pod's ServiceAccount is {name:?}, which is not the name of a \
                     role: write the name alone, such as acr-pull"
                ))
            })?)
        }
        (Some(PodIdentityConfig { default_role, .. }), None) => default_role.clone(),
        (None, Some(_)) => {
            return Err(refused(format!(
                "the Pod's ServiceAccount has the annotation {ANNOTATION_ROLE_NAME}, and the file names no OIDC provider: set \
                 podIdentity.oidcProviderARN"
            )));
        }
        (None, None) => None,
    };
    match (role, &config.pod_identity) {
        (Some(role), Some(PodIdentityConfig { provider, .. })) if pod.has_token => {
            let source = CredentialSource::Rrsa { role, provider: provider.clone() };
            Ok(Identity { source, ..entry.clone() })
        }
        // A role of the ServiceAccount's own is never replaced by the node's.
        (Some(role), _) if pod.role_name.is_some() || !config.fall_back_to_node_role => {
            Err(refused(no_token(role.as_str())))
        }
        _ if config.fall_back_to_node_role => Ok(entry.clone()),
        _ => Err(refused(format!(
            "the Pod's ServiceAccount has no role: annotate it with {ANNOTATION_ROLE_NAME}, or set podIdentity.roleName or \
             fallBackToNodeRole: true in the file"
        ))),
    }
}

fn no_token(role: &str) -> String {
    format!(
        "the kubelet sends no token of the ServiceAccount for the role {role}: set tokenAttributes with \
         serviceAccountTokenAudience: sts.aliyuncs.com in the CredentialProviderConfig"
    )
}

#[cfg(test)]
mod tests {
    use super::{RequestingPod, for_pod};
    use crate::model::identity::Identity;
    use crate::provider::ProviderConfig;

    const PODS: &str = "podIdentity: {oidcProviderARN: 'acs:ram::7:oidc-provider/p'}";
    const DEFAULT: &str = "podIdentity: {oidcProviderARN: 'acs:ram::7:oidc-provider/p', roleName: file}";
    const NODE: &str = "fallBackToNodeRole: true";
    const PLAIN: &str = "instanceId: cri-demo0001";
    const OWN: &str = "{instanceId: cri-demo0001, rrsaRoleARN: 'acs:ram::7:role/own', \
                       rrsaOIDCProviderRoleARN: 'acs:ram::7:oidc-provider/p'}";

    fn chosen(entry: &str, rest: &[&str], pod: RequestingPod<'_>) -> Result<String, String> {
        let text = format!("registries:\n- {entry}\n{}", rest.join("\n"));
        let config = ProviderConfig::parse("f.yaml", &text).unwrap();
        let registries = config.registries("cn-hangzhou").unwrap();
        let identity = for_pod(&config, &registries[0].key.identity, pod);
        identity.map(|found: Identity| found.chain("node")).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_pod_has_the_role_of_the_entry_of_its_account_of_the_file_or_of_the_node() {
        let annotated = RequestingPod { has_token: true, role_name: Some("pod") };
        let token = RequestingPod { has_token: true, role_name: None };
        let bare = RequestingPod::default();
        for (entry, rest, pod, expected) in [
            (OWN, &[DEFAULT][..], annotated, Ok("rrsa:own")),
            (PLAIN, &[DEFAULT, NODE], annotated, Ok("rrsa:pod")),
            (PLAIN, &[DEFAULT, NODE], token, Ok("rrsa:file")),
            (PLAIN, &[PODS, NODE], token, Ok("node")),
            (PLAIN, &[DEFAULT, NODE], bare, Ok("node")),
            (PLAIN, &[NODE], bare, Ok("node")),
            // The node's role is an explicit switch, and not for a role that is asked for.
            (PLAIN, &[PODS], token, Err("annotate it with pod-identity.alibabacloud.com/role-name")),
            (PLAIN, &[], bare, Err("or set podIdentity.roleName or fallBackToNodeRole: true")),
            (PLAIN, &[NODE], annotated, Err("set podIdentity.oidcProviderARN")),
            (
                OWN,
                &[NODE],
                bare,
                Err("set tokenAttributes with serviceAccountTokenAudience: sts.aliyuncs.com"),
            ),
            (PLAIN, &[DEFAULT], bare, Err("for the role acs:ram::7:role/file: set tokenAttributes")),
            (
                PLAIN,
                &[PODS, NODE],
                RequestingPod { has_token: false, role_name: Some("pod") },
                Err("role/pod: set tokenAttributes"),
            ),
            (
                PLAIN,
                &[PODS, NODE],
                RequestingPod { has_token: true, role_name: Some("acs:ram::2:role/x") },
                Err("write the name alone"),
            ),
        ] {
            match (chosen(entry, rest, pod), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{rest:?} {pod:?}"),
                (Err(message), Err(words)) => assert!(message.contains(words), "{message}"),
                (found, expected) => panic!("{entry} {rest:?} {pod:?}: {found:?}, not {expected:?}"),
            }
        }
    }
}
