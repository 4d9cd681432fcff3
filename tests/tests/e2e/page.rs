//! The approval page: a person with a link answers, and nobody and nothing else does.

use crossfade_tests::{
    Browser, Execution, Page, Target,
    browser::{Screen, key},
    release::until,
    world::{Fault, Notification},
};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, a_moment, apart, canary, merge, test},
    promoted::{promoted, weights},
    rolled_back::rolled_back,
};

/// The page's own function.
const FUNCTION: &str = "crossfade-approval";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("page_approves", approves),
        test(
            "page_rejects_and_then_the_hold_is_answered_there_too",
            rejects,
        ),
        test("page_is_only_looked_at", looked_at),
        test("page_takes_one_answer", once),
        apart("page_answers_too_late", too_late),
        test("page_opens_by_its_own_nonce_alone", nonces),
        test("page_link_ends_with_the_time", expired),
        test("page_link_ends_with_an_alarm", ended_by_an_alarm),
        test("page_asks_for_what_is_missing", incomplete),
        apart("page_works_without_metrics_and_tells_of_trouble", trouble),
        test("page_in_chromium_by_keyboard", by_keyboard),
        test("page_in_chromium_without_scripts", without_scripts),
    ]
}

/// A release that asks before its second step, and where that can be answered.
pub(crate) async fn asked(case: &Case, more: Value) -> (Target, Execution, Page) {
    let target = case.blue().await;
    let mut steps = canary(&[(10, 0), (100, 0)]);
    steps["approveBefore"] = json!(100);
    let mut request = case.request(json!({"strategy": steps}));
    merge(&mut request, more);
    let execution = case.start(&request).await;
    let page = page_of(case, &execution, "AwaitApproval", 0).await;
    (target, execution, page)
}

/// The page that people were sent to when the execution waited in `state`, after so many other links.
async fn page_of(case: &Case, execution: &Execution, state: &str, nth: usize) -> Page {
    execution.wait_for_state(state, 1).await;
    link(case, execution, nth).await
}

/// The page of the link that people got, after so many others.
pub(crate) async fn link(case: &Case, execution: &Execution, nth: usize) -> Page {
    let link = until("people get a link", || async {
        let told = case.world.notifications(&execution.arn).await;
        let mut links = told.iter().filter_map(Notification::link);
        links.nth(nth).map(str::to_owned)
    })
    .await;
    Page::of(&case.suite().local, &link)
}

async fn is_split(target: &Target) {
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert!((alias.share("2") - 0.1).abs() < 0.01, "{alias:?}");
}

/// What a link that is of no use shows, whyever: the same to the letter.
async fn is_gone(page: &Page, why: &str) {
    let gone = page.with("").ask("GET").await;
    assert!(
        gone.text.contains("This link does not work"),
        "{}",
        gone.text
    );
    for said in [page.ask("GET").await, page.post("approve", "Eve", "").await] {
        assert_eq!(said.status, 403, "{why}");
        assert_eq!(said.text, gone.text, "{why}");
    }
}

async fn approves(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({"strategy": "prod", "analysis": {"checkEverySeconds": 300}}));
    let execution = case.start(&request).await;
    let page = page_of(&case, &execution, "AwaitApproval", 0).await;
    let seen = page.ask("GET").await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let name = case.request(json!({}))["application"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for expected in [
        &format!("Move {name} to 95 % on green?"),
        "approval is required with 50 % on green",
        "Blue <span>version 1</span>",
        "Green <span>version 2</span>",
        "Requests that failed",
        "What was judged last",
    ] {
        assert!(
            seen.text.to_lowercase().contains(&expected.to_lowercase()),
            "{expected}: {}",
            seen.text
        );
    }
    for (header, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(seen.header(header), value);
    }
    assert!(
        seen.header("content-security-policy")
            .starts_with("default-src 'none';")
    );
    let done = page
        .post("approve", "Ada <Lovelace> & Söhne", "looks\r\ngood")
        .await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(done.text.contains("Approved"), "{}", done.text);
    assert!(
        done.text.contains("Ada &lt;Lovelace&gt; &amp; Söhne"),
        "{}",
        done.text
    );
    let ended = execution.wait().await;
    drop(users);
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [10, 50, 95]);
    let answer = &ended.output["answers"][0];
    assert_eq!(answer["decision"], "approve");
    assert_eq!(answer["by"], "Ada <Lovelace> & Söhne");
    is_gone(&page, "the release has ended").await;
}

async fn rejects(case: Case) {
    let (target, execution, page) = asked(&case, json!({})).await;
    let done = page.post("reject", "Ada", "p99 looks odd").await;
    assert_eq!(done.status, 200, "{}", done.text);
    // The hold that follows has a link of its own.
    let hold = page_of(&case, &execution, "Hold", 1).await;
    is_split(&target).await;
    is_gone(&page, "it was of the approval").await;
    let seen = hold.ask("GET").await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert!(seen.text.contains("is held: what next?"), "{}", seen.text);
    assert!(
        seen.text.contains("Ada rejected it: p99 looks odd"),
        "{}",
        seen.text
    );
    let other = hold.post("approve", "Ada", "").await;
    assert_eq!(other.status, 422, "that is no answer to a hold");
    let done = hold.post("rollBack", "Grace", "").await;
    assert_eq!(done.status, 200, "{}", done.text);
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    let words: Vec<_> = cause["answers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| &one["decision"])
        .collect();
    assert_eq!(words, ["reject", "rollBack"], "{cause}");
}

async fn looked_at(case: Case) {
    let (target, execution, page) = asked(&case, json!({})).await;
    // As programs do that look where links in mail lead, and follow what they find.
    let eager = page.with(&format!(
        "release={}&nonce={}&decision=approve&by=scanner",
        page.field("release"),
        page.field("nonce")
    ));
    for _ in 0..3 {
        for page in [&page, &eager] {
            let seen = page.ask("GET").await;
            assert_eq!(seen.status, 200);
            let head = page.ask("HEAD").await;
            assert_eq!((head.status, head.text.as_str()), (200, ""));
        }
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let said = eager.ask(method).await;
        assert_eq!(
            (said.status, said.header("allow")),
            (405, "GET, HEAD, POST"),
            "{method}"
        );
    }
    // A link alone is no form.
    let said = eager.ask("POST").await;
    assert_eq!(said.status, 403);
    a_moment().await;
    case.ledger_says(&execution, "HELD").await;
    is_split(&target).await;
    assert!(execution.ended().await.is_none());
    let done = page.post("approve", "Ada", "").await;
    assert_eq!(
        done.status, 200,
        "the link is as good as before: {}",
        done.text
    );
    promoted(&target, &execution.wait().await, "2").await;
}

async fn once(case: Case) {
    let (target, execution, page) = asked(&case, json!({"onDenied": "rollBack"})).await;
    let (first, second) = tokio::join!(
        page.post("reject", "Ada", "odd"),
        page.post("approve", "Grace", "fine")
    );
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(
        statuses[0], 200,
        "one is taken: {} {}",
        first.text, second.text
    );
    // The other came when the wait was over already, or when the link was.
    assert!(
        [403, 409].contains(&statuses[1]),
        "{} {}",
        first.text,
        second.text
    );
    is_gone(&page, "it was used").await;
    let ended = execution.wait().await;
    let answers = ended.outcome()["answers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert_eq!(answers.len(), 1, "{ended:?}");
    if first.status == 200 {
        rolled_back(&case, &target, &execution, &ended).await;
    } else {
        promoted(&target, &ended, "2").await;
    }
}

async fn too_late(case: Case) {
    let (target, execution, page) = asked(&case, json!({})).await;
    // Step Functions takes the answer, and its own is lost: the SDK asks again, and comes too late.
    let lost = Fault::new("drop-after")
        .on("states", "SendTaskSuccess")
        .by(FUNCTION);
    let lost = case.world.fault(lost).await;
    let done = page.post("approve", "Ada", "").await;
    assert_eq!(case.world.struck(lost).await, 1);
    assert_eq!(done.status, 409, "{}", done.text);
    assert!(done.text.contains("Already decided"), "{}", done.text);
    promoted(&target, &execution.wait().await, "2").await;
}

async fn nonces(case: Case) {
    // One after the other: the invariants ask that a test's releases do not overlap.
    let (other, second, others) = asked(&case.part("two"), json!({})).await;
    assert_eq!(others.post("approve", "Ada", "").await.status, 200);
    promoted(&other, &second.wait().await, "2").await;
    let (target, execution, page) = asked(&case.part("one"), json!({})).await;
    let with = |release: &str, nonce: &str| page.with(&format!("release={release}&nonce={nonce}"));
    let (mine, own) = (page.field("release"), page.field("nonce"));
    let guessed: String = own.chars().rev().collect();
    for (page, why) in [
        (with(mine, &guessed), "guessed"),
        (with(mine, others.field("nonce")), "of another release"),
        (with(others.field("release"), own), "for another release"),
        (with(mine, ""), "none"),
        (with(mine, &own[1..]), "cut off"),
        (with("nothing-of-this-name", own), "of no release"),
        (with("", own), "of none"),
    ] {
        is_gone(&page, why).await;
    }
    is_split(&target).await;
    assert_eq!(page.post("approve", "Ada", "").await.status, 200);
    promoted(&target, &execution.wait().await, "2").await;
}

async fn expired(case: Case) {
    let more = json!({"approvalTimeoutSeconds": 300, "onApprovalTimeout": "hold", "holdTimeoutSeconds": 3600});
    let (target, execution, page) = asked(&case, more).await;
    let hold = page_of(&case, &execution, "Hold", 1).await;
    is_gone(&page, "its time is over").await;
    is_split(&target).await;
    assert_eq!(hold.post("resume", "Ada", "").await.status, 200);
    promoted(&target, &execution.wait().await, "2").await;
}

async fn ended_by_an_alarm(case: Case) {
    let alarm = case.alarm().await;
    let (target, execution, page) = asked(&case, json!({"analysis": {"alarms": [alarm]}})).await;
    assert_eq!(page.ask("GET").await.status, 200);
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    rolled_back(&case, &target, &execution, &ended).await;
    is_gone(&page, "it was rolled back").await;
}

async fn incomplete(case: Case) {
    let (target, execution, page) = asked(&case, json!({})).await;
    for (decision, by, reason, says) in [
        ("", "Ada", "", "Choose what is to be done."),
        ("maybe", "Ada", "", "Choose what is to be done."),
        ("promote", "Ada", "", "Choose what is to be done."),
        ("approve", "  ", "", "Give your name"),
        ("reject", "Ada", "\r\n", "Give a reason for the rejection"),
        ("approve", &"a".repeat(101), "", "100 can be kept"),
        ("approve", "Ada", &"a".repeat(1001), "1000 can be kept"),
    ] {
        let said = page.post(decision, by, reason).await;
        assert_eq!(said.status, 422, "{decision} {by} {reason}");
        assert!(said.text.contains("Nothing has been decided yet."));
        assert!(said.text.contains(says), "{says}: {}", said.text);
    }
    let link = format!(
        "release={}&nonce={}",
        page.field("release"),
        page.field("nonce")
    );
    for form in [
        format!("{link}&decision=approve&decision=reject&by=Ada&reason=x"),
        format!(
            "{link}&decision=approve&by=Ada&reason={}",
            "a".repeat(20_000)
        ),
        link,
    ] {
        let said = page.send("POST", "/", &form).await;
        assert!([403, 422].contains(&said.status), "{}", said.status);
    }
    case.ledger_says(&execution, "HELD").await;
    is_split(&target).await;
    assert_eq!(page.post("approve", "Ada", "").await.status, 200);
    promoted(&target, &execution.wait().await, "2").await;
}

async fn trouble(case: Case) {
    let (target, execution, page) = asked(&case, json!({})).await;
    let denied =
        |service: &str, action: &str| Fault::new("access-denied").on(service, action).by(FUNCTION);
    case.world
        .fault(denied("monitoring", "GetMetricData"))
        .await;
    let seen = page.ask("GET").await;
    assert_eq!(seen.status, 200);
    assert!(
        seen.text.contains("could not be read just now"),
        "{}",
        seen.text
    );
    case.world.fault(denied("states", "SendTaskSuccess")).await;
    let said = page.post("approve", "Ada", "").await;
    assert_eq!(said.status, 503, "{}", said.text);
    assert!(said.text.contains("Please try again"));
    is_split(&target).await;
    assert_eq!(
        page.post("approve", "Ada", "").await.status,
        200,
        "and again"
    );
    promoted(&target, &execution.wait().await, "2").await;
}

const PHONE: Screen = Screen {
    width: 390,
    height: 844,
    dark: false,
};

/// A browser, or none on a machine without: that is said.
pub(crate) async fn browser(case: &Case, test: &str) -> Option<Browser> {
    if let Some(why) = Browser::missing() {
        eprintln!("test {test} was skipped: {why}");
        return None;
    }
    Some(Browser::start(case.suite().local.dir(), test).await)
}

/// Nothing is beside the screen, colours are as the person prefers, and the chart is drawn.
async fn fits_every_screen(browser: &Browser, page: &Page) {
    for (width, dark) in [
        (320, false),
        (390, false),
        (390, true),
        (1280, false),
        (1280, true),
    ] {
        browser
            .show_on(Screen {
                width,
                dark,
                ..PHONE
            })
            .await;
        browser.open(&page.url()).await;
        let seen = browser
            .execute(
                "const style = (of) => getComputedStyle(document.querySelector(of));
                 return [document.documentElement.scrollWidth, innerWidth, style('body').backgroundColor,
                         style('h1').color, document.querySelectorAll('svg.chart path').length]",
            )
            .await;
        assert!(
            seen[0].as_u64() <= Some(u64::from(width)),
            "{width}: nothing is beside the screen: {seen}"
        );
        let light = |index: usize| {
            let colour = seen[index].as_str().unwrap_or_default();
            let red = colour.trim_start_matches("rgb(").split(',').next();
            red.and_then(|red| red.trim().parse::<u32>().ok())
                .is_some_and(|red| red > 128)
        };
        assert_eq!((light(2), light(3)), (!dark, dark), "paper and ink: {seen}");
        assert!(seen[4].as_u64() > Some(5), "the chart is drawn: {seen}");
    }
}

async fn by_keyboard(case: Case) {
    let Some(browser) = browser(&case, "page_in_chromium_by_keyboard").await else {
        return;
    };
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({"strategy": "prod", "analysis": {"checkEverySeconds": 300}}));
    let execution = case.start(&request).await;
    let page = page_of(&case, &execution, "AwaitApproval", 0).await;
    fits_every_screen(&browser, &page).await;
    // From the top of the page to the form and through it, with nothing but keys.
    browser.show_on(PHONE).await;
    browser.open(&page.url()).await;
    for key in [key::TAB, key::ENTER, key::TAB] {
        browser.press(key).await;
    }
    assert_eq!(
        browser.focus().await,
        "approve",
        "the first link leads to the form"
    );
    browser.press(key::DOWN).await;
    assert_eq!(browser.focus().await, "reject");
    browser.press(key::UP).await;
    browser.press(key::TAB).await;
    assert_eq!(browser.focus().await, "by");
    // Too early: the browser asks for the name, and nothing is sent.
    browser.press(key::ENTER).await;
    case.ledger_says(&execution, "HELD").await;
    browser.press("Ada Lovelace").await;
    browser.press(key::TAB).await;
    browser.press("reads well").await;
    browser.press(key::TAB).await;
    browser.press(key::ENTER).await;
    let heading = browser.text("[role=status] h1").await;
    assert!(heading.starts_with("Approved"), "{heading}");
    let address = browser.address().await;
    assert!(!address.contains("nonce"), "{address}");
    assert_eq!(
        browser.console().await,
        [""; 0],
        "the console has nothing to say"
    );
    let ended = execution.wait().await;
    drop(users);
    promoted(&target, &ended, "2").await;
    let answer = &ended.output["answers"][0];
    assert_eq!(
        (&answer["by"], &answer["reason"]),
        (&json!("Ada Lovelace"), &json!("reads well"))
    );
    // The link once more, from the history.
    browser.open(&page.url()).await;
    assert_eq!(browser.text("h1").await, "This link does not work");
}

async fn without_scripts(case: Case) {
    let Some(browser) = browser(&case, "page_in_chromium_without_scripts").await else {
        return;
    };
    let (target, execution, page) = asked(&case, json!({"onDenied": "rollBack"})).await;
    browser.show_on(PHONE).await;
    browser.without_scripts().await;
    browser.open(&page.url()).await;
    browser.type_into("#by", "Grace Hopper").await;
    browser.click("#reject").await;
    browser.click("button").await;
    let alert = browser.text("[role=alert]").await;
    assert!(alert.contains("Give a reason for the rejection"), "{alert}");
    assert_eq!(
        browser.attribute("#by", "value").await,
        "Grace Hopper",
        "what was typed stays"
    );
    assert_eq!(browser.attribute("#reason", "aria-invalid").await, "true");
    browser
        .type_into("#reason", "the <b>numbers</b> are odd")
        .await;
    browser.click("button").await;
    let said = browser.text("[role=status]").await;
    assert!(
        said.contains("Rejected") && said.contains("the <b>numbers</b> are odd"),
        "{said}"
    );
    // Chromium counts a form that is refused with 422 as something that could not be loaded.
    let console = browser.console().await;
    assert!(
        console.iter().all(|line| line.contains("422")),
        "{console:?}"
    );
    let ended = execution.wait().await;
    rolled_back(&case, &target, &execution, &ended).await;
}
