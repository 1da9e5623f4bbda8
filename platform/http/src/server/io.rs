//! The socket as the protocol library sees it, reporting to [`Activity`].

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{activity::Activity, frames::PREFACE};

/// Input thrown away while an early answer travels to a peer that is still
/// sending. More than this and the connection is reset.
const LINGER_MAX_BYTES: usize = 256 * 1024;

/// What the first bytes of a connection announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

#[derive(Debug)]
pub(super) struct ConnectionIo {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// Bytes read to recognize the protocol, not yet handed on.
    sniffed: BytesMut,
    /// A write window is open: the hot path reports nothing without one.
    write_window: bool,
    write_closed: bool,
    discarded: usize,
}

impl ConnectionIo {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            sniffed: BytesMut::new(),
            write_window: false,
            write_closed: false,
            discarded: 0,
        }
    }

    /// Reads until the protocol is known. `None` when the peer leaves before.
    pub(super) fn poll_sniff(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Protocol>>> {
        loop {
            // As large as most request heads, so that they need one read.
            let mut bytes = [0; 1024];
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(None));
            }
            self.activity.received(buf.filled());
            self.sniffed.extend_from_slice(buf.filled());
            let seen = self.sniffed.len().min(PREFACE.len());
            if self.sniffed[..seen] != PREFACE[..seen] {
                return Poll::Ready(Ok(Some(Protocol::Http1)));
            }
            if seen == PREFACE.len() {
                self.activity.speaks_http2(&self.sniffed);
                return Poll::Ready(Ok(Some(Protocol::Http2)));
            }
        }
    }

    /// Sends `bytes` if the socket has room for them at once.
    pub(super) fn write_now(&self, bytes: &[u8]) {
        // Best effort towards a peer that is being cut: nothing to do on error.
        let _ = self.stream.try_write(bytes);
    }

    fn report_write(&mut self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Pending => {
                self.write_window = true;
                self.activity.write_blocked();
            }
            Poll::Ready(Ok(written)) if self.write_window => self.activity.wrote(*written),
            Poll::Ready(_) => {}
        }
    }
}

impl AsyncRead for ConnectionIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.sniffed.is_empty() {
            let take = self.sniffed.len().min(buf.remaining());
            buf.put_slice(&self.sniffed[..take]);
            self.sniffed.advance(take);
            if self.sniffed.is_empty() {
                self.sniffed = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let received = &buf.filled()[before..];
        if !received.is_empty() {
            self.activity.received(received);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ConnectionIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.report_write(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.report_write(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP socket has nothing of its own to flush. Being asked means that
        // the library's buffers are empty.
        if self.write_window {
            self.write_window = false;
            self.activity.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.write_closed {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.write_closed = true;
        }
        if !self.activity.should_linger() {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; 4096];
        while self.discarded < LINGER_MAX_BYTES {
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                break;
            }
            self.discarded += buf.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
