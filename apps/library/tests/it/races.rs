//! What must hold however many come at once.

use std::sync::Arc;

use axum::extract::FromRequestParts as _;
use axum::http::Request;
use mainstay_core::Problem;
use mainstay_core::input::from_json;
use mainstay_http::IfMatch;
use mainstay_library::{Books, LibraryError};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{ACTOR, book, isbn, library};

async fn if_match(tag: &str) -> IfMatch {
    let (mut parts, ()) = Request::builder().header("if-match", tag).body(()).unwrap().into_parts();
    IfMatch::from_request_parts(&mut parts, &()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_books_with_one_isbn_exactly_one_is_added() {
    let fixture = library().await;
    let mut tasks = JoinSet::new();
    for place in 0..50 {
        let books = fixture.books.clone();
        tasks.spawn(
            async move { books.create(&ACTOR, &book(&format!("Book {place}"), "Anon", &isbn(7))).await },
        );
    }
    let outcomes = tasks.join_all().await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, LibraryError::IsbnTaken(_)), "{error:?}");
        let problem = Problem::from(error);
        assert_eq!((problem.kind().status, &*problem.faults()[0].field), (409, "isbn"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_updates_for_one_state_exactly_one_takes_effect() {
    let fixture = library().await;
    for round in 0..10 {
        let old = fixture.books.create(&ACTOR, &book("Old", "Anon", &isbn(round + 1))).await.unwrap();
        let mut tasks = JoinSet::new();
        for place in 0..8 {
            let (books, tag) = (fixture.books.clone(), if_match("\"1\"").await);
            tasks.spawn(async move {
                let patch = from_json(&json!({"title": format!("New {place}")})).unwrap();
                books.update(&ACTOR, old.id, &tag, patch).await
            });
        }
        let outcomes = tasks.join_all().await;

        let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(fixture.books.get(&ACTOR, old.id).await.unwrap(), *winners[0]);
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(Problem::from(error).kind().code, "stale");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn updates_without_a_condition_lose_nothing_of_each_other() {
    let fixture = library().await;
    let old = fixture.books.create(&ACTOR, &book("Old", "Old", &isbn(1))).await.unwrap();
    let patches =
        [json!({"title": "New"}), json!({"author": "New"}), json!({"published_date": "2001-02-03"})];
    let mut tasks = JoinSet::new();
    for patch in patches {
        let books = fixture.books.clone();
        tasks.spawn(async move {
            books.update(&ACTOR, old.id, &IfMatch::absent(), from_json(&patch).unwrap()).await
        });
    }
    tasks.join_all().await.into_iter().for_each(|outcome| drop(outcome.unwrap()));

    let book = fixture.books.get(&ACTOR, old.id).await.unwrap();
    assert_eq!((&*book.title, &*book.author, book.version), ("New", "New", 4));
    assert!(book.published_date.is_some());
}

#[tokio::test]
async fn a_change_that_changes_nothing_keeps_the_version() {
    let fixture = library().await;
    let old = fixture.books.create(&ACTOR, &book("Old", "Anon", &isbn(1))).await.unwrap();

    let same = fixture
        .books
        .replace(&ACTOR, old.id, &IfMatch::absent(), book("Old", "Anon", &isbn(1)))
        .await
        .unwrap();

    assert_eq!(same, old);
}

#[tokio::test]
async fn an_isbn_cannot_be_taken_by_a_change_either() {
    let fixture = library().await;
    fixture.books.create(&ACTOR, &book("One", "Anon", &isbn(1))).await.unwrap();
    let two = fixture.books.create(&ACTOR, &book("Two", "Anon", &isbn(2))).await.unwrap();

    let patch = from_json(&json!({"isbn": isbn(1)})).unwrap();
    let error = fixture.books.update(&ACTOR, two.id, &IfMatch::absent(), patch).await.unwrap_err();

    assert!(matches!(error, LibraryError::IsbnTaken(taken) if taken == isbn(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn imports_of_the_same_books_at_once_add_each_once() {
    let fixture = library().await;
    let rows: Arc<Vec<_>> = Arc::new((1..=200).map(|place| book("Title", "Anon", &isbn(place))).collect());
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (books, rows): (Books, _) = (fixture.books.clone(), rows.clone());
        tasks.spawn(async move { books.import(&ACTOR, &rows).await });
    }
    let counts: Vec<_> = tasks.join_all().await.into_iter().map(Result::unwrap).collect();

    assert_eq!(counts.iter().map(|counts| counts.created).sum::<u64>(), 200, "{counts:?}");
    assert_eq!(counts.iter().map(|counts| counts.unchanged).sum::<u64>(), 600, "{counts:?}");
}

#[tokio::test]
async fn deleting_keeps_to_the_condition() {
    let fixture = library().await;
    let old = fixture.books.create(&ACTOR, &book("Old", "Anon", &isbn(1))).await.unwrap();

    let stale = fixture.books.delete(&ACTOR, old.id, &if_match("\"9\"").await).await.unwrap_err();
    assert_eq!(Problem::from(stale).kind().code, "stale");
    fixture.books.delete(&ACTOR, old.id, &if_match("\"1\"").await).await.unwrap();
    let gone = fixture.books.delete(&ACTOR, old.id, &IfMatch::absent()).await.unwrap_err();
    assert!(matches!(gone, LibraryError::NotFound(id) if id == old.id));
}
