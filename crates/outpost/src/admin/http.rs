//! A small HTTP server for operators: bounded in every direction, and knowing nothing of what it serves.
//!
//! Each connection carries one request without a body, and lives no longer than the idle timeout; further
//! connections wait to be accepted. So a peer that is slow, silent or greedy holds one of a few seats for
//! a while, and nothing else.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX};

/// How long to wait after accepting has failed, for instance because there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A question: the path, and what stands behind the question mark.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Beginning with a slash.
    pub path: &'a str,
    /// Without the question mark.
    pub query: Option<&'a str>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it went.
    pub status: StatusCode,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Plain text.
    pub fn text(status: StatusCode, body: impl Into<String>) -> Answer {
        Answer {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }
}

/// Answers questions, on a thread where that may take its time.
pub type Answerer = dyn Fn(Asked<'_>) -> Answer + Send + Sync;

/// Accepts connections until `shutdown` is ready, then waits for those that are being served.
pub async fn serve(
    listener: TcpListener,
    answerer: Arc<Answerer>,
    idle_timeout: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let seats = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &seats) => accepted,
        };
        match accepted {
            Ok((stream, seat)) => {
                let connection = converse(stream, Arc::clone(&answerer), idle_timeout);
                connections.spawn(async move {
                    connection.await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting an HTTP connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, seat))
}

/// One request and its answer, within `patience`.
async fn converse(stream: TcpStream, answerer: Arc<Answerer>, patience: Duration) {
    let answer = service_fn(move |request| answer(Arc::clone(&answerer), request));
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .max_headers(HTTP_HEADERS_MAX)
        // As Java writes them; some scripts search for `Content-Type`.
        .title_case_headers(true)
        .keep_alive(false);
    let connection = server.serve_connection(TokioIo::new(stream), answer);
    match tokio::time::timeout(patience, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection failed"),
        Err(_) => tracing::debug!("an HTTP connection took too long"),
    }
}

async fn answer(
    answerer: Arc<Answerer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "only GET and HEAD are served\n";
        let mut response = respond(Answer::text(StatusCode::METHOD_NOT_ALLOWED, text));
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return Ok(response);
    }
    if !request.body().is_end_stream() {
        let text = "a request must have no body\n";
        return Ok(respond(Answer::text(StatusCode::PAYLOAD_TOO_LARGE, text)));
    }
    let uri = request.uri().clone();
    let made = tokio::task::spawn_blocking(move || {
        answerer(Asked {
            path: uri.path(),
            query: uri.query(),
        })
    });
    Ok(respond(made.await.unwrap_or_else(|error| {
        tracing::error!(%error, "answering an HTTP request failed");
        Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the answer failed\n")
    })))
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let content_type = HeaderValue::from_static(answer.content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
