//! A socket that can be taken out of what stands around it.
//!
//! Hands are shaken on one thread and the connection is served on another, each with its own runtime; a socket
//! belongs to the runtime that it is registered with, while the state of TLS around it belongs to none.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket, or the place for one. Whoever reads or writes without one gets an error.
#[derive(Debug, Default)]
pub struct Socket(Option<TcpStream>);

impl Socket {
    /// With a socket in it.
    pub fn new(stream: TcpStream) -> Socket {
        Socket(Some(stream))
    }

    /// Takes the socket out, free of any runtime.
    ///
    /// # Errors
    /// When there is none, or the system refuses.
    pub fn take(&mut self) -> io::Result<std::net::TcpStream> {
        self.0.take().ok_or(io::ErrorKind::NotConnected)?.into_std()
    }

    /// Puts a socket in.
    pub fn put(&mut self, stream: TcpStream) {
        self.0 = Some(stream);
    }

    /// Whether the other end has gone, as far as is known without waiting.
    pub fn is_left(&self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        match self
            .0
            .as_ref()
            .map(|stream| stream.poll_peek(cx, &mut buffer))
        {
            Some(Poll::Ready(Ok(0) | Err(_))) | None => true,
            Some(Poll::Ready(Ok(_)) | Poll::Pending) => false,
        }
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.get_mut().0.as_mut().map(Pin::new);
        stream.ok_or(io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
