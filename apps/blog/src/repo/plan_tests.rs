//! The queries that are asked often are served by an index, on both databases.

use mainstay_core::Timestamp;
use mainstay_core::text::SearchText;
use mainstay_db::testing::TestDatabase;
use sea_orm::sea_query::Order;
use sea_orm::{DbBackend, QueryOrder as _, QuerySelect as _, QueryTrait as _};

use super::authored::newest_of_each;
use super::*;
use crate::domain::tag::Tag;
use crate::migrations;

struct Fixture {
    db: Db,
    people: Vec<mainstay_core::UserId>,
    _database: TestDatabase,
}

/// Large enough for PostgreSQL to prefer an index to reading everything.
async fn blog() -> Fixture {
    let database = TestDatabase::migrated(&migrations::all()).await;
    let db = database.open();
    let people: Vec<mainstay_core::UserId> =
        (0..200).map(|number| sea_orm::prelude::Uuid::from_u128(number).into()).collect();
    let unit = db.write(&Actor::system("test")).await.unwrap();
    for number in 0..4_000_i64 {
        let at = Timestamp::from_millis(number * 1000);
        let post = Post {
            id: PostId::new(0),
            author_id: people[number as usize % people.len()],
            title: format!("Title {}", number * 7919 % 4001),
            slug: format!("title-{number}"),
            content: format!("word{} and more of the same", number % 1000),
            content_html: String::new(),
            published_at: (number % 10 != 0).then_some(at),
            tags: vec![format!("tag{}", number % 400)],
            version: 1,
            created_at: at,
            updated_at: at,
        };
        insert(&unit, &post, &entity::search_words(&post)).await.unwrap().unwrap();
    }
    unit.commit().await.unwrap();
    db.primary().execute_unprepared("ANALYZE").await.unwrap();
    Fixture { db, people, _database: database }
}

impl Fixture {
    async fn plan(&self, select: &SelectStatement) -> String {
        let connection = self.db.primary();
        let backend = connection.get_database_backend();
        let mut statement = backend.build(select);
        let explain = if backend == DbBackend::Sqlite { "EXPLAIN QUERY PLAN" } else { "EXPLAIN" };
        statement.sql = format!("{explain} {}", statement.sql);
        let column = if backend == DbBackend::Sqlite { "detail" } else { "QUERY PLAN" };
        let rows = connection.query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get::<String>("", column).unwrap() + "\n").collect()
    }

    fn first_page(&self, viewer: &Viewer, filter: &Filter, sorted: Column) -> SelectStatement {
        let rows = listed(100_000).filter(wanted(self.db.dialect(), viewer, filter));
        rows.order_by(sorted, Order::Desc).order_by(Column::Id, Order::Desc).limit(21).into_query()
    }
}

#[tokio::test]
async fn every_list_walks_an_index_in_its_order() {
    let blog = blog().await;
    let author = Viewer::Author(blog.people[7]);
    let plain = Filter::default();
    let by_author = Filter { author: Some(blog.people[7]), ..Filter::default() };
    for (viewer, filter, sorted, index) in [
        // Its own, or where nearly all are published the one of all posts: either is walked in order.
        (Viewer::Anybody, &plain, Column::DatedAt, "dated_at_id_idx"),
        (Viewer::System, &plain, Column::DatedAt, "blog_posts_dated_at_id_idx"),
        (author, &plain, Column::DatedAt, "blog_posts_dated_at_id_idx"),
        (Viewer::Anybody, &by_author, Column::DatedAt, "blog_posts_author_id_dated_at_id_idx"),
        (author, &by_author, Column::DatedAt, "blog_posts_author_id_dated_at_id_idx"),
        (Viewer::System, &plain, Column::CreatedAt, "blog_posts_created_at_id_idx"),
        (Viewer::System, &plain, Column::UpdatedAt, "blog_posts_updated_at_id_idx"),
        (Viewer::System, &plain, Column::TitleWords, "blog_posts_title_words_id_idx"),
    ] {
        let plan = blog.plan(&blog.first_page(&viewer, filter, sorted)).await;
        assert!(plan.contains(index), "{viewer:?} {sorted:?}: {plan}");
        // What one person wrote may be sorted: it is little, and the index finds it.
        let sorts = plan.contains("Sort") || plan.contains("TEMP B-TREE");
        assert!(!sorts || filter.author.is_some(), "{viewer:?} {sorted:?}: {plan}");
    }
}

#[tokio::test]
async fn words_and_tags_are_found_by_their_index() {
    let blog = blog().await;
    let words = Filter { q: SearchText::parse("word77").ok(), ..Filter::default() };
    let tagged = Filter { tag: Tag::parse("TAG7").ok(), ..Filter::default() };
    for (filter, sqlite, postgres) in [
        (&words, "blog_words_fts VIRTUAL TABLE INDEX", "blog_words_words_idx"),
        (&tagged, "blog_tags USING", "blog_tags_pkey"),
    ] {
        let dialect = blog.db.dialect();
        for select in [
            blog.first_page(&Viewer::Anybody, filter, Column::DatedAt),
            count(wanted(dialect, &Viewer::Anybody, filter)),
        ] {
            let plan = blog.plan(&select).await;
            assert!(plan.contains(dialect.pick(sqlite, postgres)), "{plan}");
        }
    }
}

#[tokio::test]
async fn people_are_found_with_their_posts_by_index() {
    let blog = blog().await;
    for drafts in [true, false] {
        let plan = blog.plan(&newest_of_each(&blog.people[..2], drafts)).await;
        assert!(plan.contains("blog_posts_author_id_dated_at_id_idx"), "{plan}");
    }
    let written = written_by(blog.db.primary(), &blog.people[..20], true).await.unwrap();
    assert_eq!(written.len(), 20);
    assert!(written.values().all(|theirs| theirs.post_count == 20 && theirs.posts.len() == 20));
}
