//! The content of etcd, read and written without the API server, by the JSON form of its API.

use std::collections::BTreeMap;

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

/// Most writes of one transaction, as etcd allows by default.
const TRANSACTION: usize = 128;

/// A key's value, in base64, as etcd has it.
pub(super) type Objects = BTreeMap<String, String>;

/// A change of one key.
pub(super) enum Write {
    /// Sets the value, in base64.
    Put(String),
    /// Removes the key.
    Delete,
}

/// A client of one etcd.
pub(super) struct Etcd {
    url: String,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    key: String,
    #[serde(default)]
    value: String,
}

impl Etcd {
    pub(super) fn on(port: u16) -> Etcd {
        Etcd { url: format!("http://127.0.0.1:{port}/v3/kv"), client: reqwest::Client::new() }
    }

    /// Returns all objects of the API server, by their keys.
    pub(super) async fn objects(&self) -> anyhow::Result<Objects> {
        let all = json!({ "key": STANDARD.encode("/registry/"), "range_end": STANDARD.encode("/registry0") });
        let range: Range = serde_json::from_value(self.ask("range", &all).await?)?;
        range.kvs.into_iter().map(|entry| Ok((text(&entry.key)?, entry.value))).collect()
    }

    /// Makes these changes, many at a time.
    pub(super) async fn write(&self, changes: &BTreeMap<String, Write>) -> anyhow::Result<()> {
        let requests: Vec<Value> = changes
            .iter()
            .map(|(key, change)| match change {
                Write::Put(value) => {
                    json!({ "request_put": { "key": STANDARD.encode(key), "value": value } })
                }
                Write::Delete => json!({ "request_delete_range": { "key": STANDARD.encode(key) } }),
            })
            .collect();
        for some in requests.chunks(TRANSACTION) {
            self.ask("txn", &json!({ "success": some })).await?;
        }
        Ok(())
    }

    /// Raises the revision by so many.
    pub(super) async fn bump_revision(&self, by: usize) -> anyhow::Result<()> {
        let write = json!({ "key": STANDARD.encode("/lab/revision"), "value": STANDARD.encode("bumped") });
        for _ in 0..by {
            self.ask("put", &write).await?;
        }
        Ok(())
    }

    async fn ask(&self, what: &str, request: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/{what}", self.url);
        let answer = self.client.post(&url).json(request).send().await.context("etcd does not answer")?;
        Ok(answer.error_for_status()?.json().await?)
    }
}

fn text(key: &str) -> anyhow::Result<String> {
    String::from_utf8(STANDARD.decode(key)?).context("a key is not text")
}
