//! Many clients that behave badly, for the test of connections: a program of
//! its own, so that neither its sockets nor its work are the test's.
//!
//! `crowd ADDRESS KIND=COUNT…` opens all connections, from 127.0.0.2 to
//! 127.0.0.9 in turn, and prints `open`. When the server has closed the last of
//! a kind it prints `closed KIND` and for how many milliseconds the longest was
//! open. It stays until it is killed.
//!
//! | kind | what it does |
//! | --- | --- |
//! | `silent` | sends nothing |
//! | `head` | sends a byte of a header each second |
//! | `body` | sends a byte of a sign-in's body each second |
//! | `deaf` | asks for something large and never reads; can't see its own end |

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test that waits for its output")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().unwrap().parse().unwrap();
    let mut hosts = (2..=9).cycle().map(|last| Ipv4Addr::new(127, 0, 0, last));
    let mut groups = Vec::new();
    for argument in arguments {
        let (kind, count) = argument.split_once('=').unwrap();
        let mut group = JoinSet::new();
        for _ in 0..count.parse::<usize>().unwrap() {
            let stream = open(hosts.next().unwrap(), address, kind).await;
            group.spawn(misbehave(stream, kind.to_owned()));
        }
        groups.push((kind.to_owned(), group));
    }
    println!("open");

    let mut watched = JoinSet::new();
    for (kind, group) in groups {
        watched.spawn(async move {
            let longest = group.join_all().await.into_iter().max().unwrap();
            println!("closed {kind} {}", longest.as_millis());
        });
    }
    watched.join_all().await;
    std::future::pending::<()>().await;
}

async fn open(from: Ipv4Addr, to: SocketAddr, kind: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    if kind == "deaf" {
        socket.set_recv_buffer_size(4096).unwrap();
    }
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn misbehave(mut stream: TcpStream, kind: String) -> Duration {
    let start = Instant::now();
    let begin: &[u8] = match kind.as_str() {
        "silent" => b"",
        "head" => b"GET /healthz HTTP/1.1\r\nHost: ",
        "body" => {
            b"POST /api/v1/auth/login HTTP/1.1\r\nHost: crowd\r\nContent-Type: application/json\r\n\
                    Content-Length: 1000\r\n\r\n{\"email\":\""
        }
        "deaf" => b"GET /docs/scalar.js HTTP/1.1\r\nHost: crowd\r\n\r\n",
        _ => panic!("no such kind: {kind}"),
    };
    stream.write_all(begin).await.unwrap();
    if kind == "deaf" {
        std::future::pending::<()>().await;
    }
    let (mut reading, mut writing) = stream.split();
    let drip = async {
        if kind == "silent" {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if writing.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    let listen = async {
        let mut answer = [0; 1024];
        while let Ok(1..) = reading.read(&mut answer).await {}
    };
    tokio::select! {
        () = drip => {}
        () = listen => {}
    }
    start.elapsed()
}
