//! The managed component's token: encrypted as ACK does it, and a session like any other.

use std::time::Duration;

use aes::Aes128;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use serde_json::Value;

use super::{Ask, Key, demo};
use crate::cloud::clock::parse_iso8601;

fn decrypt(sealed: &str, keyring: &str) -> String {
    let bytes = STANDARD.decode(sealed).unwrap();
    let (iv, cipher) = bytes.split_at(16);
    let key: [u8; 16] = keyring.as_bytes().try_into().unwrap();
    let opened = Decryptor::<Aes128>::new(&key.into(), iv.try_into().unwrap());
    String::from_utf8(opened.decrypt_padded_vec::<Pkcs7>(cipher).unwrap()).unwrap()
}

fn open(token: &str) -> Key {
    let token: Value = serde_json::from_str(token).unwrap();
    let keyring = token["keyring"].as_str().unwrap();
    let field = |name: &str| decrypt(token[name].as_str().unwrap(), keyring);
    let (id, secret) = (field("access.key.id"), field("access.key.secret"));
    Key { id, secret, token: Some(field("security.token")) }
}

#[tokio::test]
async fn its_keys_pull_in_the_clusters_account_until_it_expires_and_assume_no_role() {
    let cloud = demo().await;
    let token = cloud.addon_token(Duration::from_secs(1800));
    let facts: Value = serde_json::from_str(&token).unwrap();
    let end = parse_iso8601(facts["expiration"].as_str().unwrap()).unwrap();
    assert!((1_798_000..=1_800_000).contains(&(end - cloud.now())));

    let key = open(&token);
    Ask::token(&cloud, &key).send(&cloud).await.ok();
    assert_eq!(cloud.calls()[0].identity, "role/AliyunCSManagedAcrRole");
    let heard = Ask::assume(&cloud, &key, &[]).send(&cloud).await;
    heard.refused(403, "NoPermission");
    assert_eq!(heard.body["AccessDeniedDetail"]["PolicyType"], "AccountLevelIdentityBasedPolicy");
    cloud.set_clock_skew(1801);
    Ask::token(&cloud, &key).send(&cloud).await.refused(400, "InvalidSecurityToken.Expired");
}

#[tokio::test]
async fn each_is_a_session_of_its_own_under_a_keyring_of_its_own() {
    let cloud = demo().await;
    let [first, second] = [(); 2].map(|()| cloud.addon_token(Duration::from_secs(900)));
    assert_ne!(open(&first).id, open(&second).id);
    let fields: [Value; 2] = [&first, &second].map(|token| serde_json::from_str(token).unwrap());
    assert_ne!(fields[0]["keyring"], fields[1]["keyring"]);
    for token in [&first, &second] {
        Ask::token(&cloud, &open(token)).send(&cloud).await.ok();
    }
    let secrets = cloud.secrets();
    let key = open(&first);
    for secret in [&key.secret, key.token.as_ref().unwrap()] {
        assert!(secrets.contains(secret), "{secret}");
    }
    for name in ["access.key.secret", "security.token"] {
        assert!(secrets.contains(&fields[0][name].as_str().unwrap().to_owned()), "encrypted {name}");
    }
}

#[tokio::test]
async fn without_the_role_it_holds_the_reason() {
    let cloud = demo().await;
    cloud.world(|world| world.accounts.get_mut("1").unwrap().roles.clear());
    let token: Value = serde_json::from_str(&cloud.addon_token(Duration::from_secs(900))).unwrap();
    assert_eq!(token["error"]["roleName"], "AliyunCSManagedAcrRole");
    assert_eq!(token["error"]["code"], "EntityNotExist.Role");
    assert!(token["error"]["message"].is_string() && token.get("access.key.id").is_none());
}
