//! Reviews of access: what another user may do, or the caller. They change nothing.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::error::{CallError, call_within};

/// One right: a verb on a resource, everywhere or in one namespace, of any name or of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessRight {
    /// The verb, such as `get`.
    pub verb: String,
    /// The API group; empty for the core.
    pub group: String,
    /// The resource, with its subresource after a slash.
    pub resource: String,
    /// The name of the object, if the right is for one object only.
    pub name: Option<String>,
    /// The namespace, if the right is for one only.
    pub namespace: Option<String>,
}

impl fmt::Display for AccessRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, name, namespace } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{verb} {resource}{dot}{group}")?;
        if let Some(name) = name {
            write!(f, "/{name}")?;
        }
        namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " in {namespace}"))
    }
}

impl AccessRight {
    fn attributes(&self) -> ResourceAttributes {
        let (resource, subresource) = match self.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (self.resource.as_str(), None),
        };
        ResourceAttributes {
            verb: Some(self.verb.clone()),
            group: Some(self.group.clone()),
            resource: Some(resource.to_owned()),
            subresource,
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            ..ResourceAttributes::default()
        }
    }
}

/// The answer to a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessAnswer {
    /// Whether the right is given.
    pub allowed: bool,
    /// The API server's words about what gives it.
    pub reason: String,
}

impl From<Option<SubjectAccessReviewStatus>> for AccessAnswer {
    fn from(status: Option<SubjectAccessReviewStatus>) -> Self {
        let status = status.unwrap_or_default();
        Self { allowed: status.allowed, reason: status.reason.unwrap_or_default() }
    }
}

/// Requests reviews.
#[derive(Clone)]
pub struct AccessReviewer {
    client: Client,
    limit: Duration,
}

impl AccessReviewer {
    /// Creates a reviewer whose requests take at most a time.
    pub fn new(client: Client, limit: Duration) -> Self {
        Self { client, limit }
    }

    /// Returns whether a ServiceAccount has a right.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn of_account(
        &self,
        namespace: &str,
        name: &str,
        right: &AccessRight,
    ) -> Result<AccessAnswer, CallError> {
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        self.of_user(format!("system:serviceaccount:{namespace}:{name}"), &groups, right).await
    }

    /// Returns whether the kubelet of a node has a right.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn of_kubelet(&self, node: &str, right: &AccessRight) -> Result<AccessAnswer, CallError> {
        self.of_user(format!("system:node:{node}"), &["system:nodes".to_owned()], right).await
    }

    async fn of_user(
        &self,
        user: String,
        groups: &[String],
        right: &AccessRight,
    ) -> Result<AccessAnswer, CallError> {
        let groups = groups.iter().cloned().chain(["system:authenticated".to_owned()]);
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user),
                groups: Some(groups.collect()),
                resource_attributes: Some(right.attributes()),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = call_within(self.limit, reviews.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.into())
    }

    /// Returns whether the caller has a right.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn of_caller(&self, right: &AccessRight) -> Result<AccessAnswer, CallError> {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(right.attributes()),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let answer = call_within(self.limit, reviews.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.into())
    }
}

#[cfg(test)]
mod tests {
    use super::AccessRight;

    #[test]
    fn a_right_is_shown_with_its_group_name_and_namespace() {
        let mut right =
            AccessRight { verb: "get".into(), resource: "secrets".into(), ..AccessRight::default() };
        assert_eq!(right.to_string(), "get secrets");
        right.name = Some("a".into());
        right.namespace = Some("b".into());
        assert_eq!(right.to_string(), "get secrets/a in b");
        let status = AccessRight {
            verb: "update".into(),
            group: "acrcredential.dev".into(),
            resource: "acrcredentialbindings/status".into(),
            ..AccessRight::default()
        };
        assert_eq!(status.to_string(), "update acrcredentialbindings/status.acrcredential.dev");
        assert_eq!(status.attributes().subresource.as_deref(), Some("status"));
    }
}
