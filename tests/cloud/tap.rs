//! What the client writes on the wire, seen on its way to the cloud.

use std::sync::{Arc, Mutex};

use acr_credential_binding::cloud::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Keeps all that a client sends, in the order in which it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap {
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    /// Puts itself between the client of these settings and the lab.
    pub(crate) fn on(settings: &mut Settings) -> Self {
        let lab = settings.reach.lab.as_mut().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let cloud = std::mem::replace(&mut lab.address, listener.local_addr().unwrap());
        let (listener, tap) = (TcpListener::from_std(listener).unwrap(), Self::default());
        let kept = tap.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let cloud = TcpStream::connect(cloud).await.unwrap();
                tokio::spawn(kept.clone().relay(client, cloud));
            }
        });
        tap
    }

    /// Method and address of each request, which are what logs and proxies write down.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let text = self.text();
        let mut heads: Vec<_> = text.split(" HTTP/1.1\r\n").collect();
        // What follows the last first line is no beginning of another.
        heads.pop();
        heads.into_iter().map(|head| head[head.rfind("POST /").unwrap()..].to_owned()).collect()
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.sent.lock().unwrap().clone()).unwrap()
    }

    async fn relay(self, client: TcpStream, cloud: TcpStream) {
        let ((mut from_client, mut to_client), (mut from_cloud, mut to_cloud)) =
            (client.into_split(), cloud.into_split());
        let back = tokio::spawn(async move { tokio::io::copy(&mut from_cloud, &mut to_client).await });
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            // Kept before it is passed on, so that it is there when the answer is.
            self.sent.lock().unwrap().extend_from_slice(&buffer[..read]);
            to_cloud.write_all(&buffer[..read]).await.unwrap();
        }
        drop(to_cloud);
        let _ = back.await;
    }
}
