//! One call of an API: what is asked of whom, by whom, when.

use k8s_openapi::jiff::Timestamp;

use super::error::{Failure, Retry};
use super::identity::AccessKey;
use crate::api::condition::Reason;

/// The actions that this product uses, and no others: users are told to grant exactly these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A registry user name and token.
    GetAuthorizationToken,
    /// The instance's endpoints with their domains.
    ListInstanceEndpoint,
    /// A session of a role.
    AssumeRole,
}

impl Action {
    /// The name as in the header `x-acs-action`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken => "GetAuthorizationToken",
            Self::ListInstanceEndpoint => "ListInstanceEndpoint",
            Self::AssumeRole => "AssumeRole",
        }
    }

    /// The name as a RAM policy has it.
    pub(super) const fn right(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken => "cr:GetAuthorizationToken",
            Self::ListInstanceEndpoint => "cr:ListInstanceEndpoint",
            Self::AssumeRole => "sts:AssumeRole",
        }
    }

    /// The version of the API that the action belongs to.
    pub(super) const fn version(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken | Self::ListInstanceEndpoint => "2018-12-01",
            Self::AssumeRole => "2015-04-01",
        }
    }
}

/// A signed RPC call: `POST /`, all parameters in the query, no body.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// What is asked.
    pub(super) action: Action,
    /// The API's host, without scheme or port.
    pub(super) host: &'a str,
    /// What it is about, for messages: `cri-abc in cn-hangzhou`, or the ARN of a role.
    pub(super) subject: &'a str,
    /// Parameters, not encoded. None is a secret.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Who asks.
    pub(super) key: &'a AccessKey,
    /// When.
    pub(super) now: Timestamp,
}

impl Call<'_> {
    /// `GetAuthorizationToken at cr-vpc.cn-hangzhou.aliyuncs.com as the worker role W`.
    pub(super) fn described(&self) -> String {
        format!("{} at {} as {}", self.action.name(), self.host, self.key.holder)
    }

    /// The failure of a call whose answer is none.
    pub(super) fn odd(&self, what: impl std::fmt::Display) -> Failure {
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
