use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The name by which WebDriver refers to elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long a page may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A real browser, by WebDriver. It ends with its test.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    http: reqwest::Client,
    session: String,
    _profile: TempDir,
}

/// What a page is looked at with.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether the person prefers dark colours.
    pub dark: bool,
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
}

impl Browser {
    /// Starts one, without a window.
    ///
    /// # Panics
    /// If there is no Chromium with its driver.
    pub async fn start() -> Self {
        let profile = tempfile::Builder::new().prefix("mainstay-chromium-").tempdir().unwrap();
        let program = env::var_os("MAINSTAY_TEST_CHROMEDRIVER")
            .map_or_else(|| PathBuf::from("chromedriver"), PathBuf::from);
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("no chromedriver is here; `scripts/services install` installs one");
        let port = port_of(&mut driver);
        let http = reqwest::Client::builder().timeout(PATIENCE * 2).build().unwrap();
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({"args": arguments});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let base = format!("http://127.0.0.1:{port}/session");
        let answer: Value = http.post(&base).json(&wanted).send().await.unwrap().json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        Self { driver, session: format!("{base}/{id}"), http, _profile: profile }
    }

    async fn call(&self, path: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}/{path}", self.session)).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {}", answer["value"]);
        answer["value"].clone()
    }

    /// Goes to an address and waits until it is there.
    pub async fn open(&self, url: &str) {
        self.call("url", json!({"url": url})).await;
    }

    /// The path and query of the page that is open.
    pub async fn path(&self) -> String {
        self.script("return location.pathname + location.search", json!([]))
            .await
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// What can be read on the page.
    pub async fn text(&self) -> String {
        self.script("return document.body.innerText", json!([])).await.as_str().unwrap().to_owned()
    }

    /// Runs a script in the page.
    pub async fn script(&self, script: &str, arguments: Value) -> Value {
        self.call("execute/sync", json!({"script": script, "args": arguments})).await
    }

    /// Whether something is on the page, by CSS selector.
    pub async fn has(&self, selector: &str) -> bool {
        let script = "return document.querySelector(arguments[0]) !== null";
        self.script(script, json!([selector])).await.as_bool().unwrap()
    }

    async fn find(&self, using: &str, value: &str) -> String {
        let answer = self.call("element", json!({"using": using, "value": value})).await;
        answer[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Types into a field, by CSS selector, over what was in it.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.find("css selector", selector).await;
        self.call(&format!("element/{element}/clear"), json!({})).await;
        self.call(&format!("element/{element}/value"), json!({"text": text})).await;
    }

    /// Clicks on something, by CSS selector.
    pub async fn click(&self, selector: &str) {
        let element = self.find("css selector", selector).await;
        self.press(&element).await;
    }

    /// Clicks on the link with this text.
    pub async fn follow(&self, text: &str) {
        let element = self.find("link text", text).await;
        self.press(&element).await;
    }

    async fn press(&self, element: &str) {
        self.script("document.body.dataset.left = 'no'", json!([])).await;
        self.call(&format!("element/{element}/click"), json!({})).await;
        self.wait_for_another_page().await;
    }

    /// A click that sends a form returns before the answer is there.
    async fn wait_for_another_page(&self) {
        let began = Instant::now();
        let script = "return document.readyState === 'complete' && document.body.dataset.left !== 'no'";
        while !self.script(script, json!([])).await.as_bool().unwrap_or_default() {
            assert!(began.elapsed() < PATIENCE, "no other page came: {}", self.path().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Presses a key, as WebDriver writes it: `\u{e004}` is Tab, `\u{e007}` Enter.
    pub async fn key(&self, key: &str) {
        let actions = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.call("actions", json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]})).await;
    }

    /// Waits until the page that is open has another address than before.
    pub async fn left(&self, path: &str) {
        let began = Instant::now();
        while self.path().await == path {
            assert!(began.elapsed() < PATIENCE, "{path} stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.call("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await;
    }

    /// Sets the size of the screen and the preferred colours.
    pub async fn look(&self, look: Look) {
        let Look { dark, width, height } = look;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// A picture of the whole page, as base64 of a PNG.
    pub async fn picture(&self) -> String {
        let parameters = json!({"format": "png", "captureBeyondViewport": true});
        let body = json!({"cmd": "Page.captureScreenshot", "params": parameters});
        let picture = self.call("goog/cdp/execute", body).await;
        picture["data"].as_str().unwrap().to_owned()
    }

    /// What axe finds wrong with the page that is serious for people who can't use it as it is meant.
    ///
    /// # Panics
    /// If axe is not there.
    pub async fn violations(&self) -> Vec<String> {
        let program = std::fs::read_to_string(axe()).unwrap();
        self.script(&format!("{program}\nwindow.axe = axe;"), json!([])).await;
        let script = "const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations.map(v => [v.impact, v.id, v.nodes.map(n => n.html + ' ' + n.failureSummary).join(' | ')])), error => done([['critical', 'axe', String(error)]]))";
        let found = self.call("execute/async", json!({"script": script, "args": []})).await;
        let found = found.as_array().unwrap().iter();
        found
            .filter(|violation| matches!(violation[0].as_str(), Some("serious" | "critical")))
            .map(ToString::to_string)
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes its browser along only if it is asked to; a test that panics can't wait.
        let session = self.session.clone();
        let quit = std::thread::spawn(move || {
            let address = session.strip_prefix("http://").and_then(|rest| rest.split_once('/'));
            if let Some((host, path)) = address
                && let Ok(mut stream) = std::net::TcpStream::connect(host)
            {
                use std::io::{Read as _, Write as _};
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                let _ =
                    write!(stream, "DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                let _ = stream.read(&mut [0; 512]);
            }
        });
        let _ = quit.join();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn port_of(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let port = line.split("started successfully on port ").nth(1)?;
        port.trim_end_matches('.').parse().ok()
    });
    // Somebody has to read on, or the driver stops when the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    found.expect("chromedriver did not start")
}

/// The program of axe, which finds what people with a disability stumble over.
fn axe() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let installed = target.join("test-tools/axe.min.js");
    let path = env::var_os("MAINSTAY_TEST_AXE").map_or(installed, PathBuf::from);
    assert!(path.is_file(), "axe is not at {}; `scripts/services install` installs it", path.display());
    path
}
