//! Vector D of `docs/contributing/cloud-api.md`, "Addon token", and one test for each problem. The other samples are
//! encrypted by the library that decrypts them, so only the vector shows that both are right.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::parse;
use crate::api::condition::Reason;
use crate::cloud::access_key::AccessKey;
use crate::cloud::error::{CloudError, Retry};

const KEYRING: &str = "fake-keyring1234";
const VECTOR_D: &str = "Ik032ULdaqWth2fvyigEcJHGMNNMnATo04/d+c5Jxz+bJN0Jh8fKd8A5MlNnYRwf";
const NOW: &str = "2021-01-01T08:22:45Z";
const EXPIRATION: &str = "2021-01-01T14:22:45Z";
const IV: [u8; 16] = *b"sixteen IV bytes";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn encrypted(text: &[u8], keyring: &str) -> String {
    let (mut buffer, key) = (text.to_vec(), keyring.as_bytes());
    buffer.resize(text.len() + 16, 0);
    let blocks = match key.len() {
        16 => cbc::Encryptor::<aes::Aes128>::new_from_slices(key, &IV)
            .unwrap()
            .encrypt_padded::<Pkcs7>(&mut buffer, text.len()),
        24 => cbc::Encryptor::<aes::Aes192>::new_from_slices(key, &IV)
            .unwrap()
            .encrypt_padded::<Pkcs7>(&mut buffer, text.len()),
        _ => cbc::Encryptor::<aes::Aes256>::new_from_slices(key, &IV)
            .unwrap()
            .encrypt_padded::<Pkcs7>(&mut buffer, text.len()),
    };
    STANDARD.encode([&IV, blocks.unwrap()].concat())
}

fn token() -> Value {
    json!({
        "access.key.id": VECTOR_D,
        "access.key.secret": encrypted(b"the-secret", KEYRING),
        "security.token": encrypted(b"the-token", KEYRING),
        "expiration": EXPIRATION,
        "keyring": KEYRING,
        "role.arn": "acs:ram::1:role/AliyunCSManagedAcrRole",
        "cluster.type": "ManagedKubernetes",
    })
}

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut token = token();
    token[field] = value.into();
    token
}

fn parsed(token: &Value, now: &str) -> AccessKey {
    parse(&token.to_string(), at(now)).unwrap().unwrap()
}

fn rejected(text: &str) -> CloudError {
    let error = parse(text, at(NOW)).unwrap_err();
    assert_eq!(error.reason, Reason::AddonTokenInvalid);
    let message = &error.message;
    assert!(message.starts_with("ACK's addon token "), "{message}");
    assert!(
        message
            .ends_with("; authorise the role AliyunCSManagedAcrRole again in the ACK console, or use RRSA"),
        "{message}"
    );
    for hidden in [VECTOR_D, KEYRING, "fake-accessKeyId", "the-secret", "the-token", "wrong-keyring", "prose"]
    {
        assert!(!message.contains(hidden), "{hidden} in {message}");
    }
    error
}

/// Returns the part of the message between the subject and the remedy.
fn problem(token: &Value) -> String {
    let message = rejected(&token.to_string()).message;
    let (problem, _) = message.split_once("; ").unwrap();
    problem.strip_prefix("ACK's addon token ").unwrap().to_owned()
}

#[test]
fn vector_d_and_the_other_fields_are_parsed() {
    let key = parsed(&token(), NOW);
    assert_eq!(
        (key.id.as_str(), &*key.holder),
        ("fake-accessKeyId", "the managed role AliyunCSManagedAcrRole")
    );
    assert_eq!(key.secret.expose_secret(), "the-secret");
    assert_eq!(key.token.unwrap().expose_secret(), "the-token");
    assert_eq!(key.expires_at, at(EXPIRATION));
}

#[test]
fn a_keyring_may_have_24_or_32_bytes() {
    for keyring in ["24 bytes make an AES-192", "and it takes 32 bytes for AES256"] {
        let mut token = with("keyring", keyring);
        for (field, text) in [("access.key.id", "id"), ("access.key.secret", "s"), ("security.token", "t")] {
            token[field] = encrypted(text.as_bytes(), keyring).into();
        }
        let key = parsed(&token, NOW);
        assert_eq!((key.id.as_str(), key.secret.expose_secret()), ("id", "s"), "{keyring}");
    }
}

#[test]
fn a_valid_role_is_named() {
    let long = format!("acs:ram::1:role/{}", "x".repeat(65));
    for (arn, expected) in [
        (json!("acs:ram::1:role/b"), "the managed role b"),
        (Value::Null, "the managed role"),
        (json!("acs:ram::1:role/a b"), "the managed role"),
        (json!("<html>"), "the managed role"),
        (json!(long), "the managed role"),
    ] {
        assert_eq!(&*parsed(&with("role.arn", arn), NOW).holder, expected);
    }
}

#[test]
fn a_text_without_a_key_is_not_a_token() {
    for text in [
        "",
        " \n",
        "{}",
        r#"{"keyring":"k","expiration":"2021-01-01T14:22:45Z"}"#,
        r#"{"access.key.id":null}"#,
    ] {
        assert!(parse(text, at(NOW)).unwrap().is_none(), "{text:?}");
    }
}

#[test]
fn a_wrong_keyring_is_reported() {
    assert_eq!(
        problem(&with("keyring", "wrong-keyring-16")),
        "cannot be decrypted with its keyring (field access.key.id)"
    );
}

#[test]
fn a_keyring_of_another_length_is_reported() {
    for keyring in ["", "15-byte-keyring", "17-bytes-keyring!"] {
        assert_eq!(
            problem(&with("keyring", keyring)),
            "has a keyring whose length is not 16, 24 or 32 bytes",
            "{keyring}"
        );
    }
    assert_eq!(
        problem(&with("keyring", Value::Null)),
        "has a keyring whose length is not 16, 24 or 32 bytes"
    );
}

#[test]
fn a_short_iv_is_reported() {
    for bytes in [&IV[..15], b"x"] {
        let token = with("security.token", STANDARD.encode(bytes));
        assert_eq!(problem(&token), "is shorter than one AES block (field security.token)");
    }
}

#[test]
fn a_partial_block_is_reported() {
    for bytes in [&[0; 16][..], &[0; 17], &[0; 47]] {
        let token = with("security.token", STANDARD.encode(bytes));
        assert_eq!(
            problem(&token),
            "does not consist of whole AES blocks (field security.token)",
            "{}",
            bytes.len()
        );
    }
}

#[test]
fn bad_padding_is_reported() {
    for last in [0, 2, 17, 255] {
        let mut block = *b"fifteen letters\0";
        block[15] = last;
        let cipher = cbc::Encryptor::<aes::Aes128>::new_from_slices(KEYRING.as_bytes(), &IV).unwrap();
        cipher.encrypt_padded::<NoPadding>(&mut block, 16).unwrap();
        let token = with("security.token", STANDARD.encode([IV, block].concat()));
        assert_eq!(problem(&token), "cannot be decrypted with its keyring (field security.token)", "{last}");
    }
}

#[test]
fn an_expired_token_is_reported_and_retried_soon() {
    for expiration in [NOW, "2020-01-01T14:22:45Z"] {
        let error = rejected(&with("expiration", expiration).to_string());
        assert!(error.message.contains("has expired (check the node's clock)"), "{}", error.message);
        assert_eq!(error.retry, Retry::Soon);
    }
}

#[test]
fn an_invalid_expiration_is_reported() {
    for expiration in [Value::Null, json!(""), json!("prose")] {
        assert_eq!(problem(&with("expiration", expiration)), "has no valid expiration");
    }
}

#[test]
fn invalid_base64_is_reported() {
    for text in ["prose!", "QUJD=", "é"] {
        assert_eq!(
            problem(&with("access.key.secret", text)),
            "is not valid base64 (field access.key.secret)"
        );
    }
}

#[test]
fn invalid_json_is_reported() {
    for text in [
        "prose",
        "<html>the-token</html>",
        "[]",
        "null",
        "{\"keyring\":",
        r#"{"keyring":1}"#,
        r#"{"error":"prose"}"#,
    ] {
        let error = rejected(text);
        assert!(error.message.contains("is not a JSON object of the documented form"), "{}", error.message);
        assert_eq!(error.retry, Retry::Rarely);
    }
}

#[test]
fn an_empty_field_is_reported() {
    for field in ["access.key.id", "access.key.secret", "security.token"] {
        for value in [json!(""), Value::Null] {
            assert_eq!(problem(&with(field, value)), format!("lacks a value (field {field})"));
        }
        let token = with(field, encrypted(b"", KEYRING));
        assert_eq!(problem(&token), format!("decrypts to an empty value (field {field})"));
    }
}

#[test]
fn text_that_is_not_a_header_value_is_reported() {
    for text in [&b"\xff\xfe"[..], "é".as_bytes(), b"two words", b"line\n"] {
        let token = with("access.key.id", encrypted(text, KEYRING));
        assert_eq!(problem(&token), "does not decrypt to printable text (field access.key.id)", "{text:?}");
    }
}

#[test]
fn acks_error_is_reported_by_its_code_only() {
    for (code, expected) in [
        (json!("NoPermission"), "reports that ACK cannot assume the role (NoPermission)"),
        (json!("EntityNotExist.Role"), "reports that ACK cannot assume the role (EntityNotExist.Role)"),
        (json!("prose, with <tags>"), "reports that ACK cannot assume the role"),
        (json!("x".repeat(65)), "reports that ACK cannot assume the role"),
        (Value::Null, "reports that ACK cannot assume the role"),
    ] {
        let error = json!({"roleName": "prose", "code": code, "message": "prose the-token"});
        assert_eq!(problem(&with("error", error.clone())), expected);
        assert_eq!(problem(&json!({ "error": error })), expected);
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_a_panic_and_is_not_quoted(text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..80), keyring in "[ -~]{14,33}") {
        let quoted = |document: &str, needle: &str| {
            let message = parse(document, at(NOW)).err().map(|error| error.message).unwrap_or_default();
            needle.len() > 16 && message.contains(needle)
        };
        prop_assert!(!quoted(&text, &text));
        for part in [text, STANDARD.encode(bytes)] {
            let token = json!({
                "access.key.id": part, "access.key.secret": part, "security.token": part,
                "expiration": part, "keyring": keyring,
            });
            prop_assert!(!quoted(&token.to_string(), &part));
            prop_assert!(!quoted(&token.to_string(), &keyring));
        }
    }
}
