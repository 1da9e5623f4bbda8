//! The queue and the mailbox, on both databases.

use mainstay_core::Paging;
use mainstay_core::page::Start;
use mainstay_core::settings::{Section as _, Sources};
use mainstay_mail::{MailFilter, MailSettings, MailStatus, Recipient, SendReport};
use sea_orm::{ConnectionTrait as _, Statement};
use uuid::Uuid;

use crate::support::{ACTOR, HOUR, MINUTE, Post, Report, new_mail};

fn letter() -> Report {
    Report { subject: "Hello".to_owned(), text: "A very secret sentence.".to_owned() }
}

async fn count(post: &Post, filter: &MailFilter) -> u64 {
    let page = post.mails.list(&ACTOR, &Paging::first(100), filter).await.unwrap();
    page.total.unwrap()
}

#[tokio::test]
async fn one_mail_for_an_event_and_person_however_often_it_is_queued() {
    let post = Post::to_folder().await;
    let cause = Uuid::from_u128(1);

    assert!(post.queue_letter(cause, "Ada@Example.com", &letter()).await);
    assert!(!post.queue_letter(cause, "ada@example.COM", &letter()).await);
    assert!(post.queue_letter(cause, "grace@example.com", &letter()).await);
    assert!(post.queue_letter(Uuid::from_u128(2), "ada@example.com", &letter()).await);

    assert_eq!(count(&post, &MailFilter::default()).await, 3);
}

#[tokio::test]
async fn a_duplicate_leaves_the_transaction_usable() {
    let post = Post::to_folder().await;
    let cause = Uuid::from_u128(1);
    post.queue_letter(cause, "ada@example.com", &letter()).await;

    let unit = post.db.write(&ACTOR).await.unwrap();
    assert!(!post.mails.queue(&unit, new_mail(cause, "ada@example.com"), &letter()).await.unwrap());
    assert!(post.mails.queue(&unit, new_mail(cause, "grace@example.com"), &letter()).await.unwrap());
    unit.commit().await.unwrap();

    assert_eq!(count(&post, &MailFilter::default()).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn consumers_that_race_queue_one_mail() {
    let post = Post::to_folder().await;
    let cause = Uuid::from_u128(1);
    let letter = letter();
    let racing = (0..16).map(|_| post.queue_letter(cause, "ada@example.com", &letter));

    let added = futures_util::future::join_all(racing).await;

    assert_eq!(added.into_iter().filter(|added| *added).count(), 1);
    assert_eq!(count(&post, &MailFilter::default()).await, 1);
}

#[tokio::test]
async fn a_change_that_is_given_up_sends_nothing() {
    let post = Post::to_folder().await;
    let unit = post.db.write(&ACTOR).await.unwrap();
    post.mails.queue(&unit, new_mail(Uuid::from_u128(1), "ada@example.com"), &letter()).await.unwrap();
    unit.rollback().await.unwrap();

    assert_eq!(post.mails.send_due(10).await.unwrap(), SendReport::default());
    assert_eq!(count(&post, &MailFilter::default()).await, 0);
}

#[tokio::test]
async fn without_a_server_mails_become_files_and_stay_in_the_mailbox() {
    let post = Post::to_folder().await;
    assert!(!post.mails.has_smtp());
    post.mails.check().await.unwrap();
    let id = post.queue("ada@example.com").await;

    assert_eq!(post.mails.send_due(10).await.unwrap().sent, 1);

    let folder = post.folder.path().join("mail");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("20260131T093000.000Z-"));
    let eml = std::fs::read_to_string(file).unwrap();
    assert!(eml.contains("\r\nSubject: Pump down\r\n") && eml.contains(&format!("<{id}@mainstay.example>")));
    let stored = post.find(id).await;
    assert_eq!(stored.mail.status, MailStatus::Sent);
    assert!(stored.content.unwrap().text.contains("The pump in the cellar is down."));
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_is_tried_again() {
    let post = Post::to_folder().await;
    let folder = post.folder.path().join("mail");
    std::fs::write(&folder, "in the way").unwrap();
    post.queue("ada@example.com").await;

    assert_eq!(post.mails.send_due(10).await.unwrap().retried, 1);
    assert!(post.mails.check().await.is_err());
    std::fs::remove_file(&folder).unwrap();
    post.clock.advance(2 * MINUTE);
    assert_eq!(post.mails.send_due(10).await.unwrap().sent, 1);
}

#[tokio::test]
async fn what_a_mail_says_is_sealed_at_rest() {
    let post = Post::to_folder().await;
    post.queue_letter(Uuid::from_u128(1), "ada@example.com", &letter()).await;

    let connection = post.db.primary();
    let sql = "SELECT sealed_content FROM mails";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    let sealed: String = row.try_get_by_index(0).unwrap();

    assert!(!sealed.contains("secret") && sealed.len() > 500);
}

#[tokio::test]
async fn what_is_no_address_is_stored_as_failed_and_never_sent() {
    let post = Post::to_folder().await;
    let hostile = ["nobody", "a@b.c\r\nBcc: x@y.z", "a\0@b.c", "", "a@b@c", &"x".repeat(5000)];
    for (number, address) in (1..).zip(hostile) {
        assert!(post.queue_letter(Uuid::from_u128(number), address, &letter()).await, "{address:?}");
    }

    assert_eq!(post.mails.send_due(10).await.unwrap(), SendReport::default());

    let failed = MailFilter { status: Some(MailStatus::Failed), ..MailFilter::default() };
    assert_eq!(count(&post, &failed).await, 6);
}

#[tokio::test]
async fn hostile_names_and_subjects_are_sent_as_harmless_lines() {
    let post = Post::to_folder().await;
    let hostile = "x\r\nBcc: evil@example.com\0\u{1b}[31m Ünal 🎉";
    let unit = post.db.write(&ACTOR).await.unwrap();
    let recipient = Recipient { name: Some(hostile.to_owned()), address: "ada@example.com".to_owned() };
    let mail = mainstay_mail::NewMail { recipient, ..new_mail(Uuid::from_u128(1), "") };
    let letter = Report { subject: hostile.to_owned(), text: hostile.to_owned() };
    post.mails.queue(&unit, mail, &letter).await.unwrap();
    unit.commit().await.unwrap();

    assert_eq!(post.mails.send_due(10).await.unwrap().sent, 1);

    let folder = post.folder.path().join("mail");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let eml = std::fs::read_to_string(file).unwrap();
    let (headers, _) = eml.split_once("\r\n\r\n").unwrap();
    assert!(!headers.lines().any(|line| line.starts_with("Bcc")), "{headers}");
}

#[tokio::test]
async fn the_mailbox_is_read_newest_first_and_filtered() {
    let post = Post::to_folder().await;
    for number in 0..5 {
        post.queue(&format!("ada{}@example.com", number % 2)).await;
        post.clock.advance(MINUTE);
    }

    let mut paging = Paging::first(2);
    let mut seen = Vec::new();
    loop {
        let page = post.mails.list(&ACTOR, &paging, &MailFilter::default()).await.unwrap();
        seen.extend(page.items.iter().map(|mail| mail.created_at));
        let Some(last) = page.items.last().filter(|_| page.has_next) else { break };
        paging.start = Start::After { key: last.created_at.millis().into(), id: last.id.to_string().into() };
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|newer, older| newer > older));

    let to = |address: &str| MailFilter { address: Some(address.to_owned()), ..MailFilter::default() };
    assert_eq!(count(&post, &to("ADA0@example.com")).await, 3);
    assert_eq!(count(&post, &to("a\0da@example.com")).await, 0);
    let of = |template: &str| MailFilter { template: Some(template.to_owned()), ..MailFilter::default() };
    assert_eq!(count(&post, &of("test.report")).await, 5);
    assert_eq!(count(&post, &of("other\0")).await, 0);
    let sent = MailFilter { status: Some(MailStatus::Sent), ..MailFilter::default() };
    assert_eq!(count(&post, &sent).await, 0);
}

#[tokio::test]
async fn finished_mails_are_purged_and_waiting_ones_never() {
    let post = Post::to_folder().await;
    let old = post.queue("ada@example.com").await;
    post.mails.send_due(10).await.unwrap();
    let waiting = post.queue("grace@example.com").await;
    post.clock.advance(HOUR);
    post.queue("edsger@example.com").await;

    assert_eq!(post.mails.purge(post.mails.settings().kept()).await.unwrap(), 0);
    post.clock.advance(post.mails.settings().kept());
    assert_eq!(post.mails.purge(post.mails.settings().kept()).await.unwrap(), 1);

    assert!(post.mails.find(old).await.unwrap().is_none());
    assert!(post.mails.find(waiting).await.unwrap().is_some());
}

#[tokio::test]
async fn a_batch_has_the_size_that_was_asked_for() {
    let post = Post::to_folder().await;
    for number in 0..7 {
        post.queue(&format!("ada{number}@example.com")).await;
    }
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(post.mails.send_due(3).await.unwrap().sent);
    }
    assert_eq!(sent, [3, 3, 1, 0]);
}

#[test]
fn bad_settings_are_faults_that_name_the_key() {
    let load = |toml: &str| {
        let mut sources = Sources::new();
        sources.add_toml(toml, "mainstay.toml");
        MailSettings::load(&mut sources).check(&mut sources);
        sources.finish().map_err(|error| error.0.join("\n"))
    };
    assert!(load("[mail]\nsmtp_url = \"smtp://u:hush@mail.example.com\"\nfrom = \"A <a@b.c>\"").is_ok());
    let faults =
        load("[mail]\nsmtp_url = \"http://u:hush@x\"\nfrom = \"nobody\"\ntimeout_s = 0").unwrap_err();
    for key in ["mail.smtp_url", "mail.from", "mail.timeout_s"] {
        assert!(faults.contains(key), "{key} in {faults}");
    }
    assert!(!faults.contains("hush"), "{faults}");
}
