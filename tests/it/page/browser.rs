//! A real browser: Debian's Chromium, driven over WebDriver.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Answer, ask};
use crate::fixture::left_out;

/// How long a page may take to show something. Two cores may run a browser, a compiler and other tests at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Chromium takes both cores for a moment, so tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// What keeps it from doing anything but show the page.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with a profile of its own.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts one with a window of 1920 by 1080; `None`, with a note in the test's output, where there is none.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with further flags.
    pub fn start_with(flags: &[&str]) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let spawned = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let Ok(mut driver) = spawned else {
            let what = "chromedriver is not installed: no browser has seen the page; apt-get install chromium-driver";
            let required = std::env::var_os("LONGSHORE_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
            assert!(!required, "LONGSHORE_REQUIRE_CLIENTS=1, but {what}");
            left_out(what);
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port =
            lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
        // It writes more, which somebody must read.
        std::thread::spawn(move || lines.for_each(drop));
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("chromedriver says its port")));
        let profile = tempfile::Builder::new().prefix("longshore-browser-").tempdir().unwrap();
        let mut browser = Self { driver, address, session: String::new(), profile, _turn: turn };
        let profile = format!("--user-data-dir={}", browser.profile.path().display());
        let mut arguments: Vec<&str> = FLAGS.to_vec();
        arguments.extend([profile.as_str(), "--window-size=1920,1080"]);
        arguments.extend(flags);
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let started = browser.call("POST", "/session", Some(&capabilities));
        browser.session = format!("/session/{}", started["sessionId"].as_str().unwrap());
        // Headless windows lose some of their size to a frame that is not there.
        let size = json!({ "width": 1920, "height": 1080, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", &size);
        Some(browser)
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.attempt(method, path, body).unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    fn attempt(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Value> {
        let (path, body) = (format!("{}{path}", self.session), body.map(ToString::to_string));
        let Answer { status, body, .. } = ask(self.address, method, &path, &[], body.as_deref());
        let answer: Value = serde_json::from_str(&body).unwrap();
        if status == 200 { Ok(answer["value"].clone()) } else { Err(answer["value"].clone()) }
    }

    /// Opens an address.
    pub fn open(&self, url: &str) {
        self.call("POST", "/url", Some(&json!({ "url": url })));
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", Some(&json!({ "script": script, "args": [] })))
    }

    /// A command of Chromium's own protocol.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.call("POST", "/goog/cdp/execute", Some(&json!({ "cmd": command, "params": parameters })))
    }

    /// Waits until a script returns something other than null, false, nothing or an empty list.
    pub fn wait(&self, script: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let value = self.run(script);
            let is_something = match &value {
                Value::Null | Value::Bool(false) => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(list) => !list.is_empty(),
                _ => true,
            };
            if is_something {
                return value;
            }
            let text = || self.run("return document.body.innerText");
            assert!(Instant::now() < end, "in vain: {script}\n{}\n{:?}", text(), self.complaints());
            sleep(Duration::from_millis(50));
        }
    }

    /// Clicks on what a selector finds first, as a user's mouse would, as soon as it is there to be clicked on.
    pub fn click(&self, selector: &str) {
        self.with_element(selector, "click", &json!({}));
    }

    /// Types into what a selector finds first; `\u{e007}` is the Enter key.
    pub fn type_into(&self, selector: &str, text: &str) {
        self.with_element(selector, "value", &json!({ "text": text }));
    }

    fn with_element(&self, selector: &str, what: &str, body: &Value) {
        let end = Instant::now() + PATIENCE;
        let find = json!({ "using": "css selector", "value": selector });
        let attempt = || {
            let found = self.attempt("POST", "/element", Some(&find))?;
            let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
            self.attempt("POST", &format!("/element/{id}/{what}"), Some(body))
        };
        while let Err(why) = attempt() {
            assert!(Instant::now() < end, "{what} {selector}: {why}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Keeps a picture in cargo's directory for such things, where somebody can look at it: a PNG, or a WebP as the README
    /// has them.
    pub fn picture(&self, name: &str) -> PathBuf {
        let (format, scale) = if name.ends_with(".webp") { ("webp", 0.75) } else { ("png", 1.0) };
        let clip = json!({ "x": 0, "y": 0, "width": 1920, "height": 1080, "scale": scale });
        let taken = self.devtools("Page.captureScreenshot", &json!({ "format": format, "quality": 80, "clip": clip }));
        let picture = &taken["data"];
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, base64(picture.as_str().unwrap())).unwrap();
        path
    }

    /// What axe-core, a checker of accessibility, finds wrong with what is shown. `LONGSHORE_AXE` names its file.
    pub fn barriers(&self) -> Vec<String> {
        const CHECK: &str = "const done = arguments[arguments.length - 1]; \
            axe.run().then(({ violations }) => done(violations.map(({ id, help, nodes }) => \
                `${id}: ${help}: ${nodes.map(({ html }) => html).join(' ')}`)), (error) => done([String(error)]))";
        let Some(file) = std::env::var_os("LONGSHORE_AXE") else {
            left_out(
                "LONGSHORE_AXE does not name axe-core's axe.min.js: no checker of accessibility has seen the page",
            );
            return Vec::new();
        };
        self.run(&fs::read_to_string(file).unwrap());
        let found = self.call("POST", "/execute/async", Some(&json!({ "script": CHECK, "args": [] })));
        found.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// What scripts and policies have complained about.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.call("POST", "/se/log", Some(&json!({ "type": "browser" })));
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && TcpStream::connect(self.address).is_ok() {
            ask(self.address, "DELETE", &self.session, &[], None);
        }
        let _ = kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter_map(|byte| DIGITS.iter().position(|it| *it == byte)) {
        held = held << 6 | u32::try_from(digit).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    bytes
}
