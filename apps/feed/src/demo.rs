//! Posts to look at.

use mainstay_core::Actor;
use mainstay_core::input::from_json;
use serde_json::json;

use crate::domain::NewFeedPost;
use crate::service::Posts;

const PEOPLE: [(&str, &str); 6] = [
    ("Ada Admin", "admin"),
    ("Sam Staff", "staff"),
    ("Uma User", "user"),
    ("Noor Haddad", "noor"),
    ("Jonas Weber", "jweber"),
    ("Mei Tanaka 田中", "mei"),
];

const POSTS: [&str; 24] = [
    "First! The feed is open.",
    "The ferry at 08:40 is ten minutes late today.",
    "Has anybody seen a blue bicycle near the library?",
    "Fresh bread at the corner shop from six o'clock.",
    "The reading group meets on Thursday. We begin with chapter three.",
    "Reminder: the water is off in Mill Street until noon.",
    "I finished the jigsaw. All 2,000 pieces were there.",
    "Market day tomorrow:\n- apples\n- cheese\n- far too many pumpkins",
    "Whoever left the umbrella in the meeting room: it is at the desk.",
    "New in the library: forty books about the sea.",
    "The sunset over the harbor was something else tonight 🌅",
    "Looking for two players for a board game evening.",
    "The lift in the station works again. At last.",
    "Tip: the museum is free on the first Sunday of the month.",
    "Our choir needs a bass. Or two.",
    "<b>Bold</b> is text here, and so is <i>this</i>.",
    "Found: one glove, left, red.",
    "The library is closed on Monday for stock-taking.",
    "Thank you to everybody who helped with the flood last night.",
    "明日は雨です。傘を忘れずに。",
    "Does the number 7 still go to the hospital?",
    "The new bridge opens in spring, they say.",
    "Lost my keys between the park and the post office.",
    "Good morning from the top of the hill.",
];

pub(crate) async fn seed(posts: &Posts) -> anyhow::Result<Vec<String>> {
    let actor = Actor::system("feed demo");
    if posts.list(&actor, 1, 1).await?.total != Some(0) {
        return Ok(Vec::new());
    }
    for (place, body) in POSTS.into_iter().enumerate() {
        let (name, username) = PEOPLE[place * 5 % PEOPLE.len()];
        let new = from_json::<NewFeedPost>(&json!({"name": name, "username": username, "body": body}));
        let new = new.map_err(|faults| anyhow::anyhow!("a demo post: {faults:?}"))?;
        posts.create(&actor, &new).await?;
    }
    Ok(vec![format!("{} demo posts in the feed", POSTS.len())])
}
