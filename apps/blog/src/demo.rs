//! Posts to look at, by the accounts that identity's demo data has.

use mainstay_app::{Email, People as _};
use mainstay_core::input::from_json;
use mainstay_core::{Actor, UserId};
use serde_json::json;

use crate::domain::post::NewPost;
use crate::service::Blogging;

/// Title, tags, whether it is published, text.
type Draft = (&'static str, &'static [&'static str], bool, &'static str);

const POSTS: &[Draft] = &[
    (
        "On slow trains",
        &["Travel", "Trains"],
        true,
        "A slow train shows you **the backs of houses**, which nobody has painted for you.\n\n> Take a window seat, and do not read.\n\nThree lines that are worth a day:\n\n1. along the river,\n2. over the pass,\n3. anywhere, in November.",
    ),
    (
        "A kitchen of one's own",
        &["Food"],
        true,
        "What you need:\n\n- one good knife\n- one heavy pan\n- salt\n\nWhat you are sold is *everything else*.",
    ),
    (
        "Crème brûlée, without a torch",
        &["Food", "Recipes"],
        true,
        "| step | minutes |\n| --- | --- |\n| warm the cream | 10 |\n| bake in water | 40 |\n| cool | 120 |\n\nThe sugar goes under the grill, **once**, and close.",
    ),
    (
        "Reading a query plan",
        &["Programming", "Databases"],
        true,
        "Read it from the inside out.\n\n```sql\nEXPLAIN SELECT title FROM posts ORDER BY published_at DESC LIMIT 20;\n```\n\nIf it says `Sort`, an index is missing or has the wrong end.",
    ),
    (
        "Names are the hard part",
        &["Programming"],
        true,
        "There are two hard things, and the second one is ~~naming~~ knowing what you mean.",
    ),
    ("雪国を読む", &["Books", "日本"], true, "国境の長いトンネルを抜けると、もう一冊読みたくなる。"),
    (
        "Five walks around the harbor",
        &["Travel", "Walking"],
        true,
        "The first one begins at the fish market and ends there too, **with breakfast** between.",
    ),
    (
        "The library at night",
        &["Books"],
        true,
        "When the lamps go out one after the other, the [catalog](https://example.com/catalog) is the last thing that glows.",
    ),
    (
        "Notes for a talk",
        &["Programming"],
        false,
        "- begin with the failure\n- then the graph\n- no slide with more than *six words*",
    ),
    ("What I think of the new bridge", &["Town"], false, "Not finished. Neither is the bridge."),
];

pub(crate) async fn seed(blog: &Blogging) -> anyhow::Result<Vec<String>> {
    let mut authors: Vec<UserId> = Vec::new();
    for email in ["admin@example.com", "staff@example.com", "user@example.com"] {
        let email = Email::parse(email).map_err(|invalid| anyhow::Error::msg(invalid.message))?;
        authors.extend(blog.people.find_by_email(None, &email).await?.map(|person| person.id));
    }
    if authors.is_empty() || !blog.is_empty().await? {
        return Ok(Vec::new());
    }
    let actor = Actor::system("blog demo");
    for (place, (title, tags, published, content)) in POSTS.iter().enumerate() {
        let new = json!({"title": title, "tags": tags, "published": published, "content": content});
        let new = from_json::<NewPost>(&new).map_err(|faults| anyhow::anyhow!("{title}: {faults:?}"))?;
        blog.create(&actor, authors[place % authors.len()], new).await?;
    }
    let published = POSTS.iter().filter(|(_, _, published, _)| *published).count();
    Ok(vec![format!("{published} demo posts in the blog, and {} drafts", POSTS.len() - published)])
}
