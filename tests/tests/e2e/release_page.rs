//! The page of a release: a signed link shows it, and decides nothing; and the list of releases.

use crossfade::domain::page_link::PageKey;
use crossfade_tests::{
    Browser, Execution, Page,
    browser::Screen,
    page::Said,
    paths,
    release::{until, until_within},
    world::Notification,
};
use serde_json::json;

use crate::{
    case::{ALIAS, Case, Test, canary, test},
    cli::{ended, spawn},
    page::{asked, browser},
    promoted::promoted,
    rolled_back::rolled_back,
};

/// How long a bake may take here, and an open page to notice.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("release_page_from_flight_to_rollback", to_a_rollback),
        test("release_page_takes_no_answer", takes_no_answer),
        test(
            "release_page_links_that_open_nothing_look_alike",
            look_alike,
        ),
        test("release_page_is_listed", listed),
        test("release_page_in_chromium", in_chromium),
    ]
}

/// The page that operators were sent to when the release began.
async fn page_of(case: &Case, execution: &Execution) -> Page {
    let link = until("operators get a link to the page", || async {
        let told = case.world.mails(&execution.arn).await;
        told.iter().find_map(Notification::page).map(str::to_owned)
    })
    .await;
    Page::of(&case.suite().local, &link)
}

/// What the page says, once it says `text`.
async fn says(page: &Page, text: &str) -> Said {
    until(&format!("the page says {text}"), || async {
        let said = page.ask("GET").await;
        assert_eq!(said.status, 200, "{}", said.text);
        said.text.contains(text).then_some(said)
    })
    .await
}

/// What every link that opens nothing gets: the same to the letter.
async fn opens_nothing(page: &Page, why: &str) {
    let gone = page.with("").ask("GET").await;
    assert!(
        gone.text.contains("This link does not work"),
        "{}",
        gone.text
    );
    let headers = |said: &Said| -> Vec<(String, String)> {
        let all = said
            .headers
            .iter()
            .filter(|(name, _)| name != "date" && !name.starts_with("x-amz"));
        all.cloned().collect()
    };
    let said = page.ask("GET").await;
    assert_eq!(said.status, 403, "{why}");
    assert_eq!(said.text, gone.text, "{why}");
    assert_eq!(headers(&said), headers(&gone), "{why}");
}

/// The link with one field changed.
fn tampered(page: &Page, field: &str, value: &str) -> Page {
    let names = ["application", "release", "until", "signature"];
    let fields = names.map(|name| {
        let value = if name == field {
            value
        } else {
            page.field(name)
        };
        format!("{name}={value}")
    });
    page.with(&fields.join("&"))
}

async fn to_a_rollback(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let alarm = case.alarm().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 3000), (100, 0)]), "analysis": {"alarms": [alarm]},
        "description": "Answers in <German>", "commit": "3f2c1d0", "by": "Ada",
    }));
    let execution = case.start(&request).await;
    let page = page_of(&case, &execution).await;
    let seen = says(&page, "10 % of the traffic is on green").await;
    for expected in [
        "Answers in &lt;German&gt;, commit 3f2c1d0, by Ada",
        "<strong>Next: </strong>After 50 min at this weight 100 % go to green.",
        "Green got 10 % of the traffic.",
        "Blue <span>version 1</span>",
        "This page only shows",
        "data-live",
    ] {
        assert!(seen.text.contains(expected), "{expected}: {}", seen.text);
    }
    assert!(!seen.text.contains("<form"), "{}", seen.text);
    let policy = seen.header("content-security-policy");
    assert!(
        policy.contains("script-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    let head = page.ask("HEAD").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    // The command line makes a link of its own to the same page.
    let said = ended(spawn(
        &case,
        &["open", page.field("release"), "--print"],
        "",
    ))
    .await;
    assert_eq!(said.code, 0, "{said:?}");
    let own = Page::of(&case.suite().local, said.out.trim());
    assert_eq!(own.field("release"), page.field("release"));
    assert_eq!(own.ask("GET").await.status, 200);

    case.world.fire(&alarm).await;
    let done = execution.wait().await;
    drop(users);
    rolled_back(&case, &target, &execution, &done).await;
    let seen = says(&page, "was rolled back").await;
    for expected in [
        "All traffic is on blue.",
        "A rollback was requested: ",
        "Blue had all traffic again.",
        "is ALARM.",
    ] {
        assert!(seen.text.contains(expected), "{expected}: {}", seen.text);
    }
    assert!(!seen.text.contains("data-live"), "it changes no more");
}

async fn takes_no_answer(case: Case) {
    let (target, execution, decision) = asked(&case, json!({})).await;
    let page = page_of(&case, &execution).await;
    let seen = says(&page, "waits for approval, with 10 % on green").await;
    assert!(seen.text.contains("crossfade approve "), "{}", seen.text);
    for secret in ["<form", decision.field("nonce"), "task-token"] {
        assert!(!seen.text.contains(secret), "{secret}: {}", seen.text);
    }
    let said = page.post("approve", "Eve", "").await;
    assert_eq!(said.status, 403, "{}", said.text);
    case.ledger_says(&execution, "HELD").await;
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert!((alias.share("2") - 0.1).abs() < 0.01, "{alias:?}");
    assert_eq!(
        decision.post("approve", "Ada", "reads well").await.status,
        200
    );
    promoted(&target, &execution.wait().await, "2").await;
    let seen = says(&page, "was promoted").await;
    assert!(
        seen.text.contains("Ada approved it: reads well."),
        "{}",
        seen.text
    );
}

async fn look_alike(case: Case) {
    let (one, two) = (case.part("one"), case.part("two"));
    let (other, second, answers) = asked(&two, json!({})).await;
    let others = page_of(&two, &second).await;
    assert_eq!(answers.post("approve", "Ada", "").await.status, 200);
    promoted(&other, &second.wait().await, "2").await;
    let (target, execution, decision) = asked(&one, json!({})).await;
    let page = page_of(&one, &execution).await;
    assert_eq!(page.ask("GET").await.status, 200);
    let flipped: String = page.field("signature").chars().rev().collect();
    let later = page.field("until").parse::<i64>().expect("a number") + 1;
    for (field, value) in [
        ("application", others.field("application")),
        ("release", others.field("release")),
        ("release", "nothing-of-this-name"),
        ("until", &later.to_string()),
        ("until", "soon"),
        ("signature", others.field("signature")),
        ("signature", &flipped),
        ("signature", ""),
    ] {
        opens_nothing(&tampered(&page, field, value), &format!("{field}={value}")).await;
    }
    // Signed by the stack's own key, and over.
    let key = PageKey::parse(&case.world.page_key().await).expect("it is a key");
    let release = crossfade::domain::page_link::Page::Release {
        application: page.field("application").parse().expect("a name"),
        release: page.field("release").to_owned(),
    };
    let link = |key: &PageKey, until: &str| {
        let link = key.link("", &release, until.parse().expect("a time"));
        page.with(link.trim_start_matches('?'))
    };
    opens_nothing(&link(&key, "2026-01-01T00:00:00Z"), "expired").await;
    assert_eq!(
        link(&key, "2200-01-01T00:00:00Z").ask("GET").await.status,
        200
    );
    let guessed = PageKey::from_random([7; 32]);
    opens_nothing(&link(&guessed, "2200-01-01T00:00:00Z"), "another key").await;
    // A link to a release is none to the list.
    let list = format!(
        "until={}&signature={}",
        page.field("until"),
        page.field("signature")
    );
    opens_nothing(&page.with(&list), "not the list").await;
    assert_eq!(decision.post("approve", "Ada", "").await.status, 200);
    promoted(&target, &execution.wait().await, "2").await;
}

async fn listed(case: Case) {
    let (target, execution, decision) = asked(&case, json!({})).await;
    let said = ended(spawn(&case, &["open", "--print"], "")).await;
    assert_eq!(said.code, 0, "{said:?}");
    let list = Page::of(&case.suite().local, said.out.trim());
    let seen = list.ask("GET").await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let release = decision.field("release");
    let row = seen.text.split("<tr>").find(|row| row.contains(release));
    let row = row.unwrap_or_else(|| panic!("{release} is listed: {}", seen.text));
    assert!(row.contains("Waits for approval"), "{row}");
    let link = row
        .split("href=\"?")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let link = link.expect("it leads to its page").replace("&amp;", "&");
    assert!(!link.contains("nonce"), "{link}");
    let page = list.with(&link);
    assert!(page.ask("GET").await.text.contains("waits for approval"));
    assert_eq!(
        page.field("until"),
        list.field("until"),
        "no longer than the list"
    );
    opens_nothing(
        &list.with(&format!("until=1&signature={}", list.field("signature"))),
        "expired",
    )
    .await;
    assert_eq!(decision.post("approve", "Ada", "").await.status, 200);
    promoted(&target, &execution.wait().await, "2").await;
}

/// Nothing stands in the way of a reader, on any screen.
async fn is_accessible(browser: &Browser, page: &Page, axe: Option<&str>, when: &str) {
    for (width, height, dark) in [
        (320, 700, false),
        (390, 844, false),
        (390, 844, true),
        (1280, 900, false),
        (1280, 900, true),
    ] {
        browser
            .show_on(Screen {
                width,
                height,
                dark,
            })
            .await;
        browser.open(&page.url()).await;
        let wide = browser
            .execute("return document.documentElement.scrollWidth")
            .await;
        assert!(
            wide.as_u64() <= Some(u64::from(width)),
            "{when}, {width}: {wide}"
        );
        // A heading of one word is on one line: no word is broken.
        let broken = browser
            .execute(
                "const lines = (one) => { const all = document.createRange(); all.selectNodeContents(one); \
                 return new Set([...all.getClientRects()].map((line) => Math.round(line.top))).size; }; \
                 return [...document.querySelectorAll('thead th')].filter((one) => \
                 one.textContent && !one.querySelector('.skip') && !one.textContent.includes(' ') && lines(one) > 1).length",
            )
            .await;
        assert_eq!(broken, 0, "{when}, {width}: words are whole");
        if let Some(axe) = axe {
            let found = browser.violations(axe).await;
            assert!(found.is_empty(), "{when}, {width}, dark {dark}: {found:#?}");
        }
    }
}

async fn in_chromium(case: Case) {
    let Some(browser) = browser(&case, "release_page_in_chromium").await else {
        return;
    };
    let axe = paths::target().join("axe/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(axe).ok();
    if axe.is_none() {
        eprintln!(
            "test release_page_in_chromium ran without axe: npm installs it with `make browser`"
        );
    }
    let axe = axe.as_deref();
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let mut steps = canary(&[(10, 3600), (50, 3600), (100, 0)]);
    steps["approveBefore"] = json!(50);
    let alarm = case.alarm().await;
    let more =
        json!({"strategy": steps, "analysis": {"alarms": [alarm], "checkEverySeconds": 300}});
    let execution = case.start(&case.request(more)).await;
    let page = page_of(&case, &execution).await;
    says(&page, "10 % of the traffic is on green").await;
    is_accessible(&browser, &page, axe, "in flight").await;
    let decision = until_within(PATIENCE, "the release asks", || async {
        let told = case.world.mails(&execution.arn).await;
        let link = told.iter().find_map(Notification::link)?;
        Some(Page::of(&case.suite().local, link))
    })
    .await;
    is_accessible(&browser, &page, axe, "held").await;
    is_accessible(&browser, &decision, axe, "asked").await;
    let said = ended(spawn(&case, &["open", "--print"], "")).await;
    let list = Page::of(&case.suite().local, said.out.trim());
    is_accessible(&browser, &list, axe, "listed").await;

    // It stays true without being loaded again, and says so to who does not see it.
    browser.open(&page.url()).await;
    browser.execute("window.stays = true").await;
    assert_eq!(decision.post("approve", "Ada", "").await.status, 200);
    case.world.fire(&alarm).await;
    until_within(PATIENCE, "the open page says how it ended", || async {
        let heading = browser.text("h1").await;
        heading.contains("was rolled back").then_some(())
    })
    .await;
    assert_eq!(
        browser.execute("return window.stays").await,
        true,
        "it was not loaded again"
    );
    let told = browser
        .execute("return document.getElementById('said').textContent")
        .await;
    assert!(
        told.as_str().is_some_and(|told| told.starts_with("Roll")),
        "{told}"
    );
    assert_eq!(
        browser.console().await,
        [""; 0],
        "the console has nothing to say"
    );
    let done = execution.wait().await;
    drop(users);
    rolled_back(&case, &target, &execution, &done).await;
    is_accessible(&browser, &page, axe, "rolled back").await;
}
