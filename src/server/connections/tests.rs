use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{ConnectionLimits, serve};

const LONG: Duration = Duration::from_secs(3600);

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn limits(connections: usize) -> ConnectionLimits {
    ConnectionLimits { connections, first_request: LONG, idle: LONG }
}

/// Serves `/`, which answers `ok`, and `/hold`, which answers once it is released.
async fn start(limits: ConnectionLimits) -> (SocketAddr, Arc<Notify>, Arc<Semaphore>) {
    let (asked, release) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let handler = {
        let (asked, release) = (asked.clone(), release.clone());
        async move || {
            asked.notify_one();
            release.acquire().await.unwrap().forget();
            "released"
        }
    };
    let router = Router::new().route("/", get(async || "ok")).route("/hold", get(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, None, router, limits, CancellationToken::new()));
    (address, asked, release)
}

/// Sends a request and reads until its reply has this end.
async fn ask(stream: &mut TcpStream, head: &[u8], end: &str) -> bool {
    stream.write_all(head).await.is_ok() && read_until(stream, end).await
}

async fn read_until(stream: &mut TcpStream, end: &str) -> bool {
    let (mut read, mut buffer) = (Vec::new(), [0; 1024]);
    while !read.ends_with(end.as_bytes()) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
        }
    }
    true
}

/// Waits until the server closes the connection. It must not answer anything.
async fn closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn connections_that_say_nothing_give_way_to_one_that_asks() {
    let (address, ..) = start(limits(4)).await;
    let mut silent = Vec::new();
    for part in [&b""[..], b"GET", b"GET / HTTP/1.1\r\nhost: a", b"PRI * HTTP/2.0"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(part).await.unwrap();
        silent.push(stream);
    }
    let mut client = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut client, HEAD, "ok").await);
    assert!(closed(&mut silent[0]).await, "the one that is idle the longest is closed");
}

#[tokio::test]
async fn a_client_that_was_answered_keeps_its_connection_before_those_that_never_asked() {
    let (address, ..) = start(limits(2)).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut client, HEAD, "ok").await);
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    for stream in &mut silent[..7] {
        assert!(closed(stream).await);
    }
    assert!(ask(&mut client, HEAD, "ok").await);
}

#[tokio::test]
async fn a_request_in_flight_is_never_cut_off_and_a_new_connection_waits_for_its_end() {
    let (address, asked, release) = start(limits(1)).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    asked.notified().await;
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting.write_all(HEAD).await.unwrap();
    release.add_permits(1);
    assert!(read_until(&mut busy, "released").await);
    assert!(read_until(&mut waiting, "ok").await);
}

#[tokio::test]
async fn half_a_head_is_given_up_after_its_time() {
    let first_request = Duration::from_millis(200);
    let (address, ..) = start(ConnectionLimits { first_request, ..limits(4) }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    assert!(closed(&mut stream).await);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time_and_no_earlier() {
    let idle = Duration::from_millis(200);
    let (address, ..) = start(ConnectionLimits { idle, ..limits(4) }).await;
    let connected = std::time::Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut stream, HEAD, "ok").await);
    assert!(closed(&mut stream).await);
    assert!(connected.elapsed() >= idle);
}

/// A head has a bound in bytes, on both versions of HTTP.
#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let (address, ..) = start(limits(4)).await;
    let long = [&b"GET / HTTP/1.1\r\nhost: a\r\nx: "[..], &[b'a'; 80 * 1024], b"\r\n\r\n"].concat();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It is refused before all of it is sent.
    let sent = stream.write_all(&long).await.is_ok();
    assert!(!(sent && read_until(&mut stream, "ok").await));
    assert!(ask(&mut TcpStream::connect(address).await.unwrap(), HEAD, "ok").await);
}

/// The clock is paused, and moves on to the next deadline while the peer says nothing.
#[tokio::test(start_paused = true)]
async fn an_http_2_peer_that_answers_no_ping_is_gone_even_with_a_request_in_flight() {
    let (address, asked, _release) = start(limits(4)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // HEADERS of stream 1, complete: `GET http://a/hold`.
    let headers = *b"\x00\x00\x0c\x01\x05\x00\x00\x00\x01\x82\x86\x04\x05/hold\x01\x01a";
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &headers].concat();
    stream.write_all(&preface).await.unwrap();
    asked.notified().await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "it is still open");
    // PING, with the eight bytes that were never sent back.
    assert!(rest.windows(4).any(|frame| frame == [0, 8, 6, 0]), "{rest:?}");
}
