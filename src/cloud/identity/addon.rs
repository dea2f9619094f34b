//! The managed role, from ACK's addon token: `docs/contributing/cloud-api.md`, "Addon token".
//!
//! The token contains its own key, so its encryption is obfuscation. RBAC on the Secret is what protects it.

use aes::{Aes128, Aes192, Aes256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;

use crate::api::condition::Reason;
use crate::cloud::access_key::AccessKey;
use crate::cloud::error::{CloudError, Retry};
use crate::model::identity::Arn;

/// Block size of AES in bytes. The first block of a field is the IV.
const BLOCK: usize = 16;

const REMEDY: &str = "authorise the role AliyunCSManagedAcrRole again in the ACK console, or use RRSA";

/// The addon token as ACK writes it. Not `Debug`: it contains a session and its key.
#[derive(Deserialize)]
struct AddonToken {
    #[serde(default, rename = "access.key.id")]
    id: Option<String>,
    #[serde(default, rename = "access.key.secret")]
    secret: Option<String>,
    #[serde(default, rename = "security.token")]
    token: Option<String>,
    #[serde(default)]
    expiration: Option<String>,
    #[serde(default)]
    keyring: Option<String>,
    #[serde(default, rename = "role.arn")]
    role: Option<String>,
    #[serde(default)]
    error: Option<AddonTokenError>,
}

/// ACK's report that it cannot assume the role. Its prose is ignored.
#[derive(Deserialize)]
struct AddonTokenError {
    #[serde(default)]
    code: Option<String>,
}

/// An addon token that cannot be used.
struct InvalidAddonToken {
    /// Problem, which continues a sentence that begins with the token.
    problem: String,
    retry: Retry,
}

/// Parses the text under `addon.token.config`. Returns `None` for an empty text, and for one without any field of a
/// key.
///
/// # Guarantees
/// - An error contains no byte of the text, except the code of ACK's own error if it is one harmless word.
///
/// # Errors
/// `AddonTokenInvalid`, if the token cannot be decrypted, has expired, or contains ACK's error.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Option<AccessKey>, CloudError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    parse_token(text, now).map_err(|InvalidAddonToken { problem, retry }| {
        CloudError::new(Reason::AddonTokenInvalid, retry, format!("ACK's addon token {problem}; {REMEDY}"))
    })
}

fn parse_token(text: &str, now: Timestamp) -> Result<Option<AccessKey>, InvalidAddonToken> {
    // Serde would accept a list as the fields in their order.
    let object = text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
    let AddonToken { id, secret, token, expiration, keyring, role, error } =
        object.ok_or("is not a JSON object of the documented form")?;
    if let Some(error) = error {
        let code = error.code.filter(|code| is_word(code)).map(|code| format!(" ({code})"));
        let problem = format!("reports that ACK cannot assume the role{}", code.unwrap_or_default());
        return Err(problem.into());
    }
    if id.is_none() && secret.is_none() && token.is_none() {
        return Ok(None);
    }
    let keyring = keyring.unwrap_or_default();
    let field = |name, encrypted| decrypt(name, encrypted, keyring.as_bytes());
    let id = field("access.key.id", id)?;
    let secret = SecretString::from(field("access.key.secret", secret)?.as_str());
    let token = SecretString::from(field("security.token", token)?.as_str());
    let expires_at =
        expiration.and_then(|text| text.parse::<Timestamp>().ok()).ok_or("has no valid expiration")?;
    if expires_at <= now {
        // ACK writes the next token by itself, unless the clock here is wrong.
        let problem = "has expired (check the node's clock)".to_owned();
        return Err(InvalidAddonToken { problem, retry: Retry::Soon });
    }
    let holder = holder(role.as_deref()).into();
    Ok(Some(AccessKey { holder, id: id.to_string(), secret, token: Some(token), expires_at }))
}

/// Decrypts one field. The result must be printable ASCII, since all three fields are sent in headers. This also
/// detects most texts that a wrong keyring decrypts to valid padding.
fn decrypt(
    name: &str,
    encrypted: Option<String>,
    keyring: &[u8],
) -> Result<Zeroizing<String>, InvalidAddonToken> {
    let invalid = |problem: &str| InvalidAddonToken::from(format!("{problem} (field {name})"));
    let encrypted = encrypted.filter(|text| !text.is_empty()).ok_or_else(|| invalid("lacks a value"))?;
    let bytes = STANDARD.decode(encrypted).map_err(|_| invalid("is not valid base64"))?;
    let mut bytes = Zeroizing::new(bytes);
    let (iv, blocks) =
        bytes.split_at_mut_checked(BLOCK).ok_or_else(|| invalid("is shorter than one AES block"))?;
    if blocks.is_empty() || blocks.len() % BLOCK != 0 {
        return Err(invalid("does not consist of whole AES blocks"));
    }
    let decrypted = match keyring.len() {
        16 => decrypt_blocks::<Decryptor<Aes128>>(keyring, iv, blocks),
        24 => decrypt_blocks::<Decryptor<Aes192>>(keyring, iv, blocks),
        32 => decrypt_blocks::<Decryptor<Aes256>>(keyring, iv, blocks),
        _ => return Err("has a keyring whose length is not 16, 24 or 32 bytes".into()),
    };
    let decrypted = decrypted.ok_or_else(|| invalid("cannot be decrypted with its keyring"))?;
    if decrypted.is_empty() {
        return Err(invalid("decrypts to an empty value"));
    }
    let text = std::str::from_utf8(decrypted).ok().filter(|text| text.chars().all(|c| c.is_ascii_graphic()));
    text.map(|text| Zeroizing::new(text.to_owned()))
        .ok_or_else(|| invalid("does not decrypt to printable text"))
}

/// Decrypts in place; returns `None` if the padding is not valid.
fn decrypt_blocks<'b, D: BlockModeDecrypt + KeyIvInit>(
    key: &[u8],
    iv: &[u8],
    blocks: &'b mut [u8],
) -> Option<&'b [u8]> {
    D::new_from_slices(key, iv).ok()?.decrypt_padded::<Pkcs7>(blocks).ok()
}

fn holder(role: Option<&str>) -> String {
    // RAM allows 64 characters.
    let role = role.and_then(|text| Arn::role(text).ok()).filter(|role| role.name().len() <= 64);
    role.map_or_else(|| "the managed role".to_owned(), |role| format!("the managed role {}", role.name()))
}

/// Returns whether the text is one short word of harmless characters that fits into a status.
fn is_word(text: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len()) && text.chars().all(harmless)
}

impl From<String> for InvalidAddonToken {
    fn from(problem: String) -> Self {
        Self { problem, retry: Retry::Rarely }
    }
}

impl From<&str> for InvalidAddonToken {
    fn from(problem: &str) -> Self {
        problem.to_owned().into()
    }
}

#[cfg(test)]
mod tests;
