//! `~/.aliyun/config.json`, as Alibaba Cloud's command line writes it.

use secrecy::SecretString;
use serde::Deserialize;

use super::failure::ProviderFailure;
use crate::cloud::AccessKeyPair;
use crate::model::identity::Arn;

/// Not `Debug`: it contains keys.
#[derive(Deserialize)]
struct CliFile {
    #[serde(default)]
    current: String,
    #[serde(default)]
    profiles: Vec<CliProfile>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct CliProfile {
    name: String,
    mode: String,
    access_key_id: String,
    access_key_secret: String,
    sts_token: String,
    ram_role_arn: String,
}

/// The identity of a profile.
#[derive(Debug)]
pub enum CliIdentity {
    /// A pair.
    Pair {
        /// Its owner, for messages: `the AccessKey of the profile "work" in ~/.aliyun/config.json`.
        holder: Box<str>,
        /// The pair.
        pair: AccessKeyPair,
        /// Role that it assumes.
        role: Option<Arn>,
    },
    /// The role of the machine.
    EcsRole,
}

/// Returns the identity of the current profile, or of the one named `wanted`; `None` if the file has no profile.
///
/// # Errors
/// `BadInput`: the file is not one of the command line's, or the profile has a mode that cannot be used here. No key is in
/// the message.
pub fn parse(name: &str, text: &str, wanted: Option<&str>) -> Result<Option<CliIdentity>, ProviderFailure> {
    let bad = |fault: String| ProviderFailure::BadInput(format!("{name}: {fault}"));
    let file: CliFile = serde_json::from_str(text).map_err(|error| {
        bad(format!("is not valid (line {}, column {}): run aliyun configure", error.line(), error.column()))
    })?;
    if file.profiles.is_empty() {
        return Ok(None);
    }
    let wanted = wanted.unwrap_or(if file.current.is_empty() { "default" } else { &file.current });
    let Some(profile) = file.profiles.iter().find(|profile| profile.name == wanted) else {
        return Err(bad(format!("has no profile {wanted:?}: name one with ALIBABA_CLOUD_PROFILE")));
    };
    let session = Some(&profile.sts_token).filter(|token| !token.is_empty());
    let pair = || {
        if profile.access_key_id.is_empty() || profile.access_key_secret.is_empty() {
            return Err(bad(format!("the profile {wanted:?} has no AccessKey: run aliyun configure")));
        }
        Ok(AccessKeyPair {
            id: profile.access_key_id.as_str().into(),
            secret: SecretString::from(profile.access_key_secret.as_str()),
            token: session.map(|token| SecretString::from(token.as_str())),
        })
    };
    let holder = || format!("the AccessKey of the profile {wanted:?} in {name}").into();
    match profile.mode.as_str() {
        "" | "AK" | "StsToken" => Ok(Some(CliIdentity::Pair { holder: holder(), pair: pair()?, role: None })),
        "RamRoleArn" => {
            let role = Arn::role(&profile.ram_role_arn)
                .map_err(|fault| bad(format!("ram_role_arn of the profile {wanted:?}: {fault}")))?;
            Ok(Some(CliIdentity::Pair { holder: holder(), pair: pair()?, role: Some(role) }))
        }
        "EcsRamRole" => Ok(Some(CliIdentity::EcsRole)),
        mode => {
            let mode: String = mode.chars().take(32).collect();
            Err(bad(format!(
                "the profile {wanted:?} has the mode {mode:?}, which is not supported: use AK, StsToken, RamRoleArn or \
                 EcsRamRole"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CliIdentity, parse};

    fn file(profile: serde_json::Value) -> String {
        json!({ "current": "work", "profiles": [{ "name": "other", "mode": "CloudSSO" }, profile] })
            .to_string()
    }

    fn profile(mode: &str) -> serde_json::Value {
        json!({
            "name": "work", "mode": mode, "access_key_id": "LTAI", "access_key_secret": "secret",
            "sts_token": "session", "ram_role_arn": "acs:ram::1:role/r", "region_id": "cn-hangzhou",
        })
    }

    #[test]
    fn a_profile_is_a_pair_a_session_a_role_or_the_machine() {
        for (mode, expected) in [("AK", None), ("StsToken", None), ("RamRoleArn", Some("r"))] {
            let found = parse("f", &file(profile(mode)), None).unwrap();
            let Some(CliIdentity::Pair { holder, pair, role }) = found else {
                panic!("{mode} is a pair");
            };
            assert_eq!((&*pair.id, pair.token.is_some()), ("LTAI", true), "{mode}");
            assert_eq!(&*holder, "the AccessKey of the profile \"work\" in f");
            assert_eq!(role.as_ref().map(|role| role.name()), expected, "{mode}");
        }
        let machine = parse("f", &file(profile("EcsRamRole")), None).unwrap();
        assert!(matches!(machine, Some(CliIdentity::EcsRole)));
        assert!(parse("f", "{}", None).unwrap().is_none());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_without_its_keys() {
        for (text, wanted, words) in [
            ("{\"secret".to_owned(), None, "is not valid (line 1"),
            (
                file(profile("AK")),
                Some("none"),
                "has no profile \"none\": name one with ALIBABA_CLOUD_PROFILE",
            ),
            (file(profile("AK")), Some("other"), "use AK, StsToken, RamRoleArn or EcsRamRole"),
            (file(json!({ "name": "work", "mode": "AK" })), None, "has no AccessKey: run aliyun configure"),
        ] {
            let failure = parse("f.json", &text, wanted).unwrap_err();
            let message = failure.to_string();
            assert!(message.contains(words) && !message.contains("secret"), "{message}");
            assert_eq!(failure.exit_code(), 2);
        }
    }
}
