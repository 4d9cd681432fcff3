//! A browser without a screen: Chromium, driven by its WebDriver, both as Debian packages them.
//!
//! WebDriver is JSON over HTTP, and the few commands that are needed are few lines. A crate for it would
//! switch on features of what the AWS SDKs are built with, so that all of them were compiled anew.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{http, release::until};

/// The key of an element's reference, which the standard fixes.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys, as WebDriver writes them.
pub mod key {
    /// To the next field.
    pub const TAB: &str = "\u{e004}";
    /// Sends a form.
    pub const ENTER: &str = "\u{e007}";
    /// Among radio buttons, the one before.
    pub const UP: &str = "\u{e013}";
    /// Among radio buttons, the next.
    pub const DOWN: &str = "\u{e015}";
}

const DRIVER: &str = "chromedriver";

/// A page as wide as a telephone, or as a desk's screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// Whether the person prefers dark pages.
    pub dark: bool,
}

/// A browser with a profile of its own, which ends with this value.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

impl Browser {
    /// Why there is none on this machine; none when there is.
    #[must_use]
    pub fn missing() -> Option<String> {
        let missing = |program: &&str| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            !std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
        };
        let programs: Vec<_> = ["chromium", DRIVER].into_iter().filter(missing).collect();
        (!programs.is_empty()).then(|| {
            format!(
                "{} not found (Debian: apt install chromium chromium-driver)",
                programs.join(" and ")
            )
        })
    }

    /// Starts one, whose profile is in a folder of its own within `folder`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(folder: &Path, name: &str) -> Self {
        let profile = folder.join(format!("browser-{name}"));
        std::fs::create_dir_all(&profile).expect("a folder can be made");
        // It takes a free port of IPv4, and ends when another has taken the same of IPv6 meanwhile.
        let (driver, port) = (0..5)
            .find_map(|_| driver(&profile))
            .expect("it says on which port it listens");
        let options = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb",
                format!("--user-data-dir={}", profile.display()),
            ]},
        });
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            profile,
        };
        let asked = json!({"capabilities": {"alwaysMatch": options}});
        let made = browser.call("POST", "/session", &asked).await;
        let made = made.expect("the browser starts");
        made["sessionId"]
            .as_str()
            .expect("it has a session")
            .clone_into(&mut browser.session);
        browser
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.ask("url", json!({"url": url})).await;
    }

    /// The address of what is open.
    pub async fn address(&self) -> String {
        let address = self.call("GET", &self.path("url"), &Value::Null).await;
        address
            .ok()
            .and_then(|address| address.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// The text of the first element that a CSS selector finds, waited for.
    pub async fn text(&self, selector: &str) -> String {
        let element = self.element(selector).await;
        let text = self
            .call(
                "GET",
                &self.path(&format!("element/{element}/text")),
                &Value::Null,
            )
            .await;
        text.ok()
            .and_then(|text| text.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// An attribute of it; empty where it has none.
    pub async fn attribute(&self, selector: &str, name: &str) -> String {
        let element = self.element(selector).await;
        let path = self.path(&format!("element/{element}/attribute/{name}"));
        let value = self.call("GET", &path, &Value::Null).await;
        value
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Clicks it.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.ask(&format!("element/{element}/click"), json!({}))
            .await;
    }

    /// Types into it.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.ask(&format!("element/{element}/value"), json!({"text": text}))
            .await;
    }

    /// Types, keys of [`key`] among it, wherever the focus is.
    pub async fn press(&self, text: &str) {
        let focused = self.focused().await;
        self.ask(&format!("element/{focused}/value"), json!({"text": text}))
            .await;
    }

    /// The id of what has the focus; empty where it has none.
    pub async fn focus(&self) -> String {
        let focused = self.focused().await;
        let path = self.path(&format!("element/{focused}/attribute/id"));
        let id = self.call("GET", &path, &Value::Null).await;
        id.ok()
            .and_then(|id| id.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// What a script says, run by the driver and not by the page.
    pub async fn execute(&self, script: &str) -> Value {
        self.ask("execute/sync", json!({"script": script, "args": []}))
            .await
    }

    /// What axe finds against the page, a line each; `source` is its script.
    pub async fn violations(&self, source: &str) -> Vec<String> {
        self.execute(source).await;
        let found = self
            .execute(
                "return axe.run(document).then((found) => found.violations.map((one) => \
                 one.id + ': ' + one.help + ': ' + one.nodes.map((node) => node.html).join(' ')))",
            )
            .await;
        let found = found.as_array().cloned().expect("axe has run");
        found
            .iter()
            .map(|one| one.as_str().unwrap_or_default().to_owned())
            .collect()
    }

    async fn focused(&self) -> String {
        let active = self
            .call("GET", &self.path("element/active"), &Value::Null)
            .await;
        reference(&active.expect("something has the focus"))
    }

    async fn element(&self, selector: &str) -> String {
        let body = json!({"using": "css selector", "value": selector});
        let path = self.path("element");
        until(&format!("{selector} is on the page"), || async {
            self.call("POST", &path, &body)
                .await
                .ok()
                .map(|found| reference(&found))
        })
        .await
    }

    /// Shows pages so from now on.
    pub async fn show_on(&self, screen: Screen) {
        let Screen {
            width,
            height,
            dark,
        } = screen;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Runs no page's scripts from now on.
    pub async fn without_scripts(&self) {
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            json!({"value": true}),
        )
        .await;
    }

    /// The whole page as a PNG, at `scale` dots a CSS pixel, from its top to its end.
    pub async fn picture(&self, scale: f64) -> Vec<u8> {
        let size = self.devtools("Page.getLayoutMetrics", json!({})).await;
        let size = &size["cssContentSize"];
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": scale / 2.0});
        let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.devtools("Page.captureScreenshot", asked).await;
        STANDARD
            .decode(taken["data"].as_str().expect("it is text"))
            .expect("it is Base64")
    }

    /// What the browser's console has said since it was asked last: violations of a page's policy, what
    /// could not be loaded, mistakes.
    pub async fn console(&self) -> Vec<String> {
        let said = self.ask("se/log", json!({"type": "browser"})).await;
        let said = said.as_array().cloned().unwrap_or_default();
        said.iter()
            .filter_map(|one| Some(one["message"].as_str()?.to_owned()))
            .collect()
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.ask(
            "goog/cdp/execute",
            json!({"cmd": command, "params": parameters}),
        )
        .await
    }

    async fn ask(&self, command: &str, body: Value) -> Value {
        let answer = self.call("POST", &self.path(command), &body).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn path(&self, command: &str) -> String {
        format!("/session/{}/{command}", self.session)
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let address = format!("127.0.0.1:{}", self.port);
        let kind = [("content-type", "application/json; charset=utf-8")];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = http::send(&address, method, path, &kind, body.as_bytes());
        let answer = answer.await.expect("the driver answers");
        let mut said = answer.json();
        let value = said["value"].take();
        if answer.status == 200 {
            Ok(value)
        } else {
            Err(value)
        }
    }
}

/// An element's reference.
fn reference(element: &Value) -> String {
    element[ELEMENT]
        .as_str()
        .unwrap_or_else(|| panic!("no element: {element}"))
        .to_owned()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without the session's end the browser would go on without its driver.
        if let Ok(mut driver) = TcpStream::connect(("127.0.0.1", self.port)) {
            let patience = Some(Duration::from_secs(5));
            let _ = driver.set_read_timeout(patience);
            let end = format!(
                "DELETE /session/{} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                self.session, self.port
            );
            let _ = driver.write_all(end.as_bytes());
            let _ = driver.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// Starts the driver; none where it ends before it listens. With it, on which port it does.
fn driver(home: &Path) -> Option<(Child, u16)> {
    let mut driver = Command::new(DRIVER)
        .args(["--port=0", "--log-level=SEVERE"])
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{DRIVER}: {error}"));
    let told = BufReader::new(driver.stdout.take().expect("it is piped"));
    let port = told.lines().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    if port.is_none() {
        let _ = driver.wait();
    }
    Some((driver, port?))
}
