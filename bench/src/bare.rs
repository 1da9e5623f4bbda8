//! The yardstick: an axum server that does nothing but answer.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use axum::{Router, http::header, routing::get};
use tokio::io::AsyncReadExt;

/// About as long as a small resource: 300 bytes of JSON.
const ANSWER: [u8; 300] = answer();

const fn answer() -> [u8; 300] {
    let (start, mut bytes) = (b"{\"text\":\"", [b'x'; 300]);
    let mut at = 0;
    while at < start.len() {
        bytes[at] = start[at];
        at += 1;
    }
    bytes[298] = b'"';
    bytes[299] = b'}';
    bytes
}

/// Answers `GET /` on the loopback `port` until standard input ends, so that
/// it cannot outlive the program that started it.
pub(crate) async fn serve(port: u16) -> Result<()> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("binding 127.0.0.1:{port}"))?;
    let router = Router::new()
        .route("/", get(|| async { ([(header::CONTENT_TYPE, "application/json")], ANSWER.as_slice()) }));
    let starter_is_gone = async {
        let mut scrap = [0; 64];
        let mut stdin = tokio::io::stdin();
        while matches!(stdin.read(&mut scrap).await, Ok(read) if read > 0) {}
    };
    tokio::select! {
        served = axum::serve(listener, router) => served.context("serving"),
        () = starter_is_gone => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_json() {
        serde_json::from_slice::<serde_json::Value>(&ANSWER).unwrap();
    }
}
