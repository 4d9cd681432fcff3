//! `make screens`: pictures of what people see. The page of a release in flight, waiting for approval, and rolled back,
//! after minutes of real traffic; the list of releases; and the demo's timeline.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crossfade_tests::{
    Browser, Page, Stack, Target, Traffic, World,
    browser::Screen,
    local::Options,
    paths,
    release::{Execution, until_within},
    world::Notification,
};
use serde_json::json;

use crate::show::{self, ALARM, ALIAS, FUNCTION, PREFIX, behaviour, make_alarm, start};

/// A minute of waiting takes 12 seconds; CloudWatch's minutes are as long as ever.
const WAIT_SCALE: f64 = 0.2;
/// Users' requests a second.
const RATE: f64 = 40.0;
/// How many of each version's requests fail, percent.
const USUAL: f64 = 0.6;
/// The release asks after 3 minutes.
const PATIENCE: Duration = Duration::from_mins(8);
/// How long the second weight is on before its picture is taken: less than its bake, which is 2 minutes here.
const SOME_TRAFFIC: Duration = Duration::from_secs(80);

/// The screens, by the names of their pictures.
const SCREENS: [(&str, Screen); 4] = [
    ("phone-light", screen(390, 844, false)),
    ("phone-dark", screen(390, 844, true)),
    ("desktop-light", screen(1280, 900, false)),
    ("desktop-dark", screen(1280, 900, true)),
];

const fn screen(width: u32, height: u32, dark: bool) -> Screen {
    Screen {
        width,
        height,
        dark,
    }
}

/// Makes them, and says where they are.
pub(crate) async fn screens() -> Result<(), String> {
    if let Some(why) = Browser::missing() {
        return Err(format!("without a browser there are no pictures: {why}"));
    }
    let folder = paths::target().join("screens");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let timeline = paths::target().join("demo-timeline.svg");
    if !timeline.exists() {
        show::demo().await?;
    }
    let mut made = Vec::new();
    let browser = Browser::start(&folder, "timeline").await;
    for (theme, dark) in [("light", false), ("dark", true)] {
        browser.show_on(screen(1080, 900, dark)).await;
        browser
            .open(&format!("file://{}", timeline.display()))
            .await;
        made.push(take(&browser, folder.join(format!("timeline-{theme}.png"))).await?);
    }
    drop(browser);

    println!(
        "Starting a local AWS, with a release that asks before its last step: some 4 minutes, because \
         CloudWatch counts by the minute."
    );
    let local = start(Options {
        wait_scale: WAIT_SCALE,
        ..Options::default()
    })
    .await;
    let stack = Stack::deploy(&local, PREFIX).await;
    let world = World::new(&local, &stack);
    let target = Target::create(&local, FUNCTION, behaviour("first", USUAL)).await;
    let version = target.publish().await;
    target.alias(ALIAS, &version).await;
    make_alarm(&world).await;
    let code = target.upload(behaviour("next", USUAL)).await;
    let traffic = Traffic::start(&local, &target, ALIAS, RATE);
    let mut request = show::request(&code);
    request["strategy"] = json!({"type": "canary", "approveBefore": 100, "steps": [
        {"weight": 10, "bakeSeconds": 300},
        {"weight": 50, "bakeSeconds": 600},
        {"weight": 100, "bakeSeconds": 300},
    ]});
    // The alarm is for the demo's bad version.
    request["analysis"] = json!({"settleSeconds": 0, "checkEverySeconds": 300});
    let execution = world.start(&request).await;
    let browser = Browser::start(&folder, "page").await;
    let shown = linked(&local, &world, &execution, Notification::page).await;
    until_within(PATIENCE, "half of the traffic is on green", || async {
        let said = shown.ask("GET").await;
        said.text
            .contains("50 % of the traffic is on green")
            .then_some(())
    })
    .await;
    tokio::time::sleep(SOME_TRAFFIC).await;
    made.extend(on_all(&browser, &shown, &folder, "in-flight").await?);
    let page = linked(&local, &world, &execution, Notification::link).await;
    made.extend(on_all(&browser, &page, &folder, "approval").await?);
    made.extend(on_all(&browser, &shown, &folder, "held").await?);
    // And what comes after it.
    browser.show_on(SCREENS[0].1).await;
    browser.open(&page.url()).await;
    fill(&browser).await;
    made.push(take(&browser, folder.join("approved-phone-light.png")).await?);
    // The last step is judged by its users, too.
    let ended = execution.wait_within(PATIENCE).await;
    drop(traffic);
    if ended.status != "SUCCEEDED" {
        return Err(format!("the release that was approved ended so: {ended:?}"));
    }
    let back = json!({"action": "rollback", "application": request["application"], "reason": "answers are too slow (Ada)"});
    world.start(&back).await.wait_within(PATIENCE).await;
    made.extend(on_all(&browser, &shown, &folder, "rolled-back").await?);
    let list = Page::of(&local, &listed(&local).await?);
    made.extend(on_all(&browser, &list, &folder, "list").await?);
    drop(browser);
    for path in made {
        println!("{}", path.display());
    }
    Ok(())
}

/// The page that a notice links to, once there is such a notice.
async fn linked(
    local: &crossfade_tests::LocalAws,
    world: &World,
    execution: &Execution,
    link: fn(&Notification) -> Option<&str>,
) -> Page {
    let link = until_within(PATIENCE, "there is a link", || async {
        if let Some(ended) = execution.ended().await {
            panic!("it ended before there was a link: {ended:?}; {ALARM} may have fired");
        }
        let told = world.mails(&execution.arn).await;
        told.iter().find_map(link).map(str::to_owned)
    })
    .await;
    Page::of(local, &link)
}

/// The link to the list of releases, as the command line makes it.
async fn listed(local: &crossfade_tests::LocalAws) -> Result<String, String> {
    let said = tokio::process::Command::new(paths::target().join("debug/crossfade"))
        .args(["open", "--print"])
        .env("AWS_ENDPOINT_URL", local.endpoint())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .output()
        .await
        .map_err(|error| format!("crossfade open: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if said.status.success() {
        Ok(text(&said.stdout))
    } else {
        Err(format!("crossfade open: {}", text(&said.stderr)))
    }
}

/// The page on all screens.
async fn on_all(
    browser: &Browser,
    page: &Page,
    folder: &Path,
    of: &str,
) -> Result<Vec<PathBuf>, String> {
    let mut made = Vec::new();
    for (name, screen) in SCREENS {
        browser.show_on(screen).await;
        browser.open(&page.url()).await;
        made.push(take(browser, folder.join(format!("{of}-{name}.png"))).await?);
    }
    Ok(made)
}

async fn take(browser: &Browser, path: PathBuf) -> Result<PathBuf, String> {
    let picture = browser.picture(1.0).await;
    std::fs::write(&path, picture).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// Approves, as a person does.
async fn fill(browser: &Browser) {
    browser.click("#approve").await;
    browser.type_into("#by", "Ada Lovelace").await;
    browser.type_into("#reason", "No worse than blue").await;
    browser.click("button").await;
    browser.text("[role=status]").await;
}
