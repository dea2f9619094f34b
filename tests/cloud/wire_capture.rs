//! Capture of the bytes that the client sends to the cloud.

use std::sync::{Arc, Mutex};

use acr_credential_binding::cloud::CloudSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A recording proxy between client and cloud.
#[derive(Clone, Debug, Default)]
pub(crate) struct WireCapture {
    sent: Arc<Mutex<Vec<u8>>>,
}

impl WireCapture {
    /// Starts a proxy and points the settings at it.
    pub(crate) fn on(settings: &mut CloudSettings) -> Self {
        let simulator = settings.network.simulator.as_mut().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let cloud = std::mem::replace(&mut simulator.address, listener.local_addr().unwrap());
        let (listener, capture) = (TcpListener::from_std(listener).unwrap(), Self::default());
        let recorder = capture.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let cloud = TcpStream::connect(cloud).await.unwrap();
                tokio::spawn(recorder.clone().relay(client, cloud));
            }
        });
        capture
    }

    /// Returns method and URL of each request, which logs and proxies record.
    pub(crate) fn urls(&self) -> Vec<String> {
        let text = self.text();
        let mut heads: Vec<_> = text.split(" HTTP/1.1\r\n").collect();
        // The text after the last request line does not begin another request.
        heads.pop();
        heads.into_iter().map(|head| head[head.rfind("POST /").unwrap()..].to_owned()).collect()
    }

    /// Returns everything that was sent.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.sent.lock().unwrap().clone()).unwrap()
    }

    async fn relay(self, client: TcpStream, cloud: TcpStream) {
        let ((mut from_client, mut to_client), (mut from_cloud, mut to_cloud)) =
            (client.into_split(), cloud.into_split());
        let back = tokio::spawn(async move { tokio::io::copy(&mut from_cloud, &mut to_client).await });
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            // Recorded before it is passed on, so that it is complete when the reply arrives.
            self.sent.lock().unwrap().extend_from_slice(&buffer[..read]);
            to_cloud.write_all(&buffer[..read]).await.unwrap();
        }
        drop(to_cloud);
        let _ = back.await;
    }
}
