//! One API call: action, host, parameters and authentication.

use k8s_openapi::jiff::Timestamp;

use super::access_key::AccessKey;
use super::error::{CloudError, Retry};
use crate::api::condition::Reason;

/// The API actions that the controller uses. The documented RAM policy grants these and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Issues a user name and token for an Enterprise Edition instance.
    GetAuthorizationToken,
    /// Lists the instance's endpoints with their domains.
    ListInstanceEndpoint,
    /// Issues a user name and token for the account's Personal Edition registries of a region: `GET /tokens`.
    PersonalToken,
    /// Opens a session of a role for a signed caller.
    AssumeRole,
    /// Opens a session of a role for an OIDC token of the cluster.
    AssumeRoleWithOidc,
}

impl Action {
    /// Returns the name as in the header `x-acs-action`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken | Self::PersonalToken => "GetAuthorizationToken",
            Self::ListInstanceEndpoint => "ListInstanceEndpoint",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithOidc => "AssumeRoleWithOIDC",
        }
    }

    /// Returns the name as the metrics label it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken | Self::PersonalToken => "get_authorization_token",
            Self::ListInstanceEndpoint => "list_instance_endpoint",
            Self::AssumeRole => "assume_role",
            Self::AssumeRoleWithOidc => "assume_role_with_oidc",
        }
    }

    /// Returns the name as in a RAM policy, `<product>:<action>`.
    pub(super) const fn permission(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken | Self::PersonalToken => "cr:GetAuthorizationToken",
            Self::ListInstanceEndpoint => "cr:ListInstanceEndpoint",
            Self::AssumeRole => "sts:AssumeRole",
            Self::AssumeRoleWithOidc => "sts:AssumeRoleWithOIDC",
        }
    }

    /// Returns the version of the API that the action belongs to.
    pub(super) const fn version(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken | Self::ListInstanceEndpoint => "2018-12-01",
            Self::PersonalToken => "2016-06-07",
            Self::AssumeRole | Self::AssumeRoleWithOidc => "2015-04-01",
        }
    }

    /// Returns method and path. Only the Personal Edition's API is of the ROA style.
    pub(super) const fn route(self) -> (&'static str, &'static str) {
        match self {
            Self::PersonalToken => ("GET", "/tokens"),
            _ => ("POST", "/"),
        }
    }
}

/// Authentication of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum CallAuth<'a> {
    /// The call is signed with this key.
    AccessKey(&'a AccessKey),
    /// The call is not signed: the form contains a token.
    TokenForm(&'a TokenForm<'a>),
}

/// Form parameters, one of which is a token. They are sent in the body, since URLs get logged. `Debug` hides them.
pub(super) struct TokenForm<'a> {
    /// Owner of the token, for messages.
    pub(super) holder: &'a str,
    /// Names and values, not encoded.
    pub(super) parameters: &'a [(&'a str, &'a str)],
}

impl std::fmt::Debug for TokenForm<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenForm").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// One API call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// API action.
    pub(super) action: Action,
    /// Host name, without scheme or port.
    pub(super) host: &'a str,
    /// Host to call if `host` does not resolve. A VPC host does not resolve outside its VPC.
    pub(super) fallback_host: Option<&'a str>,
    /// Target of the call, for messages: `cri-abc in cn-hangzhou`, or the ARN of a role.
    pub(super) subject: &'a str,
    /// Query parameters, not encoded. None is secret.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Authentication.
    pub(super) auth: CallAuth<'a>,
    /// Time of the call, which is signed.
    pub(super) now: Timestamp,
}

impl<'a> Call<'a> {
    /// Returns the identity that makes the call: `the worker role W`.
    pub(super) fn holder(&self) -> &'a str {
        match self.auth {
            CallAuth::AccessKey(key) => &key.holder,
            CallAuth::TokenForm(form) => form.holder,
        }
    }

    /// Returns whether a session signs the call. A session can be replaced by a new one, a permanent key cannot.
    pub(super) fn is_signed_by_session(&self) -> bool {
        matches!(self.auth, CallAuth::AccessKey(key) if key.token.is_some())
    }

    /// Returns the same call to the fallback host, if there is one.
    pub(super) fn at_fallback_host(&self) -> Option<Self> {
        Some(Self { host: self.fallback_host?, fallback_host: None, ..*self })
    }

    /// Describes the call for messages: `GetAuthorizationToken at cr-vpc.cn-hangzhou.aliyuncs.com as the worker role W`.
    pub(super) fn description(&self) -> String {
        format!("{} at {} as {}", self.action.name(), self.host, self.holder())
    }

    /// Returns the error of a reply that does not match the documentation. `problem` begins the message.
    pub(super) fn unexpected(&self, problem: impl std::fmt::Display) -> CloudError {
        let message = format!(
            "{problem} ({}); if this persists, check for a proxy that answers instead of the cloud",
            self.description()
        );
        CloudError::new(Reason::UnexpectedReply, Retry::Soon, message)
    }
}
