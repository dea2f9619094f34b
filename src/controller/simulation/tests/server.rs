//! The model API server: lists, watches, writes, and what goes wrong with them. It is a service behind kube's client,
//! so that no byte leaves the process.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;
use http::{Method, Request, Response};
use kube::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::{BoxError, service_fn};

use super::cluster::{ModelAnswer, ModelCluster, ModelEvent, ModelKey, failure};

/// Streams of one HTTP/2 connection, as the API server allows them. Further requests wait in their order.
const STREAMS: usize = 100;

/// How often a write fails while the weather is bad, of a hundred.
const BAD_LUCK: u32 = 25;

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct ModelServer(Arc<ModelState>);

struct ModelState {
    cluster: Mutex<ModelCluster>,
    changed: watch::Sender<u64>,
    weather: Mutex<Weather>,
}

/// What goes wrong.
struct Weather {
    rng: StdRng,
    /// Writes fail at random.
    is_bad: bool,
    /// Namespaces whose writes are never answered.
    hung: HashSet<String>,
    /// ServiceAccounts that a policy refuses.
    refused: HashSet<(String, String)>,
    /// ServiceAccounts that others annotate as soon as they exist, and at each write: its version is old then.
    annotated: bool,
    /// A namespace in which the answer of the next write is lost, and no event is sent from that write on.
    silenced: Option<String>,
    /// That namespace, and the version before that write.
    silent: Option<(String, u64)>,
    /// All watches end when this changes.
    cuts: watch::Sender<()>,
}

/// What becomes of one write.
enum Luck {
    Good,
    Refused(u16),
    /// It takes effect, and its answer is lost.
    Lost,
    Hangs,
}

impl ModelServer {
    /// Returns a server without objects, whose luck follows a seed.
    pub fn new(seed: u64) -> Self {
        let weather = Weather {
            rng: StdRng::seed_from_u64(seed),
            is_bad: false,
            hung: HashSet::new(),
            refused: HashSet::new(),
            annotated: false,
            silenced: None,
            silent: None,
            cuts: watch::Sender::default(),
        };
        Self(Arc::new(ModelState {
            cluster: Mutex::default(),
            changed: watch::Sender::default(),
            weather: Mutex::new(weather),
        }))
    }

    /// Reads or changes the objects, and notifies the watches.
    pub fn cluster<T>(&self, change: impl FnOnce(&mut ModelCluster) -> T) -> T {
        let (result, version) = {
            let mut cluster = self.0.cluster.lock().unwrap_or_else(PoisonError::into_inner);
            (change(&mut cluster), cluster.version)
        };
        self.0.changed.send_if_modified(|known| std::mem::replace(known, version) != version);
        result
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.0.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has writes fail at random, or no more.
    pub fn set_bad(&self, is_bad: bool) {
        self.weather().is_bad = is_bad;
    }

    /// Answers no write in a namespace from now on.
    pub fn hang(&self, namespace: &str) {
        self.weather().hung.insert(namespace.to_owned());
    }

    /// Answers all writes again.
    pub fn answer_all(&self) {
        self.weather().hung.clear();
    }

    /// Refuses a ServiceAccount's writes from now on.
    pub fn refuse(&self, namespace: &str, account: &str) {
        self.weather().refused.insert((namespace.to_owned(), account.to_owned()));
    }

    /// Has each account annotated by others while our first write of it is on its way.
    pub fn annotate_accounts(&self) {
        self.weather().annotated = true;
    }

    /// Loses the answer of the next write in a namespace, and holds back the namespace's events from that write on.
    pub fn silence(&self, namespace: &str) {
        self.weather().silenced = Some(namespace.to_owned());
    }

    /// Sends the events that were held back.
    pub fn end_silence(&self) {
        self.weather().silent = None;
        self.0.changed.send_modify(|_| {});
    }

    /// Ends all watches.
    pub fn cut(&self) {
        self.weather().cuts.send_replace(());
    }

    /// Returns a client with a connection of its own.
    pub fn client(&self) -> Client {
        let (server, streams) = (self.clone(), Arc::new(Semaphore::new(STREAMS)));
        let service = service_fn(move |request: Request<kube::client::Body>| {
            let (server, streams) = (server.clone(), streams.clone());
            async move {
                let stream = streams.acquire_owned().await?;
                server.answer(request, stream).await
            }
        });
        Client::new(service, "default")
    }

    async fn answer(
        &self,
        request: Request<kube::client::Body>,
        stream: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, BoxError> {
        let latency = self.weather().rng.random_range(1..6);
        tokio::time::sleep(Duration::from_millis(latency)).await;
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let target = ModelTarget::parse(parts.uri.path());
        if parts.method == Method::GET {
            if query.contains("watch=") {
                return Ok(self.watch(&target, &query, stream));
            }
            return respond(self.read(&target, &query));
        }
        let luck = if target.is_object() { self.luck(&target) } else { Luck::Good };
        match luck {
            Luck::Refused(code) => return respond(failure(code, "", "bad luck")),
            Luck::Hangs => std::future::pending().await,
            Luck::Good | Luck::Lost => {}
        }
        let apply = parts
            .headers
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().ends_with(b"apply-patch+yaml"));
        let answer = self.write(&parts.method, apply, &target, &body);
        if matches!(luck, Luck::Lost) {
            return Err("the answer is lost".into());
        }
        respond(answer)
    }

    fn luck(&self, target: &ModelTarget) -> Luck {
        let mut weather = self.weather();
        let (_, namespace, name) = &target.key;
        if weather.silenced.take_if(|silenced| silenced == namespace).is_some() {
            weather.silent = Some((namespace.clone(), self.cluster(|cluster| cluster.version)));
            return Luck::Lost;
        }
        if weather.hung.contains(namespace) {
            return Luck::Hangs;
        }
        if weather.refused.contains(&(namespace.clone(), name.clone())) {
            return Luck::Refused(422);
        }
        if !weather.is_bad || !weather.rng.random_ratio(BAD_LUCK, 100) {
            return Luck::Good;
        }
        match weather.rng.random_range(0..8) {
            0..4 => Luck::Refused([409, 429, 500, 503][weather.rng.random_range(0..4)]),
            4..7 => Luck::Lost,
            _ => Luck::Hangs,
        }
    }

    fn write(&self, method: &Method, apply: bool, target: &ModelTarget, body: &Value) -> ModelAnswer {
        let key = &target.key;
        if !target.is_object() {
            // An Event, or a review, which changes nothing.
            return (201, body.clone());
        }
        let annotated = self.weather().annotated && key.0 == "serviceaccounts";
        self.cluster(|cluster| {
            if annotated && let Some(mut account) = cluster.objects.get(key).cloned() {
                let annotations = &mut account["metadata"]["annotations"];
                if annotations["by"].is_null() {
                    annotations["by"] = json!("another");
                    cluster.put(key, account);
                }
            }
            match *method {
                Method::PATCH if apply => cluster.apply(key, body),
                Method::PATCH => cluster.merge(key, body),
                Method::PUT => cluster.set_status(key, body),
                Method::DELETE => cluster.delete_if(key, body),
                _ => failure(405, "MethodNotAllowed", "the model has no such call"),
            }
        })
    }

    fn read(&self, target: &ModelTarget, query: &str) -> ModelAnswer {
        let name = selected(query);
        self.cluster(|cluster| {
            if !target.key.2.is_empty() {
                return match cluster.objects.get(&target.key) {
                    Some(object) => (200, object.clone()),
                    None => failure(404, "NotFound", "there is none"),
                };
            }
            let objects = cluster.objects.iter().filter(|(key, _)| target.lists(key, name.as_deref()));
            let items: Vec<Value> = objects.map(|(_, object)| object.clone()).collect();
            let version = cluster.version.to_string();
            (200, json!({ "metadata": { "resourceVersion": version }, "items": items }))
        })
    }

    fn watch(&self, target: &ModelTarget, query: &str, held: OwnedSemaphorePermit) -> Response<Body> {
        let pairs = || query.split('&').filter_map(|pair| pair.split_once('='));
        let from = pairs().find(|(name, _)| *name == "resourceVersion").and_then(|(_, at)| at.parse().ok());
        let (server, target, name) = (self.clone(), target.clone(), selected(query));
        let (changed, cut) = (self.0.changed.subscribe(), self.weather().cuts.subscribe());
        let begin = (from.unwrap_or(0_u64), changed, cut, held);
        let events = stream::unfold(begin, move |(mut at, mut changed, mut cut, held)| {
            let (server, target, name) = (server.clone(), target.clone(), name.clone());
            async move {
                loop {
                    changed.borrow_and_update();
                    let (events, now) = server.since(at, &target, name.as_deref());
                    at = now;
                    if !events.is_empty() {
                        let lines = events.iter().map(line).collect::<Vec<_>>().concat();
                        return Some((Ok::<_, Infallible>(Bytes::from(lines)), (at, changed, cut, held)));
                    }
                    tokio::select! {
                        biased;
                        _ = cut.changed() => return None,
                        changed = changed.changed() => changed.ok()?,
                    }
                }
            }
        });
        Response::new(Body::from_stream(events))
    }

    fn since(&self, version: u64, target: &ModelTarget, name: Option<&str>) -> (Vec<ModelEvent>, u64) {
        let silent = self.weather().silent.clone();
        self.cluster(|cluster| {
            let begin = cluster.log.partition_point(|event| event.version <= version);
            let is_held = |event: &&ModelEvent| {
                silent.as_ref().is_some_and(|(name, from)| event.key.1 == *name && event.version > *from)
            };
            let held =
                cluster.log[begin..].iter().find(|event| target.lists(&event.key, name) && is_held(event));
            let now = held.map_or(cluster.version, |held| held.version - 1);
            let sent = cluster.log[begin..].iter().take_while(|event| event.version <= now);
            (sent.filter(|event| target.lists(&event.key, name)).cloned().collect(), now)
        })
    }
}

/// The object or the list that a path names.
#[derive(Clone, Debug)]
struct ModelTarget {
    key: ModelKey,
    is_event: bool,
}

impl ModelTarget {
    fn parse(path: &str) -> Self {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let prefix = if parts.first() == Some(&"api") { 2 } else { 3 };
        parts.drain(..prefix.min(parts.len()));
        let mut namespace = "";
        if parts.first() == Some(&"namespaces") && parts.len() > 2 {
            namespace = parts[1];
            parts.drain(..2);
        }
        let part = |at: usize| parts.get(at).copied().unwrap_or_default().to_owned();
        Self { key: (part(0), namespace.to_owned(), part(1)), is_event: part(0) == "events" }
    }

    fn is_object(&self) -> bool {
        !self.is_event && !self.key.2.is_empty()
    }

    fn lists(&self, key: &ModelKey, name: Option<&str>) -> bool {
        key.0 == self.key.0
            && (self.key.1.is_empty() || key.1 == self.key.1)
            && name.is_none_or(|name| key.2 == name)
    }
}

/// Returns the name that a field selector asks for.
fn selected(query: &str) -> Option<String> {
    let fields = query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector="))?;
    let fields = fields.replace("%3D", "=");
    Some(fields.strip_prefix("metadata.name=")?.to_owned())
}

fn line(event: &ModelEvent) -> Vec<u8> {
    format!("{}\n", json!({ "type": event.kind, "object": event.object })).into_bytes()
}

fn respond((code, body): ModelAnswer) -> Result<Response<Body>, BoxError> {
    let response = Response::builder().status(code).header("content-type", "application/json");
    Ok(response.body(Body::from(body.to_string()))?)
}
