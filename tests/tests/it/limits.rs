//! Rate limits of a whole server: addresses, and the commands.

use mainstay_e2e::{Site, json};
use reqwest::Method;

#[tokio::test(flavor = "multi_thread")]
async fn addresses_count_as_trusted_proxies_tell_them_and_by_network() {
    let settings = |site: Site| site.with_own_limits().set("MAINSTAY__LIMITS__ANONYMOUS", "2/h");
    let site = settings(Site::new()).set("MAINSTAY__HTTP__TRUSTED_PROXIES", "127.0.0.0/8");
    let server = site.serve().await;
    let client = server.client();
    let left = async |address: &str| {
        let reply = client.get_with("/api/v1/books", &[("x-forwarded-for", address)]).await;
        (reply.status.as_u16(), reply.header("x-ratelimit-remaining").to_owned())
    };
    let with = |status: u16, remaining: &str| (status, remaining.to_owned());
    assert_eq!(left("2001:db8:1:2::1").await, with(200, "1"));
    assert_eq!(left("2001:db8:1:2:ffff::9").await, with(200, "0"));
    assert_eq!(left("2001:db8:1:2::3").await, with(429, "0"));
    assert_eq!(left("2001:db8:1:3::1").await, with(200, "1"));
    assert_eq!(left("::ffff:203.0.113.7").await, with(200, "1"));
    // What the client itself put before the proxy's word changes nothing.
    assert_eq!(left("198.51.100.1, 203.0.113.7").await, with(200, "0"));
    assert_eq!(left("198.51.100.2, 203.0.113.7").await, with(429, "0"));

    // Without a proxy that is trusted, nobody's word is taken.
    let site = settings(Site::new());
    let server = site.serve().await;
    for (address, status) in [("203.0.113.1", 200), ("203.0.113.2", 200), ("203.0.113.3", 429)] {
        let headers = [("x-forwarded-for", address)];
        let reply = server.client().send(Method::GET, "/api/v1/books", &headers, "").await;
        assert_eq!(reply.status, status);
    }
}

#[test]
fn a_policy_can_be_tried_without_a_server() {
    let site = Site::bare().with_own_limits();
    let said = site.run(&["limits", "test", "100/min gcra burst=10"]).success();
    for line in
        ["GCRA, never more than 100 in any 60 s", "burst:  10 at once", "steady: 91 evenly", "flood:  "]
    {
        assert!(said.contains(line), "{line} in {said}");
    }
    let said = site.run(&["limits", "test", "10/min exact", "--json"]).success();
    let json: mainstay_e2e::Value = said.parse().unwrap();
    assert_eq!(
        (&json["burst"], &json["next_after_s"], &json["flood_most"]),
        (&json!(10), &json!(60), &json!(10))
    );
    assert!(site.run(&["limits", "test", "5/fortnight"]).failure().contains("s, min, h or d"));

    site.write("mainstay.toml", "[limits.policies.partner]\nlimit = \"5000/min\"\n");
    assert!(site.run(&["limits", "test", "auth"]).success().contains("10/min exact strict: exact log"));
    assert!(site.run(&["limits", "test", "partnre"]).failure().contains("uploads, partner"));
    let shown = site.run(&["limits", "show"]).success();
    let partner = shown.lines().find(|line| line.starts_with("partner")).unwrap_or_default();
    assert!(partner.contains("5000/min") && partner.contains("API keys that it is given to"), "{shown}");
    let config = site.run(&["config", "show"]).success();
    assert!(config.contains("[limits.policies.partner]\nlimit = \"5000/min\"\n"), "{config}");
}
