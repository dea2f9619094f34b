//! Vector D of `alibaba-api.md` §7, and one test a fault. What is sealed here is sealed by the same library that
//! opens it; the vector, which others sealed, shows that the two of them are not wrong together.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{AccessKey, read};
use crate::api::condition::Reason;
use crate::cloud::error::{Failure, Retry};

const KEYRING: &str = "fake-keyring1234";
const VECTOR_D: &str = "Ik032ULdaqWth2fvyigEcJHGMNNMnATo04/d+c5Jxz+bJN0Jh8fKd8A5MlNnYRwf";
const NOW: &str = "2021-01-01T08:22:45Z";
const END: &str = "2021-01-01T14:22:45Z";
const IV: [u8; 16] = *b"an IV is no text";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn sealed(text: &[u8], keyring: &str) -> String {
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

fn document() -> Value {
    json!({
        "access.key.id": VECTOR_D,
        "access.key.secret": sealed(b"the-secret", KEYRING),
        "security.token": sealed(b"the-token", KEYRING),
        "expiration": END,
        "keyring": KEYRING,
        "role.arn": "acs:ram::1:role/AliyunCSManagedAcrRole",
        "cluster.type": "ManagedKubernetes",
    })
}

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut document = document();
    document[field] = value.into();
    document
}

fn opened(document: &Value, now: &str) -> AccessKey {
    read(&document.to_string(), at(now)).unwrap().unwrap()
}

fn refused(text: &str) -> Failure {
    let failure = read(text, at(NOW)).unwrap_err();
    assert_eq!(failure.reason, Reason::AddonTokenInvalid);
    let message = &failure.message;
    assert!(message.starts_with("ACK's addon token "), "{message}");
    assert!(
        message.ends_with("; re-authorise the role AliyunCSManagedAcrRole in the ACK console, or use RRSA"),
        "{message}"
    );
    for hidden in [VECTOR_D, KEYRING, "fake-accessKeyId", "the-secret", "the-token", "wrong-keyring", "prose"]
    {
        assert!(!message.contains(hidden), "{hidden} in {message}");
    }
    failure
}

/// The sentence between its beginning and its cure.
fn fault(document: &Value) -> String {
    let message = refused(&document.to_string()).message;
    let (what, _) = message.split_once("; ").unwrap();
    what.strip_prefix("ACK's addon token ").unwrap().to_owned()
}

#[test]
fn vector_d_and_what_stands_beside_it_are_read_whole() {
    let key = opened(&document(), NOW);
    assert_eq!(
        (key.id.as_str(), &*key.holder),
        ("fake-accessKeyId", "the managed role AliyunCSManagedAcrRole")
    );
    assert_eq!(key.secret.expose_secret(), "the-secret");
    assert_eq!(key.token.unwrap().expose_secret(), "the-token");
    assert_eq!(key.expires_at, at(END));
}

#[test]
fn a_keyring_may_have_24_or_32_bytes() {
    for keyring in ["24 bytes make an AES-192", "and it takes 32 bytes for AES256"] {
        let mut document = with("keyring", keyring);
        for (field, text) in [("access.key.id", "id"), ("access.key.secret", "s"), ("security.token", "t")] {
            document[field] = sealed(text.as_bytes(), keyring).into();
        }
        let key = opened(&document, NOW);
        assert_eq!((key.id.as_str(), key.secret.expose_secret()), ("id", "s"), "{keyring}");
    }
}

#[test]
fn a_role_is_named_if_it_is_one() {
    let long = format!("acs:ram::1:role/{}", "x".repeat(65));
    for (arn, expected) in [
        (json!("acs:ram::1:role/b"), "the managed role b"),
        (Value::Null, "the managed role"),
        (json!("acs:ram::1:role/a b"), "the managed role"),
        (json!("<html>"), "the managed role"),
        (json!(long), "the managed role"),
    ] {
        assert_eq!(&*opened(&with("role.arn", arn), NOW).holder, expected);
    }
}

#[test]
fn no_text_and_no_key_in_it_are_no_token() {
    for text in [
        "",
        " \n",
        "{}",
        r#"{"keyring":"k","expiration":"2021-01-01T14:22:45Z"}"#,
        r#"{"access.key.id":null}"#,
    ] {
        assert!(read(text, at(NOW)).unwrap().is_none(), "{text:?}");
    }
}

#[test]
fn a_wrong_keyring_is_told() {
    assert_eq!(
        fault(&with("keyring", "wrong-keyring-16")),
        "is not opened by its keyring (field access.key.id)"
    );
}

#[test]
fn a_keyring_of_another_length_is_told() {
    for keyring in ["", "15-byte-keyring", "17-bytes-keyring!"] {
        assert_eq!(
            fault(&with("keyring", keyring)),
            "has a keyring of neither 16, 24 nor 32 bytes",
            "{keyring}"
        );
    }
    assert_eq!(fault(&with("keyring", Value::Null)), "has a keyring of neither 16, 24 nor 32 bytes");
}

#[test]
fn a_short_iv_is_told() {
    for bytes in [&IV[..15], b"x"] {
        let document = with("security.token", STANDARD.encode(bytes));
        assert_eq!(fault(&document), "holds less than one block (field security.token)");
    }
}

#[test]
fn a_ragged_length_is_told() {
    for bytes in [&[0; 16][..], &[0; 17], &[0; 47]] {
        let document = with("security.token", STANDARD.encode(bytes));
        assert_eq!(
            fault(&document),
            "holds no whole number of blocks (field security.token)",
            "{}",
            bytes.len()
        );
    }
}

#[test]
fn bad_padding_is_told() {
    for last in [0, 2, 17, 255] {
        let mut block = *b"fifteen letters\0";
        block[15] = last;
        let cipher = cbc::Encryptor::<aes::Aes128>::new_from_slices(KEYRING.as_bytes(), &IV).unwrap();
        cipher.encrypt_padded::<NoPadding>(&mut block, 16).unwrap();
        let document = with("security.token", STANDARD.encode([IV, block].concat()));
        assert_eq!(fault(&document), "is not opened by its keyring (field security.token)", "{last}");
    }
}

#[test]
fn an_end_that_has_passed_is_told_and_the_next_token_looked_for() {
    for end in [NOW, "2020-01-01T14:22:45Z"] {
        let failure = refused(&with("expiration", end).to_string());
        assert!(
            failure.message.contains("has ended already (check the node's clock)"),
            "{}",
            failure.message
        );
        assert_eq!(failure.retry, Retry::Soon);
    }
}

#[test]
fn an_end_that_is_none_is_told() {
    for end in [Value::Null, json!(""), json!("prose")] {
        assert_eq!(fault(&with("expiration", end)), "has no readable expiration");
    }
}

#[test]
fn what_is_not_base64_is_told() {
    for text in ["prose!", "QUJD=", "é"] {
        assert_eq!(
            fault(&with("access.key.secret", text)),
            "holds what is not base64 (field access.key.secret)"
        );
    }
}

#[test]
fn what_is_not_json_is_told() {
    for text in [
        "prose",
        "<html>the-token</html>",
        "[]",
        "null",
        "{\"keyring\":",
        r#"{"keyring":1}"#,
        r#"{"error":"prose"}"#,
    ] {
        let failure = refused(text);
        assert!(failure.message.contains("is no JSON object of the documented form"), "{}", failure.message);
        assert_eq!(failure.retry, Retry::Rarely);
    }
}

#[test]
fn an_empty_part_is_told() {
    for field in ["access.key.id", "access.key.secret", "security.token"] {
        for value in [json!(""), Value::Null] {
            assert_eq!(fault(&with(field, value)), format!("lacks a part of its key (field {field})"));
        }
        let document = with(field, sealed(b"", KEYRING));
        assert_eq!(fault(&document), format!("holds an empty part of a key (field {field})"));
    }
}

#[test]
fn what_could_not_be_sent_in_a_header_is_told() {
    for text in [&b"\xff\xfe"[..], "é".as_bytes(), b"two words", b"line\n"] {
        let document = with("access.key.id", sealed(text, KEYRING));
        assert_eq!(fault(&document), "opens to what is no printable text (field access.key.id)", "{text:?}");
    }
}

#[test]
fn acks_own_error_is_told_by_its_code_alone() {
    for (code, expected) in [
        (json!("NoPermission"), "says that ACK cannot assume the role (NoPermission)"),
        (json!("EntityNotExist.Role"), "says that ACK cannot assume the role (EntityNotExist.Role)"),
        (json!("prose, with <tags>"), "says that ACK cannot assume the role"),
        (json!("x".repeat(65)), "says that ACK cannot assume the role"),
        (Value::Null, "says that ACK cannot assume the role"),
    ] {
        let error = json!({"roleName": "prose", "code": code, "message": "prose the-token"});
        assert_eq!(fault(&with("error", error.clone())), expected);
        assert_eq!(fault(&json!({ "error": error })), expected);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_is_quoted(text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..80), keyring in "[ -~]{14,33}") {
        let quoted = |document: &str, needle: &str| {
            let told = read(document, at(NOW)).err().map(|failure| failure.message).unwrap_or_default();
            needle.len() > 16 && told.contains(needle)
        };
        prop_assert!(!quoted(&text, &text));
        for part in [text, STANDARD.encode(bytes)] {
            let document = json!({
                "access.key.id": part, "access.key.secret": part, "security.token": part,
                "expiration": part, "keyring": keyring,
            });
            prop_assert!(!quoted(&document.to_string(), &part));
            prop_assert!(!quoted(&document.to_string(), &keyring));
        }
    }
}
