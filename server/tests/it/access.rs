//! Every route's access rule holds, whatever its handler does.

use http::Method;
use mainstay::prelude::*;
use mainstay_testkit::TestApp;

/// The route's path with something that looks like an id in it.
fn concrete(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_refuses_those_it_is_not_for() {
    let app = TestApp::boot(|backend| backend.with(Library::new)).await;
    let (anonymous, user, staff) = (app.anonymous(), app.user().await, app.staff().await);
    let routes = app.contract().routes().to_vec();
    assert!(routes.iter().any(|route| route.access == Access::Staff), "there is something to refuse");

    for route in routes {
        let path = concrete(&route.path);
        let what = format!("{} {path}", route.method);
        let refused = |access: Access, status: u16| match access {
            Access::Public => None,
            Access::SignedIn | Access::Staff | Access::Admin => Some(status),
        };
        if let Some(status) = refused(route.access, 401) {
            let reply = anonymous.raw(route.method.clone(), &path, &[], "").await;
            assert_eq!((reply.status.as_u16(), reply.code()), (status, "unauthenticated"), "{what}");
            let reply = app.with_token("forged").raw(route.method.clone(), &path, &[], "").await;
            assert_eq!(reply.status.as_u16(), 401, "{what} with a forged token");
        }
        for (caller, role) in [(&user, Role::User), (&staff, Role::Staff)] {
            if route.access.role().is_some_and(|needed| needed > role) {
                let reply = caller.raw(route.method.clone(), &path, &[], "").await;
                assert_eq!((reply.status.as_u16(), reply.code()), (403, "forbidden"), "{what} as {role}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_comes_before_the_body_is_looked_at() {
    let app = TestApp::boot(|backend| backend.with(Library::new)).await;
    let reply = app.anonymous().raw(Method::POST, "/api/v1/books", &[], "not even JSON").await;
    assert_eq!(reply.status, 401);
}
