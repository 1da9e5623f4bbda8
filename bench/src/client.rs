//! A small blocking client for everything outside the measured time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::response::ResponseReader;

/// Sends `request` on a connection of its own and returns status and body.
pub(crate) fn send(target: SocketAddr, request: &str) -> Result<(u16, Vec<u8>)> {
    let timeout = Duration::from_secs(30);
    let mut stream = TcpStream::connect_timeout(&target, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(request.as_bytes())?;

    let (mut reader, mut pending, mut body) = (ResponseReader::new(), Vec::new(), Vec::new());
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            if reader.complete_at_eof() {
                break;
            }
            bail!("the connection ended before the answer did");
        }
        pending.extend_from_slice(&buffer[..read]);
        let progress = reader.advance(&pending, |part| body.extend_from_slice(part))?;
        pending.drain(..progress.consumed);
        if progress.done {
            break;
        }
    }
    Ok((reader.status(), body))
}

/// GETs `path` and returns the status alone.
pub(crate) fn status_of(target: SocketAddr, path: &str) -> Result<u16> {
    Ok(send(target, &get(target, path))?.0)
}

/// GETs `path`, which must answer 200 with JSON.
pub(crate) fn get_json(target: SocketAddr, path: &str) -> Result<Value> {
    serde_json::from_str(&get_text(target, path)?).with_context(|| format!("GET {path} answered no JSON"))
}

/// GETs `path`, which must answer 200 with text.
pub(crate) fn get_text(target: SocketAddr, path: &str) -> Result<String> {
    let (status, body) = send(target, &get(target, path)).with_context(|| format!("GET {path}"))?;
    if status != 200 {
        bail!("GET {path} answered {status}: {}", excerpt(&body));
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The beginning of a body, for messages.
pub(crate) fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(300).collect()
}

fn get(target: SocketAddr, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n")
}
