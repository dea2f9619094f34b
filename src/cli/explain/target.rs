//! What is explained: an object, an image, or a code.

use std::fmt;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::ApiResource;

/// The kinds of objects whose Pods are created from a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadKind {
    /// `deployment`
    Deployment,
    /// `statefulset`
    StatefulSet,
    /// `daemonset`
    DaemonSet,
    /// `replicaset`
    ReplicaSet,
    /// `job`
    Job,
    /// `cronjob`
    CronJob,
}

impl WorkloadKind {
    const ALL: [Self; 6] =
        [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::ReplicaSet, Self::Job, Self::CronJob];

    /// Returns the word that kubectl takes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::ReplicaSet => "replicaset",
            Self::Job => "job",
            Self::CronJob => "cronjob",
        }
    }

    const fn short(self) -> &'static str {
        match self {
            Self::Deployment => "deploy",
            Self::StatefulSet => "sts",
            Self::DaemonSet => "ds",
            Self::ReplicaSet => "rs",
            Self::Job => "jobs",
            Self::CronJob => "cj",
        }
    }

    /// Returns the kind of an owner reference; `None` for any other kind.
    pub fn of_owner(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|found| found.as_str().eq_ignore_ascii_case(kind))
    }

    /// Returns the API of the kind.
    pub(super) fn resource(self) -> ApiResource {
        match self {
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Self::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
            Self::ReplicaSet => ApiResource::erase::<ReplicaSet>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
            Self::CronJob => ApiResource::erase::<CronJob>(&()),
        }
    }

    /// Returns the fields that lead to the template of the Pods.
    pub(super) const fn template(self) -> &'static [&'static str] {
        match self {
            Self::CronJob => &["spec", "jobTemplate", "spec", "template"],
            _ => &["spec", "template"],
        }
    }

    /// Returns those of an object that is named as `kind/name`.
    pub(super) fn template_of(object: &str) -> &'static [&'static str] {
        object
            .split_once('/')
            .and_then(|(kind, _)| Self::of_owner(kind))
            .unwrap_or(Self::Deployment)
            .template()
    }
}

/// What is explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExplainTarget {
    /// A Pod, by its name.
    Pod(String),
    /// A workload, by kind and name.
    Workload(WorkloadKind, String),
    /// A ServiceAccount, by its name.
    ServiceAccount(String),
    /// An image that a Pod would pull.
    Image(String),
    /// A code of a finding or a cause, or a reason of a condition.
    Topic(String),
}

impl ExplainTarget {
    /// Reads the words of the command line: `pod/x`, `pod x`, `image HOST/…` or a code.
    ///
    /// # Errors
    /// What the words are not, and what to write instead.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let (kind, name) = match words {
            [word] => match word.split_once('/') {
                Some(pair) => pair,
                None => return Ok(Self::Topic(word.clone())),
            },
            [kind, name] => (kind.as_str(), name.as_str()),
            _ => return Err(format!("the name is missing: {USAGE}")),
        };
        if name.is_empty() {
            return Err(format!("the name is missing: {USAGE}"));
        }
        let kind = kind.to_ascii_lowercase();
        let name = name.to_owned();
        match kind.as_str() {
            "image" | "images" => return Ok(Self::Image(name)),
            "pod" | "pods" | "po" => return Ok(Self::Pod(name)),
            "serviceaccount" | "serviceaccounts" | "sa" => return Ok(Self::ServiceAccount(name)),
            _ => {}
        }
        // kubectl also takes the group, as in `deployment.apps`.
        let plain = kind.split('.').next().unwrap_or_default();
        let is_meant = |found: &WorkloadKind| {
            let word = found.as_str();
            plain == word || plain == found.short() || plain.strip_suffix('s') == Some(word)
        };
        match WorkloadKind::ALL.into_iter().find(is_meant) {
            Some(found) => Ok(Self::Workload(found, name)),
            None if words.len() == 1 && kind.contains(['.', ':']) => {
                Err(format!("{:?} is not a kind of object: for an image write: image {}", kind, words[0]))
            }
            None => Err(format!("{kind:?} is not a kind that is explained: {USAGE}")),
        }
    }
}

impl fmt::Display for ExplainTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => write!(f, "pod/{name}"),
            Self::Workload(kind, name) => write!(f, "{}/{name}", kind.as_str()),
            Self::ServiceAccount(name) => write!(f, "serviceaccount/{name}"),
            Self::Image(image) => write!(f, "image {image}"),
            Self::Topic(topic) => f.write_str(topic),
        }
    }
}

/// The forms of a target.
const USAGE: &str = "write pod/NAME, deploy/NAME, sts/NAME, ds/NAME, rs/NAME, job/NAME, cronjob/NAME, sa/NAME, image HOST/PATH:TAG, or a code";

#[cfg(test)]
mod tests {
    use super::{ExplainTarget, WorkloadKind};

    fn parse(words: &str) -> Result<ExplainTarget, String> {
        ExplainTarget::parse(&words.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        for words in ["deploy/x", "deployment x", "deployments/x", "deployment.apps/x", "Deploy x"] {
            let expected = ExplainTarget::Workload(WorkloadKind::Deployment, "x".to_owned());
            assert_eq!(parse(words), Ok(expected), "{words}");
        }
        for words in ["job/x", "jobs x", "job.batch/x"] {
            assert_eq!(parse(words).unwrap().to_string(), "job/x", "{words}");
        }
        for (words, found) in [
            ("po/x", "pod/x"),
            ("sa x", "serviceaccount/x"),
            ("rs/x", "replicaset/x"),
            ("sts/x", "statefulset/x"),
            ("ds/x", "daemonset/x"),
            ("cj/x", "cronjob/x"),
            ("cronjobs x", "cronjob/x"),
            ("image a.com/b/c:1", "image a.com/b/c:1"),
            ("ACR805", "ACR805"),
        ] {
            assert_eq!(parse(words).unwrap().to_string(), found, "{words}");
        }
        assert_eq!(parse("AccessDenied"), Ok(ExplainTarget::Topic("AccessDenied".to_owned())));
    }

    #[test]
    fn other_words_are_refused_with_what_to_write() {
        assert!(parse("a.com/b:1").unwrap_err().ends_with("for an image write: image a.com/b:1"));
        for words in ["node/x", "pod/", "a b c"] {
            assert!(parse(words).unwrap_err().contains("write pod/NAME"), "{words}");
        }
    }
}
