//! STS `AssumeRoleWithOIDC`: opens a session of a role for a token of the cluster that the role trusts. See
//! `docs/contributing/cloud-api.md`, "AssumeRoleWithOIDC".

use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;

use super::assume::{self, SESSION_NAME};
use super::sources::OidcToken;
use crate::cloud::call::{Action, Call, CallAuth, TokenForm};
use crate::cloud::client::Client;
use crate::cloud::error::CloudError;
use crate::cloud::hosts::Hosts;
use crate::cloud::single_flight::RenewableKey;
use crate::model::identity::Arn;

/// Parameters of `AssumeRoleWithOIDC`, except the token.
pub(super) struct AssumeRoleWithOidc<'a> {
    /// Hosts of STS.
    pub(super) sts: &'a Hosts,
    /// Role to assume.
    pub(super) role: &'a Arn,
    /// OIDC provider that the role trusts.
    pub(super) provider: &'a Arn,
    /// Duration of the session in seconds.
    pub(super) seconds: u32,
    /// Time of the call.
    pub(super) now: Timestamp,
}

/// Sends one call and returns the session's key. The call is not signed, since the token authenticates it. The token is
/// sent in the body, since URLs get logged.
///
/// # Errors
/// An error reply, or a reply without a valid session.
pub(super) async fn assume_role(
    client: &Client,
    request: &AssumeRoleWithOidc<'_>,
    token: &OidcToken,
) -> Result<RenewableKey, CloudError> {
    let seconds = request.seconds.to_string();
    let form = TokenForm {
        holder: &token.holder,
        parameters: &[
            ("OIDCProviderArn", request.provider.as_str()),
            ("RoleArn", request.role.as_str()),
            ("RoleSessionName", SESSION_NAME),
            ("DurationSeconds", &seconds),
            ("OIDCToken", token.token.expose_secret()),
        ],
    };
    let call = Call {
        action: Action::AssumeRoleWithOidc,
        host: request.sts.primary(),
        fallback_host: request.sts.fallback(),
        subject: request.role.as_str(),
        query: &[],
        auth: CallAuth::TokenForm(&form),
        now: request.now,
    };
    let (reply, _) =
        client.call::<assume::AssumeRoleReply>(&call).await.map_err(|failure| failure.into_error())?;
    assume::session(reply, request.role, request.now).map_err(|problem| call.unexpected(problem))
}
