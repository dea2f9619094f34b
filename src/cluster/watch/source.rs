//! The requests of one watch, with their deadlines and limits.

use std::io;
use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};
use kube::api::{ListParams, WatchParams};
use kube::core::request::Request;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::timeout;
use tracing::debug;

use super::event;
use super::page::{self, LIMIT, ListHead, PageSize};

/// Seconds after which the API server ends a watch. A watch that is open but frozen misses events for that long at
/// most, and a little more.
const WATCH_SECONDS: u32 = 120;

/// The longest silence of a watch. The API server sends a bookmark each minute, and ends the watch before.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// The longest time from a watch request to the head of its response.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// The longest time from a list request to the end of its response.
pub const PAGE_DEADLINE: Duration = Duration::from_secs(30);

/// Bytes of a line's buffer that are kept for the next one.
const KEPT: usize = 64 << 10;

/// Reason why a request was given up.
#[derive(Debug, thiserror::Error)]
enum GivenUp {
    #[error("no response within {} s", HEAD_DEADLINE.as_secs())]
    NoHead,
    #[error("a list took longer than {} s", PAGE_DEADLINE.as_secs())]
    SlowPage,
    #[error("the watch was silent for {} s", LONGEST_SILENCE.as_secs())]
    Silent,
    #[error("a single object is larger than {LIMIT} bytes")]
    TooLarge,
}

impl From<GivenUp> for kube::Error {
    fn from(reason: GivenUp) -> Self {
        Self::Service(Box::new(reason))
    }
}

/// Returns the error of an object over the limit whose name is unknown.
pub fn too_large() -> kube::Error {
    GivenUp::TooLarge.into()
}

/// Returns whether an error is [`too_large`].
pub fn is_too_large(error: &kube::Error) -> bool {
    let reason = match error {
        kube::Error::Service(reason) => reason.downcast_ref(),
        _ => None,
    };
    matches!(reason, Some(GivenUp::TooLarge))
}

/// The objects to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchConfig {
    fields: Option<String>,
    labels: Option<String>,
}

impl WatchConfig {
    /// Selects objects by a field selector.
    #[must_use]
    pub fn fields(self, selector: &str) -> Self {
        Self { fields: Some(selector.to_owned()), ..self }
    }

    /// Selects objects by a label selector.
    #[must_use]
    pub fn labels(self, selector: &str) -> Self {
        Self { labels: Some(selector.to_owned()), ..self }
    }
}

/// The objects of one watch.
pub struct WatchSource {
    client: Client,
    request: Request,
    fields: Option<String>,
    labels: Option<String>,
}

/// The body of a response.
enum Body {
    Whole(Vec<u8>),
    /// The first bytes of one over the limit.
    Beginning(Vec<u8>),
}

impl WatchSource {
    /// Returns the objects of an API that a configuration selects.
    pub fn new<K: Resource>(api: Api<K>, config: &WatchConfig) -> Self {
        Self {
            request: Request::new(api.resource_url()),
            client: api.into_client(),
            fields: config.fields.clone(),
            labels: config.labels.clone(),
        }
    }

    /// Lists all objects, and hands over each. Returns the version of the list.
    ///
    /// # Errors
    /// The list failed; some objects may have been handed over.
    pub async fn list<K>(&self, mut put: impl FnMut(K)) -> Result<String, watcher::Error>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let failed = watcher::Error::InitialListFailed;
        let (mut size, mut continue_token) = (PageSize::default(), None);
        loop {
            let body = timeout(PAGE_DEADLINE, self.page(size, continue_token.as_ref())).await;
            let head = match body.unwrap_or_else(|_| Err(GivenUp::SlowPage.into())).map_err(failed)? {
                Body::Whole(body) => {
                    size = size.after(body.len());
                    page::decode(&body, &mut put).map_err(|error| failed(kube::Error::SerdeError(error)))?
                }
                Body::Beginning(beginning) => match size.halved() {
                    Some(half) => {
                        debug!(kind = &*K::kind(&()), objects = size.objects(), "page given up at 4 MiB");
                        size = half;
                        continue;
                    }
                    None => pass_over::<K>(&beginning).ok_or_else(|| failed(too_large()))?,
                },
            };
            continue_token = head.continue_token.filter(|token| !token.is_empty());
            if continue_token.is_none() {
                let version = head.resource_version.filter(|version| !version.is_empty());
                return version.ok_or(watcher::Error::NoResourceVersion);
            }
        }
    }

    /// Returns the version of the latest state, by a list of one object.
    ///
    /// # Errors
    /// The list failed.
    pub async fn version(&self) -> Result<String, watcher::Error> {
        let body = timeout(PAGE_DEADLINE, self.page(PageSize::ONE, None)).await;
        let body = body.unwrap_or_else(|_| Err(GivenUp::SlowPage.into()));
        let failed = watcher::Error::InitialListFailed;
        let head = match body.map_err(failed)? {
            Body::Whole(body) => page::decode(&body, &mut |_: IgnoredAny| {})
                .map_err(|error| failed(kube::Error::SerdeError(error)))?,
            Body::Beginning(body) => page::head(&body).unwrap_or_default(),
        };
        head.resource_version.filter(|version| !version.is_empty()).ok_or(watcher::Error::NoResourceVersion)
    }

    /// Reads one page, up to the limit. Its remainder is not received then.
    async fn page(&self, size: PageSize, continue_token: Option<&String>) -> kube::Result<Body> {
        // Without a version, each list is the latest state.
        let params = ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: Some(size.objects()),
            continue_token: continue_token.cloned(),
            ..ListParams::default()
        };
        let request = self.request.list(&params).map_err(kube::Error::BuildRequest)?;
        let mut response = std::pin::pin!(self.client.request_stream(request).await?);
        let mut body = Vec::new();
        read_up_to(LIMIT + 1, &mut response, &mut body).await.map_err(kube::Error::ReadEvents)?;
        Ok(if body.len() > LIMIT { Body::Beginning(body) } else { Body::Whole(body) })
    }

    /// Starts a watch after a version.
    ///
    /// # Errors
    /// The API server refused, or sent no head of a response in time.
    pub async fn watch(&self, version: &str) -> kube::Result<WatchLines> {
        let params = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = self.request.watch(&params, version).map_err(kube::Error::BuildRequest)?;
        let response = timeout(HEAD_DEADLINE, self.client.request_stream(request)).await;
        let response = response.unwrap_or_else(|_| Err(GivenUp::NoHead.into()))?;
        Ok(WatchLines { response: Box::pin(response), line: Vec::new() })
    }
}

/// Returns the head of a page that holds a single object over the limit, which is left out.
fn pass_over<K>(beginning: &[u8]) -> Option<ListHead>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    const ITEMS: &[u8] = b"\"items\":[";
    let head = page::head(beginning)?;
    let at = beginning.windows(ITEMS.len()).position(|window| window == ITEMS)?;
    if let Some(object) = beginning.get(at..).and_then(event::stub::<K>) {
        event::warn_of_size(&object);
    }
    Some(head)
}

async fn read_up_to(
    limit: usize,
    response: &mut (impl AsyncRead + Unpin),
    body: &mut Vec<u8>,
) -> io::Result<usize> {
    response.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(body).await
}

/// The lines of an open watch.
pub struct WatchLines {
    response: std::pin::Pin<Box<dyn AsyncBufRead + Send>>,
    line: Vec<u8>,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub enum WatchLine<'a> {
    /// The watch ended.
    End,
    /// A complete line.
    Whole(&'a [u8]),
    /// The first bytes of a line over the limit. Its remainder was received and dropped.
    TooLong(&'a [u8]),
}

impl WatchLines {
    /// Returns the next line.
    ///
    /// # Errors
    /// The connection failed, or nothing came for too long.
    pub async fn next(&mut self) -> kube::Result<WatchLine<'_>> {
        self.line.clear();
        self.line.shrink_to(KEPT);
        let read = timeout(LONGEST_SILENCE, read_line(&mut self.response, &mut self.line)).await;
        let read = read.map_err(|_| GivenUp::Silent)?.map_err(kube::Error::ReadEvents)?;
        Ok(match read {
            ReadLine::End => WatchLine::End,
            ReadLine::Whole => WatchLine::Whole(&self.line),
            ReadLine::TooLong => WatchLine::TooLong(&self.line),
        })
    }
}

enum ReadLine {
    End,
    Whole,
    TooLong,
}

/// Reads a line, of which no more than the limit is kept. An incomplete line is the end.
async fn read_line(response: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<ReadLine> {
    let mut too_long = false;
    loop {
        let received = response.fill_buf().await?;
        if received.is_empty() {
            return Ok(ReadLine::End);
        }
        let end = received.iter().position(|byte| *byte == b'\n');
        let part = &received[..end.unwrap_or(received.len())];
        let room = LIMIT.saturating_sub(line.len());
        too_long |= part.len() > room;
        line.extend_from_slice(&part[..part.len().min(room)]);
        let consumed = part.len() + usize::from(end.is_some());
        response.consume_unpin(consumed);
        if end.is_some() {
            return Ok(if too_long { ReadLine::TooLong } else { ReadLine::Whole });
        }
    }
}
