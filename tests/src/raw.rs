//! Bytes on a socket, for what no well-behaved client sends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest wait for an answer; there to end what hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Opens a connection.
///
/// # Panics
/// If it is refused.
pub async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Sends bytes.
///
/// # Panics
/// If the connection is gone.
pub async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
}

/// What comes until the server closes the connection. Being reset counts as
/// closed, with what came before.
///
/// # Panics
/// If it stays open.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            answer.extend_from_slice(&chunk[..count]);
        }
    };
    timeout(LIMIT, reading).await.expect("the server keeps a connection open that it should close");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends bytes on a new connection and returns what comes until it is closed.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address).await;
    send(&mut stream, bytes).await;
    read_to_end(&mut stream).await
}
