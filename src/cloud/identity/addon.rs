//! The managed role, from the token that ACK keeps in the cluster: `alibaba-api.md` §7.
//!
//! The key that opens it lies beside it. So this is obfuscation; what protects the token is who may read it.

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

use super::AccessKey;
use crate::api::condition::Reason;
use crate::cloud::error::{Failure, Retry};
use crate::model::identity::Arn;

/// AES works on blocks of this many bytes. The first of a part is no text: it is the IV.
const BLOCK: usize = 16;

const CURE: &str = "re-authorise the role AliyunCSManagedAcrRole in the ACK console, or use RRSA";

/// Not `Debug`: it holds a session and what opens it.
#[derive(Deserialize)]
struct Document {
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
    error: Option<Refused>,
}

/// ACK could not assume the role. What it says in prose is not read.
#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    code: Option<String>,
}

/// What is wrong with a token: the end of a sentence that begins with it.
struct Fault {
    what: String,
    retry: Retry,
}

/// Reads what ACK wrote under `addon.token.config`. `None` if there is no token in it: no text, or none of the
/// three parts of a key.
///
/// # Guarantees
/// - No byte of the text is in a failure, but for the code of ACK's own error, if it is a harmless word.
///
/// # Errors
/// `AddonTokenInvalid`, if the token cannot be opened, has ended, or says that ACK could not get one.
pub(super) fn read(text: &str, now: Timestamp) -> Result<Option<AccessKey>, Failure> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    open(text, now).map_err(|Fault { what, retry }| {
        Failure::new(Reason::AddonTokenInvalid, retry, format!("ACK's addon token {what}; {CURE}"))
    })
}

fn open(text: &str, now: Timestamp) -> Result<Option<AccessKey>, Fault> {
    // A list would be taken for the fields in their order.
    let object = text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
    let Document { id, secret, token, expiration, keyring, role, error } =
        object.ok_or("is no JSON object of the documented form")?;
    if let Some(refused) = error {
        let code = refused.code.filter(|code| is_word(code)).map(|code| format!(" ({code})"));
        let what = format!("says that ACK cannot assume the role{}", code.unwrap_or_default());
        return Err(what.into());
    }
    if id.is_none() && secret.is_none() && token.is_none() {
        return Ok(None);
    }
    let keyring = keyring.unwrap_or_default();
    let part = |name, written| decrypt(name, written, keyring.as_bytes());
    let id = part("access.key.id", id)?;
    let secret = SecretString::from(part("access.key.secret", secret)?.as_str());
    let token = SecretString::from(part("security.token", token)?.as_str());
    let expires_at =
        expiration.and_then(|text| text.parse::<Timestamp>().ok()).ok_or("has no readable expiration")?;
    if expires_at <= now {
        // ACK writes the next one without a human, unless the clock here is what is wrong.
        let what = "has ended already (check the node's clock)".to_owned();
        return Err(Fault { what, retry: Retry::Soon });
    }
    let holder = holder(role.as_deref()).into();
    Ok(Some(AccessKey { holder, id: id.to_string(), secret, token: Some(token), expires_at }))
}

/// One part of the key. No part can be anything but printable ASCII, since all three are sent in headers; that tells
/// most texts apart that were opened by a wrong keyring and happen to be padded well.
fn decrypt(name: &str, written: Option<String>, keyring: &[u8]) -> Result<Zeroizing<String>, Fault> {
    let fault = |what: &str| Fault::from(format!("{what} (field {name})"));
    let written = written.filter(|text| !text.is_empty()).ok_or_else(|| fault("lacks a part of its key"))?;
    let sealed = STANDARD.decode(written).map_err(|_| fault("holds what is not base64"))?;
    let mut sealed = Zeroizing::new(sealed);
    let (iv, blocks) =
        sealed.split_at_mut_checked(BLOCK).ok_or_else(|| fault("holds less than one block"))?;
    if blocks.is_empty() || blocks.len() % BLOCK != 0 {
        return Err(fault("holds no whole number of blocks"));
    }
    let opened = match keyring.len() {
        16 => unseal::<Decryptor<Aes128>>(keyring, iv, blocks),
        24 => unseal::<Decryptor<Aes192>>(keyring, iv, blocks),
        32 => unseal::<Decryptor<Aes256>>(keyring, iv, blocks),
        _ => return Err("has a keyring of neither 16, 24 nor 32 bytes".into()),
    };
    let opened = opened.ok_or_else(|| fault("is not opened by its keyring"))?;
    if opened.is_empty() {
        return Err(fault("holds an empty part of a key"));
    }
    let text = std::str::from_utf8(opened).ok().filter(|text| text.chars().all(|c| c.is_ascii_graphic()));
    text.map(|text| Zeroizing::new(text.to_owned()))
        .ok_or_else(|| fault("opens to what is no printable text"))
}

/// Decrypts in place; `None` if the padding is not whole.
fn unseal<'b, D: BlockModeDecrypt + KeyIvInit>(
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

/// Whether it can stand in a status.
fn is_word(text: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len()) && text.chars().all(harmless)
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self { what, retry: Retry::Rarely }
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Self {
        what.to_owned().into()
    }
}

#[cfg(test)]
mod tests;
