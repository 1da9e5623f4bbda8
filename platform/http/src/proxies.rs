//! The client's address, told through proxies that are trusted and no others.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;

/// Networks of proxies whose word about the client's address is taken.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Reads networks (`10.0.0.0/8`) and single addresses.
    ///
    /// # Errors
    /// Names the first that is neither.
    pub fn parse(networks: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| format!("{text:?} is neither a network such as 10.0.0.0/8 nor an address"))
        };
        networks.iter().map(parse).collect::<Result<Vec<_>, _>>().map(|networks| Self(networks.into()))
    }

    /// Whether a proxy at this address is trusted.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address: the rightmost hop that is not a trusted proxy.
    ///
    /// Whatever stands left of it was written by somebody we do not know, so
    /// that a header sent by the client itself changes nothing. `Forwarded`
    /// (RFC 7239) is read if there is no `X-Forwarded-For`.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.0.is_empty() || !self.contains(client) {
            return client;
        }
        for hop in hops(headers).into_iter().rev() {
            // A hop that is no address ("unknown", "_hidden") ends what can be known.
            let Some(address) = hop else { break };
            client = address.to_canonical();
            if !self.contains(client) {
                break;
            }
        }
        client
    }
}

/// Each hop, leftmost first; `None` for one that can't be read as an address.
///
/// Where `X-Forwarded-For` is there, `Forwarded` is not asked, whatever the former
/// holds: a proxy that writes one of them passes the other on as the client made it.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let elements = |name: &str| {
        let values = headers.get_all(name).iter();
        let texts = values.map(|value| value.to_str().unwrap_or("unreadable").to_owned());
        texts
            .flat_map(|value| value.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    if headers.contains_key("x-forwarded-for") {
        return elements("x-forwarded-for").iter().map(|hop| address(hop)).collect();
    }
    let of_element = |element: &String| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| address(value.trim().trim_matches('"')))?
        })
    };
    elements("forwarded").iter().map(of_element).collect()
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    text.rsplit_once(':')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let proxies = TrustedProxies::parse(&["10.0.0.0/8".to_owned(), "::1".to_owned()]).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn a_client_can_not_write_its_own_address() {
        assert_eq!(client("203.0.113.9", &[("x-forwarded-for", "1.1.1.1")]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.9")]), "203.0.113.9");
        assert_eq!(
            client(
                "10.0.0.1",
                &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9, 10.2.3.4")]
            ),
            "203.0.113.9"
        );
    }

    #[test]
    fn every_spelling_of_a_hop_is_read() {
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "203.0.113.9:4711")]), "203.0.113.9");
        assert_eq!(
            client("::1", &[("forwarded", r#"for=unknown, for="[2001:db8::7]:80";proto=https"#)]),
            "2001:db8::7"
        );
        assert_eq!(client("::ffff:10.0.0.1", &[("forwarded", "For=203.0.113.9")]), "203.0.113.9");
    }

    #[test]
    fn an_unreadable_header_does_not_open_the_other_one() {
        let proxies = TrustedProxies::parse(&["10.0.0.0/8".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", http::HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append("forwarded", "for=1.2.3.4".parse().unwrap());
        assert_eq!(proxies.client("10.0.0.1".parse().unwrap(), &headers).to_string(), "10.0.0.1");
    }

    #[test]
    fn what_is_no_address_ends_the_chain() {
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, rubbish")]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert!(TrustedProxies::parse(&["10.0.0.0/33".to_owned()]).is_err());
    }
}
