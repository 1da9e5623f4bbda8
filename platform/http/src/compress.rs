//! Compression, for those who ask for it.
//!
//! Whoever names no encoding gets the answer as it is, past everything that compressing needs: one
//! body in a box and one future less for most programs.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{Route, future::RouteFuture};
use http::{HeaderMap, HeaderValue, header};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{Compression, CompressionLayer, CompressionLevel, ResponseFuture};

/// Compresses what is worth it: text above a kilobyte. What is compressed by its nature only costs time.
pub(crate) fn layer() -> CompressWhenAsked<impl Predicate + Send + Sync> {
    let worth = SizeAbove::new(1024)
        .and(NotForContentType::GRPC)
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::SSE)
        .and(NotForContentType::const_new("video/"))
        .and(NotForContentType::const_new("audio/"))
        .and(NotForContentType::const_new("font/"))
        .and(NotForContentType::const_new("application/zip"))
        .and(NotForContentType::const_new("application/gzip"))
        .and(NotForContentType::const_new("application/pdf"))
        .and(NotForContentType::const_new("application/octet-stream"));
    CompressWhenAsked { worth }
}

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct CompressWhenAsked<P> {
    worth: P,
}

impl<P: Predicate + Clone> Layer<Route> for CompressWhenAsked<P> {
    type Service = WhenAsked<P>;

    fn layer(&self, route: Route) -> WhenAsked<P> {
        let layer = CompressionLayer::new().quality(CompressionLevel::Precise(4));
        let compressing = layer.compress_when(self.worth.clone()).layer(route);
        WhenAsked { compressing, worth: self.worth.clone() }
    }
}

/// A route whose answers are compressed for those who ask.
#[derive(Clone)]
pub(crate) struct WhenAsked<P> {
    compressing: Compression<Route, P>,
    worth: P,
}

impl<P: Predicate + Clone> Service<Request> for WhenAsked<P> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<P>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A route always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answering<P> {
        if asks(request.headers()) {
            Answering::Compressed { answer: self.compressing.call(request) }
        } else {
            let answer = self.compressing.get_mut().call(request);
            Answering::Plain { answer, worth: self.worth.clone() }
        }
    }
}

/// Whether an encoding that we have is taken (RFC 9110 §12.5.3). Who refuses them all, the plain one
/// included, gets the plain one: nobody is answered with 406.
fn asks(headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, "q=1"));
        let ours = ["br", "gzip"].iter().any(|one| name.trim().eq_ignore_ascii_case(one));
        let weight = weight.trim().trim_start_matches(['q', 'Q', '=']).parse().unwrap_or(0.0);
        ours && weight > 0.0
    })
}

pin_project! {
    /// The answer on its way.
    #[project = Projected]
    pub(crate) enum Answering<P> {
        Plain { #[pin] answer: RouteFuture<Infallible>, worth: P },
        Compressed { #[pin] answer: ResponseFuture<RouteFuture<Infallible>, P> },
    }
}

impl<P: Predicate> Future for Answering<P> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Plain { answer, worth } => {
                let Ok(mut response) = ready!(answer.poll(cx));
                // A cache must not give this to somebody who asked for less, or the other way round.
                if !response.headers().contains_key(header::CONTENT_ENCODING)
                    && worth.should_compress(&response)
                {
                    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
                }
                Poll::Ready(Ok(response))
            }
            Projected::Compressed { answer } => {
                let Ok(response) = ready!(answer.poll(cx));
                Poll::Ready(Ok(response.map(Body::new)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_encoding_that_is_wanted_and_known_is_asked_for() {
        for (value, expected) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("deflate;q=1, BR;q=0.5", true),
            ("br;q=0, gzip;q=0.1", true),
            ("identity", false),
            ("", false),
            ("zstd", false),
            ("gzip;q=0", false),
            ("gzip;q=0, identity;q=0", false),
            ("*;q=0", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(asks(&headers), expected, "{value}");
        }
        assert!(!asks(&HeaderMap::new()));
    }
}
