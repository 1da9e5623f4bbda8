//! Mails on their way to a real server, and what can happen to them there.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_mail::{MailStatus, SendReport};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::server::SmtpProcess;
use crate::support::{HOUR, MINUTE, Post, Report};

fn sent(count: u64) -> SendReport {
    SendReport { sent: count, ..SendReport::default() }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let mut server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| server.plain(settings)).await;
    let subject = "Şifre sıfırlama: İstanbul’da çığ uyarısı 🎉 ve çok daha uzun bir konu satırı";
    let text = "Merhaba Ünal 👋\n.\n..two dots\nFrom here on";
    let letter = Report { subject: subject.to_owned(), text: text.to_owned() };
    post.queue_letter(Uuid::from_u128(1), "Ada@Bücher.example", &letter).await;

    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(1));

    let mail = server.received().await;
    assert_eq!(mail.defects, [""; 0]);
    assert_eq!(mail.header("Subject"), subject);
    assert_eq!(mail.header("From"), "Mainstay <no-reply@mainstay.example>");
    assert_eq!(mail.header("To"), "Ada Lovelace <Ada@xn--bcher-kva.example>");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert_eq!(mail.header("Date"), "Sat, 31 Jan 2026 09:30:00 +0000");
    assert!(mail.header("Message-ID").ends_with("@mainstay.example>"));
    assert_eq!((&*mail.from, &*mail.host), ("no-reply@mainstay.example", "mainstay.example"));
    assert_eq!(mail.to, ["Ada@xn--bcher-kva.example"]);
    assert!(mail.text.contains(text), "{}", mail.text);
    assert!(mail.html.contains("Merhaba Ünal 👋<br>.<br>..two dots<br>From here on"));
    assert!(!mail.is_encrypted && !mail.is_signed_in);
}

#[tokio::test]
async fn what_a_server_took_is_no_longer_kept() {
    let server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| server.plain(settings)).await;
    let id = post.queue("ada@example.com").await;
    assert!(post.find(id).await.content.is_some());

    post.mails.send_due(10).await.unwrap();

    let stored = post.find(id).await;
    assert_eq!((stored.mail.status, stored.content), (MailStatus::Sent, None));
    assert!(stored.mail.sent_at.is_some() && stored.mail.attempts == 1);
    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(0));
    assert!(post.metrics.render().contains("mails_total{outcome=\"sent\"} 1"));
}

#[tokio::test]
async fn starttls_encrypts_before_anything_is_said() {
    let mut server = SmtpProcess::start(&["--tls", "starttls", "--auth", "ada:p@ss word"]).await;
    let url = format!("smtp://ada:p%40ss%20word@localhost:{}?tls=required", server.port);
    let post = Post::with(|settings| server.at(settings, &url)).await;
    post.queue("ada@example.com").await;

    post.mails.check().await.unwrap();
    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(1));

    let mail = server.received().await;
    assert!(mail.is_encrypted && mail.is_signed_in);
}

#[tokio::test]
async fn implicit_tls_works_too() {
    let mut server = SmtpProcess::start(&["--tls", "implicit", "--auth", "ada:secret"]).await;
    let url = format!("smtps://ada:secret@127.0.0.1:{}", server.port);
    let post = Post::with(|settings| server.at(settings, &url)).await;
    post.queue("ada@example.com").await;

    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(1));

    let mail = server.received().await;
    assert!(mail.is_encrypted && mail.is_signed_in);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_not_accepted() {
    for (mode, scheme) in [("starttls", "smtp"), ("implicit", "smtps")] {
        let server = SmtpProcess::start(&["--tls", mode]).await;
        let url = format!("{scheme}://localhost:{}?tls=required", server.port);
        let post = Post::with(|settings| {
            server.at(settings, &url);
            settings.ca_file = None;
        })
        .await;
        let id = post.queue("ada@example.com").await;

        let report = post.mails.send_due(10).await.unwrap();

        assert!(report.away.as_ref().is_some_and(|reason| reason.contains("certificate")), "{report:?}");
        assert_eq!(post.find(id).await.mail.status, MailStatus::Queued);
        assert!(post.mails.check().await.is_err());
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing_where_it_is_required() {
    let server = SmtpProcess::start(&[]).await;
    let url = format!("smtp://u:secret@localhost:{}?tls=required", server.port);
    let post = Post::with(|settings| server.at(settings, &url)).await;
    post.queue("ada@example.com").await;

    let report = post.mails.send_due(10).await.unwrap();

    assert!(report.away.is_some_and(|reason| reason.contains("STARTTLS") && !reason.contains("secret")));
    assert_eq!((report.sent, report.retried), (0, 1));
}

#[tokio::test]
async fn a_wrong_password_is_no_fault_of_the_mail() {
    let server = SmtpProcess::start(&["--auth", "ada:right"]).await;
    let url = format!("smtp://ada:wrong@127.0.0.1:{}", server.port);
    let post = Post::with(|settings| server.at(settings, &url)).await;
    let id = post.queue("ada@example.com").await;

    let report = post.mails.send_due(10).await.unwrap();

    // 535 is a permanent answer, but to the sign-in.
    assert!(report.away.is_some_and(|reason| reason.contains("535") && !reason.contains("wrong")));
    assert_eq!(post.find(id).await.mail.status, MailStatus::Queued);
    assert!(post.mails.check().await.is_err());
}

#[tokio::test]
async fn a_greylisted_mail_is_sent_later() {
    let mut server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| server.plain(settings)).await;
    let id = post.queue("greylist-ada@example.com").await;

    let report = post.mails.send_due(10).await.unwrap();
    assert_eq!(report, SendReport { retried: 1, ..SendReport::default() });
    let mail = post.find(id).await.mail;
    assert!(mail.last_error.unwrap().contains("451"), "the answer is recorded");
    let pause = mail.due_at.since(mail.created_at);
    assert!(pause <= 2 * MINUTE, "{pause:?}");

    post.clock.advance(2 * MINUTE);
    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(1));
    server.received().await;
    assert_eq!(post.find(id).await.mail.last_error, None);
}

#[tokio::test]
async fn a_recipient_that_is_refused_for_good_is_not_tried_again() {
    let server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| server.plain(settings)).await;
    for (address, code) in [("reject-ada@example.com", "550"), ("refuse-content-ada@example.com", "554")] {
        let id = post.queue(address).await;

        let report = post.mails.send_due(10).await.unwrap();

        assert_eq!(report, SendReport { failed: 1, ..SendReport::default() });
        let mail = post.find(id).await.mail;
        assert_eq!(mail.status, MailStatus::Failed);
        assert!(mail.last_error.unwrap().contains(code));
    }
    post.clock.advance(HOUR);
    assert_eq!(post.mails.send_due(10).await.unwrap(), SendReport::default());
}

#[tokio::test]
async fn one_refused_recipient_does_not_hold_up_the_others() {
    let mut server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| {
        server.plain(settings);
        settings.concurrency = 1;
    })
    .await;
    for address in ["a@example.com", "reject-b@example.com", "greylist-c@example.com", "d@example.com"] {
        post.queue(address).await;
    }

    let report = post.mails.send_due(10).await.unwrap();

    assert_eq!(report, SendReport { sent: 2, retried: 1, failed: 1, away: None });
    let arrived = BTreeSet::from([server.received().await.to, server.received().await.to]);
    assert_eq!(
        arrived,
        BTreeSet::from([["a@example.com".to_owned()].into(), ["d@example.com".to_owned()].into()])
    );
}

#[tokio::test]
async fn a_server_that_takes_a_mail_and_hangs_costs_one_delivery_time() {
    let mut server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| {
        server.plain(settings);
        settings.delivery_timeout_s = 2;
    })
    .await;
    let id = post.queue("hang-ada@example.com").await;

    let report = post.mails.send_due(10).await.unwrap();

    assert_eq!(report, SendReport { retried: 1, ..SendReport::default() });
    server.received().await;
    assert!(post.find(id).await.mail.last_error.unwrap().contains("not delivered within 2 s"));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_away() {
    // The backlog accepts; nobody ever greets.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let post = Post::with(|settings| {
        settings.smtp_url = Some(url.into());
        settings.timeout_s = 1;
    })
    .await;
    post.queue("ada@example.com").await;

    let report = post.mails.send_due(10).await.unwrap();
    assert!(report.away.is_some_and(|reason| reason.contains("no answer within 1 s")));
    assert_eq!(report.retried, 1);
    assert!(post.mails.check().await.is_err());
}

/// A port that refuses.
async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn while_the_server_is_down_mails_wait_and_nothing_is_lost() {
    let url = format!("smtp://127.0.0.1:{}", closed_port().await);
    let post = Post::with(|settings| {
        settings.smtp_url = Some(url.into());
        settings.concurrency = 1;
    })
    .await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(post.queue(&format!("ada{number}@example.com")).await);
    }

    let report = post.mails.send_due(10).await.unwrap();
    // One found it out; the others did not lose an attempt over it.
    assert_eq!((report.retried, report.sent), (1, 0));
    assert!(report.away.is_some());

    let mut server = SmtpProcess::start(&[]).await;
    let later = post.beside(|settings| server.plain(settings));
    post.clock.advance(2 * MINUTE);
    assert_eq!(later.mails.send_due(10).await.unwrap(), sent(5));
    for _ in 0..5 {
        server.received().await;
    }
}

#[tokio::test]
async fn a_mail_is_given_up_after_two_days() {
    let url = format!("smtp://127.0.0.1:{}", closed_port().await);
    let post = Post::with(|settings| settings.smtp_url = Some(url.into())).await;
    let id = post.queue("ada@example.com").await;

    let mut waited = Duration::ZERO;
    while waited < 48 * HOUR {
        let report = post.mails.send_due(10).await.unwrap();
        assert_eq!(report.failed, 0, "after {waited:?}");
        post.clock.advance(HOUR);
        waited += HOUR;
    }
    assert_eq!(post.find(id).await.mail.attempts, 48, "each pause ends within an hour");

    assert_eq!(post.mails.send_due(10).await.unwrap().failed, 1);
    let mail = post.find(id).await.mail;
    assert_eq!(mail.status, MailStatus::Failed);
    assert!(mail.last_error.is_some());
}

#[tokio::test]
async fn a_lost_answer_makes_one_duplicate_that_shows_as_one() {
    let mut server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| server.plain(settings)).await;
    post.queue("drop-ada@example.com").await;

    assert_eq!(post.mails.send_due(10).await.unwrap().retried, 1);
    post.clock.advance(2 * MINUTE);
    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(1));

    let (first, second) = (server.received().await, server.received().await);
    assert_eq!(first.header("Message-ID"), second.header("Message-ID"));
    assert_eq!((first.text, first.html), (second.text, second.html));
    post.clock.advance(49 * HOUR);
    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn senders_that_race_never_send_a_mail_twice() {
    let mut server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| server.plain(settings)).await;
    let others = [(); 2].map(|()| post.beside(|settings| server.plain(settings)));
    for number in 0..24 {
        post.queue(&format!("ada{number}@example.com")).await;
    }

    let (a, b, c) =
        tokio::join!(post.mails.send_due(100), others[0].mails.send_due(100), others[1].mails.send_due(100));

    let reports = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(reports.iter().map(|report| report.sent).sum::<u64>(), 24, "{reports:?}");
    let mut recipients = BTreeSet::new();
    for _ in 0..24 {
        assert!(recipients.insert(server.received().await.to), "twice");
    }
    assert_eq!(post.mails.send_due(100).await.unwrap(), sent(0));
}

#[tokio::test]
async fn a_sender_that_died_leaves_its_mail_until_the_lease_is_over() {
    let mut server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| server.plain(settings)).await;
    let id = post.queue("hang-ada@example.com").await;

    let mails = post.mails.clone();
    let mut dying = std::pin::pin!(mails.send_due(10));
    tokio::select! {
        _ = &mut dying => panic!("the server hangs"),
        mail = server.received() => assert_eq!(mail.to, ["hang-ada@example.com"]),
    }
    // It has the mail, and never marks it.
    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(0));
    post.clock.advance(MINUTE);
    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(0));

    post.clock.advance(2 * MINUTE);
    let again = post.beside(|settings| {
        server.plain(settings);
        settings.delivery_timeout_s = 2;
    });
    assert_eq!(again.mails.send_due(10).await.unwrap().retried, 1);
    assert_eq!(post.find(id).await.mail.attempts, 2);
}

#[tokio::test]
async fn addresses_outside_ascii_are_sent_with_smtputf8() {
    let mut server = SmtpProcess::start(&[]).await;
    let post = Post::with(|settings| server.plain(settings)).await;
    post.queue("ünal@example.com").await;

    assert_eq!(post.mails.send_due(10).await.unwrap(), sent(1));
    assert_eq!(server.received().await.to, ["ünal@example.com"]);
}
