//! A small HTTP server for operators: bounded in every direction, and knowing nothing of what it serves.
//!
//! Each connection carries one request, and lives no longer than the idle timeout unless an answer in pieces goes
//! on being taken; further connections wait to be accepted. So a peer that is slow, silent or greedy holds one of
//! a few seats for a while, and nothing else. A request's body is never kept.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use outpost_forward::clock;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use crate::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX,
};
use crate::logs::Rarely;
use crate::stats::Stats;
use crate::tls::explain;

/// How long to wait after accepting has failed, for instance because there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// GET (for HEAD too: the answer's body is left out later) or POST.
    pub method: &'a Method,
    /// Beginning with a slash.
    pub path: &'a str,
    /// What stands behind the question mark, without it.
    pub query: Option<&'a str>,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// Who asks.
    pub caller: &'a Caller,
}

impl<'a> Asked<'a> {
    /// Whether it is no GET.
    pub fn is_post(&self) -> bool {
        self.method == Method::POST
    }

    /// A header as text; `None` where it is missing or no text.
    pub fn header(&self, name: &HeaderName) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first parameter of that name, with its escapes undone.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let parameters = self.query.unwrap_or_default().split('&');
        parameters
            .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
            .find_map(|(key, value)| (unescape(key) == name).then(|| unescape(value)))
    }
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its address.
    pub address: SocketAddr,
    /// The certificate that it has shown and that was found good; `None` without TLS, or where none was asked for.
    pub certificate: Option<CertificateDer<'static>>,
}

/// How a port speaks TLS.
#[derive(Clone)]
pub struct Tls {
    /// What the next connection is met with.
    pub config: Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>,
    /// Where those are counted that do not begin with a handshake and are served without TLS; `None` if they are not
    /// served.
    pub plain: Option<Arc<Stats>>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// How it went.
    pub status: StatusCode,
    /// What the body is.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Content,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// One piece after another; an error, or none taken for the whole idle timeout, breaks the connection off, so
    /// that nobody takes a part for the whole.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        Content::Whole(text.into())
    }
}

impl Answer {
    /// With a body of that type.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Content>) -> Answer {
        Answer {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// Plain text.
    pub fn text(status: StatusCode, body: impl Into<String>) -> Answer {
        Answer::new(status, "text/plain; charset=utf-8", body.into())
    }

    /// The same with a header more.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Answer {
        self.headers.push((name, value));
        self
    }

    /// Only these methods, a list for the header `Allow`, are served at this place.
    pub fn not_allowed(allowed: &'static str) -> Answer {
        Answer::text(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("only {} served here\n", allowed_words(allowed)),
        )
        .with(ALLOW, HeaderValue::from_static(allowed))
    }
}

fn allowed_words(allowed: &str) -> String {
    match allowed.contains(',') {
        true => format!("{} are", allowed.replace(", ", " and ")),
        false => format!("{allowed} is"),
    }
}

/// Answers questions, on a thread where that may take its time.
pub type Answerer = dyn Fn(Asked<'_>) -> Answer + Send + Sync;

/// Accepts connections until `shutdown` is ready, then waits for those that are being served.
pub async fn serve(
    listener: TcpListener,
    answerer: Arc<Answerer>,
    tls: Option<Tls>,
    idle_timeout: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let seats = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    let failures = Rarely::default();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &seats) => accepted,
        };
        match accepted {
            Ok((stream, address, seat)) => {
                let answerer = Arc::clone(&answerer);
                let connection = meet(stream, address, tls.clone(), answerer, idle_timeout);
                connections.spawn(async move {
                    connection.await;
                    drop(seat);
                });
            }
            Err(error) => {
                if let Some(held_back) = failures.pass(clock::now()) {
                    tracing::warn!(%error, held_back, "accepting an HTTP connection failed");
                }
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
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, seat))
}

/// The first byte of a TLS handshake, which no HTTP request begins with.
const HANDSHAKE: u8 = 0x16;

/// One connection, with whatever it speaks.
async fn meet(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Tls>,
    answerer: Arc<Answerer>,
    patience: Duration,
) {
    let mut caller = Caller {
        address,
        certificate: None,
    };
    let met = tokio::time::timeout(patience, greet(stream, tls));
    match met.await {
        Ok(Ok(Met::Plain(stream))) => converse(stream, caller, answerer, patience).await,
        Ok(Ok(Met::Tls(stream))) => {
            let shown = stream.get_ref().1.peer_certificates();
            let own = shown.and_then(|chain| chain.first());
            caller.certificate = own.map(|own| own.clone().into_owned());
            converse(stream, caller, answerer, patience).await;
        }
        Ok(Err(error)) => {
            let why = explain::io(&error).unwrap_or_else(|| error.to_string());
            tracing::debug!(%address, "an HTTPS connection failed: {why}");
        }
        Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
    }
}

/// A connection that is ready for HTTP.
enum Met {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn greet(stream: TcpStream, tls: Option<Tls>) -> io::Result<Met> {
    let Some(tls) = tls else {
        return Ok(Met::Plain(stream));
    };
    if let Some(stats) = tls.plain
        && !begins_a_handshake(&stream).await?
    {
        stats.plain_admin.fetch_add(1, Ordering::Relaxed);
        return Ok(Met::Plain(stream));
    }
    let acceptor = TlsAcceptor::from((tls.config)());
    Ok(Met::Tls(Box::new(acceptor.accept(stream).await?)))
}

async fn begins_a_handshake(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE)
}

/// One request and its answer, within `patience`.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    caller: Caller,
    answerer: Arc<Answerer>,
    patience: Duration,
) {
    let progress = Arc::new(Progress(Mutex::new(Instant::now())));
    let (caller, taken) = (Arc::new(caller), Arc::clone(&progress));
    let answer = service_fn(move |request| {
        answer(
            Arc::clone(&answerer),
            Arc::clone(&caller),
            Arc::clone(&taken),
            request,
        )
    });
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
    tokio::select! {
        served = connection => {
            if let Err(error) = served {
                tracing::debug!(%error, "an HTTP connection failed");
            }
        }
        () = progress.stalls(patience) => tracing::debug!("an HTTP connection took too long"),
    }
}

/// When a connection last got on: when it was accepted, or when a piece of its answer was taken.
struct Progress(Mutex<Instant>);

impl Progress {
    fn note(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Ready once there was none for so long.
    async fn stalls(&self, patience: Duration) {
        loop {
            let left = patience.saturating_sub(self.0.lock().elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

type Sent = Response<UnsyncBoxBody<Bytes, io::Error>>;

async fn answer(
    answerer: Arc<Answerer>,
    caller: Arc<Caller>,
    progress: Arc<Progress>,
    request: Request<Incoming>,
) -> Result<Sent, Infallible> {
    let (head, body) = request.into_parts();
    let respond = |answer| Ok(respond(answer, progress));
    let method = match head.method {
        Method::GET | Method::HEAD if !body.is_end_stream() => {
            let text = "a request must have no body\n";
            return respond(Answer::text(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Method::GET | Method::HEAD => Method::GET,
        Method::POST => {
            // A client that is cut off while it still sends may miss its answer; one with much to send asks before.
            let _ = Limited::new(body, HTTP_BODY_BYTES_MAX).collect().await;
            Method::POST
        }
        _ => return respond(Answer::not_allowed("GET, HEAD")),
    };
    let made = tokio::task::spawn_blocking(move || {
        answerer(Asked {
            method: &method,
            path: head.uri.path(),
            query: head.uri.query(),
            headers: &head.headers,
            caller: &caller,
        })
    });
    respond(made.await.unwrap_or_else(|error| {
        tracing::error!(%error, "answering an HTTP request failed");
        Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the answer failed\n")
    }))
}

fn respond(answer: Answer, progress: Arc<Progress>) -> Sent {
    let body = match answer.body {
        Content::Whole(bytes) => Full::new(bytes)
            .map_err(|never| match never {})
            .boxed_unsync(),
        Content::Pieces(pieces) => Pieces { pieces, progress }.boxed_unsync(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let content_type = HeaderValue::from_static(answer.content_type);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.extend(answer.headers);
    response
}

/// A body that comes in pieces.
struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    progress: Arc<Progress>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = std::task::ready!(self.pieces.poll_recv(context));
        self.progress.note();
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Undoes the escapes of a query: `+` and `%41`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let escaped = others
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match escaped {
            Some(byte) => {
                bytes.push(byte);
                &others[2..]
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                others
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_by_its_name_and_its_escapes_are_undone() {
        let (headers, method) = (HeaderMap::new(), Method::GET);
        let caller = Caller {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            certificate: None,
        };
        let asked = |query| Asked {
            method: &method,
            path: "/",
            query,
            headers: &headers,
            caller: &caller,
        };
        let value = |query, name| asked(query).parameter(name);
        assert_eq!(value(Some("a=1&b=2&b=3"), "b").as_deref(), Some("2"));
        assert_eq!(value(Some("streaming"), "streaming").as_deref(), Some(""));
        assert_eq!(value(Some("x=%41+b%2"), "x").as_deref(), Some("A b%2"));
        assert_eq!(value(Some("xy=1"), "x"), None);
        assert_eq!(value(None, "x"), None);
    }
}
