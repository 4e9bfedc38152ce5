//! `GET /metrics` over HTTP/1, and nothing else.

use std::{convert::Infallible, future, net::SocketAddr, pin::pin, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use tokio::net::{TcpListener, TcpStream};

use crate::{Error, Refusal, Result, error::words};

/// Connections served at a time; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 8;
/// How long a client may take for the head of a request, and may be silent between two.
const HEAD_TIMEOUT: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5000 });
/// How long a connection lives: a client that reads nothing must not hold its place.
const LIFETIME: Duration = Duration::from_secs(60);

/// A server whose port is taken already, so that nothing can fail later.
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Takes the port.
    pub async fn bind(address: SocketAddr) -> Result<Self, Refusal> {
        let refused = |error| {
            let message = format!("cannot serve metrics at {address}: {}", words(&error));
            Refusal::new(message, "choose another address and port with --metrics ADDR:PORT")
        };
        Ok(Self { listener: TcpListener::bind(address).await.map_err(refused)? })
    }

    /// Where it listens, with the real port where 0 was asked for.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(Error::io("read the metrics server's address"))
    }

    /// Serves for ever; dropping the future ends it with all its connections. `render` makes the text for
    /// each request, on the caller's thread.
    pub async fn run(self, render: impl Fn() -> Result<String>) -> Infallible {
        let mut connections = FuturesUnordered::new();
        loop {
            let busy = connections.len();
            let accept = async {
                match busy < MOST_CONNECTIONS {
                    true => self.listener.accept().await,
                    false => future::pending().await,
                }
            };
            // Both are fine to be dropped half-way: accept takes nothing then, and next keeps its futures.
            tokio::select! {
                accepted = accept => match accepted {
                    Ok((stream, _)) => connections.push(serve(stream, &render)),
                    Err(error) => {
                        tracing::warn!(%error, "cannot take a connection for metrics");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
                Some(()) = connections.next(), if busy > 0 => {}
            }
        }
    }
}

async fn serve(stream: TcpStream, render: &impl Fn() -> Result<String>) {
    let service = service_fn(|request| future::ready(Ok::<_, Infallible>(answer(&request, render))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(LIFETIME, pin!(connection)).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client of the metrics went away"),
    }
}

fn answer(request: &Request<Incoming>, render: &impl Fn() -> Result<String>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => match render() {
            Ok(text) => response(StatusCode::OK, CONTENT_TYPE, text),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
        },
        (_, "/metrics") => response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".into()),
        _ => response(StatusCode::NOT_FOUND, PLAIN, "only /metrics\n".into()),
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn only_metrics_are_given_away() {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.address().unwrap();
        let taken = Server::bind(address).await.err().unwrap();
        assert!(taken.message.contains("Address already in use"), "{taken}");
        let client = async {
            let close = "host: x\r\nconnection: close\r\n\r\n";
            let good = ask(address, &format!("GET /metrics HTTP/1.1\r\n{close}")).await;
            assert!(good.starts_with("HTTP/1.1 200") && good.ends_with("xbr_x 1\n"), "{good}");
            assert!(good.contains(CONTENT_TYPE), "{good}");
            let lost = ask(address, &format!("GET / HTTP/1.1\r\n{close}")).await;
            assert!(lost.starts_with("HTTP/1.1 404"), "{lost}");
            let post = ask(address, &format!("POST /metrics HTTP/1.1\r\n{close}")).await;
            assert!(post.starts_with("HTTP/1.1 405"), "{post}");
            assert!(ask(address, "nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
        };
        tokio::select! {
            _ = server.run(|| Ok("xbr_x 1\n".into())) => {},
            () = client => {}
        }
    }

    #[tokio::test]
    async fn silent_clients_do_not_keep_their_places() {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.address().unwrap();
        let client = async {
            let mut silent = Vec::new();
            for _ in 0..MOST_CONNECTIONS {
                silent.push(TcpStream::connect(address).await.unwrap());
            }
            let good = ask(address, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
            assert!(good.starts_with("HTTP/1.1 200"), "{good}");
        };
        tokio::select! {
            _ = server.run(|| Ok(String::new())) => {},
            () = client => {}
        }
    }
}
