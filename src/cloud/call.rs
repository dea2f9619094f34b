//! One call of an API: what is asked of whom, by whom, when.

use k8s_openapi::jiff::Timestamp;

use super::error::{Failure, Retry};
use super::identity::AccessKey;
use crate::api::condition::Reason;

/// The actions that this product uses, and no others: users are told to grant exactly these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A registry user name and token of an Enterprise instance.
    GetAuthorizationToken,
    /// The instance's endpoints with their domains.
    ListInstanceEndpoint,
    /// A user name and token for the account's Personal Edition registries of a region: `GET /tokens`.
    PersonalToken,
    /// A session of a role.
    AssumeRole,
    /// A session of a role, for an OIDC token of the cluster.
    AssumeRoleWithOidc,
}

impl Action {
    /// The name as in the header `x-acs-action`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken | Self::PersonalToken => "GetAuthorizationToken",
            Self::ListInstanceEndpoint => "ListInstanceEndpoint",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithOidc => "AssumeRoleWithOIDC",
        }
    }

    /// The name as a RAM policy has it.
    pub(super) const fn right(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken | Self::PersonalToken => "cr:GetAuthorizationToken",
            Self::ListInstanceEndpoint => "cr:ListInstanceEndpoint",
            Self::AssumeRole => "sts:AssumeRole",
            Self::AssumeRoleWithOidc => "sts:AssumeRoleWithOIDC",
        }
    }

    /// The version of the API that the action belongs to.
    pub(super) const fn version(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken | Self::ListInstanceEndpoint => "2018-12-01",
            Self::PersonalToken => "2016-06-07",
            Self::AssumeRole | Self::AssumeRoleWithOidc => "2015-04-01",
        }
    }

    /// Method and path. The Personal Edition's API alone is of the resource style.
    pub(super) const fn route(self) -> (&'static str, &'static str) {
        match self {
            Self::PersonalToken => ("GET", "/tokens"),
            _ => ("POST", "/"),
        }
    }
}

/// Who asks, and by what it is proved.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    /// A key signs the call.
    Key(&'a AccessKey),
    /// Nothing is signed: the token in the form is the proof.
    Form(&'a Form<'a>),
}

/// Parameters that travel in the body, since addresses get logged. Not shown in `Debug`.
pub(super) struct Form<'a> {
    /// Whose token is in it, for messages.
    pub(super) holder: &'a str,
    /// The parameters, not encoded.
    pub(super) parameters: &'a [(&'a str, &'a str)],
}

impl std::fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// Which hosts serve a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At<'a> {
    /// The host, without scheme or port.
    pub(super) host: &'a str,
    /// Asked if the first one has no address: a VPC name is unknown outside its network.
    pub(super) fallback: Option<&'a str>,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// What is asked.
    pub(super) action: Action,
    /// Where.
    pub(super) at: At<'a>,
    /// What it is about, for messages: `cri-abc in cn-hangzhou`, or the ARN of a role.
    pub(super) subject: &'a str,
    /// Parameters in the address, not encoded. None is a secret.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Who asks.
    pub(super) by: By<'a>,
    /// When.
    pub(super) now: Timestamp,
}

impl<'a> Call<'a> {
    /// Whose right it is that the call is made by: `the worker role W`.
    pub(super) fn holder(&self) -> &'a str {
        match self.by {
            By::Key(key) => &key.holder,
            By::Form(form) => form.holder,
        }
    }

    /// Whether a session signs it, which another one can replace.
    pub(super) fn is_by_session(&self) -> bool {
        matches!(self.by, By::Key(key) if key.token.is_some())
    }

    /// The same call of the other host, if there is one.
    pub(super) fn elsewhere(&self) -> Option<Self> {
        let host = self.at.fallback?;
        Some(Self { at: At { host, fallback: None }, ..*self })
    }

    /// `GetAuthorizationToken at cr-vpc.cn-hangzhou.aliyuncs.com as the worker role W`.
    pub(super) fn described(&self) -> String {
        format!("{} at {} as {}", self.action.name(), self.at.host, self.holder())
    }

    /// The failure of a call whose answer is none.
    pub(super) fn unexpected(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(
            Reason::UnexpectedReply,
            Retry::Soon,
            format!(
                "{what} ({}); if it lasts, look for a proxy that answers in the cloud's stead",
                self.described()
            ),
        )
    }
}
