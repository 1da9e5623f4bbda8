//! One bad client at a time, with short limits. The crowd is in `connections`.

use mainstay_e2e::{Server, Site, raw};

async fn serve(setting: &str, seconds: &str) -> (Site, Server) {
    let site = Site::new().set(&format!("MAINSTAY__HTTP__{setting}"), seconds);
    let server = site.serve().await;
    (site, server)
}

#[tokio::test]
async fn a_connection_without_a_word_is_closed() {
    let (_site, server) = serve("FIRST_BYTE_TIMEOUT_S", "1").await;
    assert_eq!(raw::exchange(server.address, b"").await, "");
}

#[tokio::test]
async fn headers_that_do_not_end_are_closed() {
    let (_site, server) = serve("HEADER_TIMEOUT_S", "1").await;
    let answer = raw::exchange(server.address, b"GET /healthz HTTP/1.1\r\nHost: ").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_is_a_problem() {
    let (_site, server) = serve("BODY_IDLE_TIMEOUT_S", "1").await;
    let begun = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                  Content-Length: 100\r\n\r\n{\"email\":";
    let answer = raw::exchange(server.address, begun).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (_site, server) = serve("KEEP_ALIVE_S", "1").await;
    let answer = raw::exchange(server.address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn one_address_gets_only_so_many_connections() {
    let (_site, server) = serve("MAX_CONNECTIONS_PER_ADDRESS", "3").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = raw::connect(server.address).await;
        raw::send(&mut stream, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut first = [0; 12];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await.unwrap();
        held.push(stream);
    }
    assert_eq!(raw::read_to_end(&mut raw::connect(server.address).await).await, "");
    held.pop();
    // The place is free once the server has seen the end of the one let go.
    let mut served = false;
    for _ in 0..100 {
        let mut stream = raw::connect(server.address).await;
        let asked = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        if tokio::io::AsyncWriteExt::write_all(&mut stream, asked).await.is_ok()
            && raw::read_to_end(&mut stream).await.starts_with("HTTP/1.1 200 ")
        {
            served = true;
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(served, "a place that was given back is not given out again");
}
