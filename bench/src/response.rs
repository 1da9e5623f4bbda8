//! Reads HTTP/1.1 responses off a keep-alive connection (RFC 9112 §6 and §7).
//!
//! Only what a load generator has to know is looked at: the status, where the
//! body ends, and whether the connection may be used again. Nothing is
//! allocated, and body bytes are handed on or dropped, not kept.

use std::fmt;

/// What one call of [`ResponseReader::advance`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of the input that are dealt with. The rest must be offered again,
    /// with more behind it unless the response is done.
    pub(crate) consumed: usize,
    /// The response is complete; what follows belongs to the next one.
    pub(crate) done: bool,
}

/// The bytes are not an HTTP/1.1 response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed response: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// A body, or a chunk's data, of which so many bytes are still to come.
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
}

/// Reads one response; [`ResponseReader::reset`] makes it ready for the next.
///
/// Answers to HEAD are not understood: their `Content-Length` has no body.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    state: State,
    status: u16,
    body_bytes: u64,
    close: bool,
}

impl ResponseReader {
    pub(crate) fn new() -> Self {
        Self { state: State::Head, status: 0, body_bytes: 0, close: false }
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }

    /// The status code; 0 before the head was read.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Bytes of the body so far, without the framing of chunks.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The server will close the connection after this response.
    pub(crate) fn closes(&self) -> bool {
        self.close
    }

    /// The response ends where the connection does, and it has.
    pub(crate) fn complete_at_eof(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    /// Deals with as much of `input` as it can and hands body bytes to `body`.
    ///
    /// A head or a chunk's size line is consumed whole or not at all, so the
    /// caller keeps what is left and appends to it.
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        mut body: impl FnMut(&[u8]),
    ) -> Result<Progress, Malformed> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::Head => {
                    let Some(end) = find(rest, b"\r\n\r\n") else {
                        break;
                    };
                    self.read_head(&rest[..end])?;
                    at += end + 4;
                }
                State::Length(left) => {
                    let took = self.take(rest, left, &mut body);
                    at += took as usize;
                    if took < left {
                        self.state = State::Length(left - took);
                        break;
                    }
                    self.state = State::Done;
                }
                State::UntilClose => {
                    at += self.take(rest, u64::MAX, &mut body) as usize;
                    break;
                }
                State::ChunkSize => {
                    let Some(end) = find(rest, b"\r\n") else {
                        break;
                    };
                    let size = chunk_size(&rest[..end])?;
                    self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
                    at += end + 2;
                }
                State::ChunkData(left) => {
                    let took = self.take(rest, left, &mut body);
                    at += took as usize;
                    if took < left {
                        self.state = State::ChunkData(left - took);
                        break;
                    }
                    self.state = State::ChunkEnd;
                }
                State::ChunkEnd => {
                    if rest.len() < 2 {
                        break;
                    }
                    if !rest.starts_with(b"\r\n") {
                        return Err(Malformed("a chunk is longer than it said"));
                    }
                    at += 2;
                    self.state = State::ChunkSize;
                }
                State::Trailers => {
                    let Some(end) = find(rest, b"\r\n") else {
                        break;
                    };
                    at += end + 2;
                    if end == 0 {
                        self.state = State::Done;
                    }
                }
                State::Done => break,
            }
        }
        Ok(Progress { consumed: at, done: self.state == State::Done })
    }

    /// `head` ends before the blank line.
    fn read_head(&mut self, head: &[u8]) -> Result<(), Malformed> {
        let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let first = lines.next().unwrap_or_default();
        let status = first
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(decimal)
            .ok_or(Malformed("no HTTP/1.1 status line"))?;
        if (100..200).contains(&status) {
            // An interim response has no body and the real one follows.
            return Ok(());
        }
        self.status = status as u16;

        let (mut length, mut chunked) = (None, false);
        for line in lines {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                return Err(Malformed("a header line without a colon"));
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                length = Some(decimal(value).ok_or(Malformed("Content-Length is no number"))?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if name.eq_ignore_ascii_case(b"connection") {
                self.close = value.eq_ignore_ascii_case(b"close");
            }
        }
        self.state = match length {
            _ if status == 204 || status == 304 => State::Done,
            _ if chunked => State::ChunkSize,
            Some(0) => State::Done,
            Some(length) => State::Length(length),
            None => {
                self.close = true;
                State::UntilClose
            }
        };
        Ok(())
    }

    fn take(&mut self, rest: &[u8], at_most: u64, body: &mut impl FnMut(&[u8])) -> u64 {
        let took = at_most.min(rest.len() as u64);
        body(&rest[..took as usize]);
        self.body_bytes += took;
        took
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    std::str::from_utf8(digits.trim_ascii())
        .ok()
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(Malformed("a chunk's size is no hexadecimal number"))
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in pieces of `step` bytes the way a socket would.
    fn read(wire: &[u8], step: usize) -> Result<(ResponseReader, Vec<u8>, Vec<u8>), Malformed> {
        let (mut reader, mut pending, mut body) = (ResponseReader::new(), Vec::new(), Vec::new());
        let mut pieces = wire.chunks(step);
        loop {
            let progress = reader.advance(&pending, |part| body.extend_from_slice(part))?;
            pending.drain(..progress.consumed);
            if progress.done {
                break;
            }
            match pieces.next() {
                Some(piece) => pending.extend_from_slice(piece),
                None => break,
            }
        }
        pending.extend(pieces.flatten());
        Ok((reader, body, pending))
    }

    #[test]
    fn a_length_body_ends_where_it_says_however_the_bytes_arrive() {
        let wire = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nETag: \"x\"\r\n\r\nhello worldHTTP/1.1 404";
        for step in 1..=wire.len() {
            let (reader, body, rest) = read(wire, step).unwrap();
            assert_eq!((reader.status(), reader.closes()), (200, false));
            assert_eq!(body, b"hello world");
            assert_eq!(reader.body_bytes(), 11);
            assert_eq!(rest, b"HTTP/1.1 404");
        }
    }

    #[test]
    fn a_chunked_body_is_unframed_however_the_bytes_arrive() {
        let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                     5\r\nhello\r\n0A;name=value\r\n, world!!\n\r\n0\r\nx-sum: 1\r\n\r\nnext";
        for step in 1..=wire.len() {
            let (reader, body, rest) = read(wire, step).unwrap();
            assert_eq!(body, b"hello, world!!\n");
            assert_eq!(reader.body_bytes(), 15);
            assert_eq!(rest, b"next");
        }
    }

    #[test]
    fn answers_without_a_body() {
        for head in [
            "HTTP/1.1 204 No Content",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 99",
            "HTTP/1.1 200 OK\r\nContent-Length: 0",
        ] {
            let (reader, body, rest) = read(format!("{head}\r\n\r\n").as_bytes(), 7).unwrap();
            assert!(reader.complete_at_eof() && body.is_empty() && rest.is_empty());
        }
    }

    #[test]
    fn an_interim_response_is_passed_over() {
        let wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
        let (reader, body, _) = read(wire, 3).unwrap();
        assert_eq!((reader.status(), body.as_slice()), (201, b"ok".as_slice()));
    }

    #[test]
    fn without_a_length_the_body_ends_with_the_connection() {
        let (reader, body, _) = read(b"HTTP/1.1 200 OK\r\n\r\nall of it", 4).unwrap();
        assert!(reader.complete_at_eof() && reader.closes());
        assert_eq!(body, b"all of it");
    }

    #[test]
    fn connection_close_is_noticed() {
        let (reader, ..) =
            read(b"HTTP/1.1 503 Busy\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", 64).unwrap();
        assert!(reader.closes());
    }

    #[test]
    fn a_cut_response_is_not_complete() {
        for wire in [
            "HTTP/1.1 200 OK\r\nContent-",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ] {
            let (reader, ..) = read(wire.as_bytes(), 9).unwrap();
            assert!(!reader.complete_at_eof(), "{wire}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for wire in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        ] {
            assert!(read(wire.as_bytes(), 5).is_err(), "{wire}");
        }
    }
}
