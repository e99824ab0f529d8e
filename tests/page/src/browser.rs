//! A headless Chromium, driven through chromedriver.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What a browser is started with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// WebGPU on the software adapter SwiftShader; without it the browser has no WebGPU.
    pub webgpu: bool,
    /// Width and height of the page in CSS pixels.
    pub size: (u32, u32),
    /// As on a phone: touch, two device pixels for a CSS pixel.
    pub phone: bool,
    /// Whether there is a camera, and what the browser says when the page asks for it.
    pub camera: Camera,
    /// Keep a log of everything that goes over the network, for [`Browser::end`].
    pub net_log: bool,
}

/// The camera of a browser: Chromium's own, which shows a turning disc on green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Camera {
    /// None is there.
    Missing,
    /// The person allows it.
    Allowed,
    /// The person does not.
    Denied,
}

impl Default for Options {
    fn default() -> Self {
        Self { webgpu: true, size: (1280, 900), phone: false, camera: Camera::Missing, net_log: false }
    }
}

/// A tab of a browser.
#[derive(Debug)]
pub struct Tab(WindowHandle);

const NET_LOG: &str = "net_log.json";

/// A running browser; ends when dropped.
#[derive(Debug)]
pub struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    driver: Driver,
    profile: TempDir,
}

impl Browser {
    /// Starts chromedriver and a Chromium with an empty profile.
    ///
    /// # Errors
    /// Where chromedriver or Chromium is missing or does not start.
    pub fn start(options: Options) -> Result<Self> {
        let driver = Driver::start()?;
        let profile = TempDir::new()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let capabilities = match capabilities(options, profile.path().to_str().context("a temporary folder's name")?) {
            Value::Object(capabilities) => capabilities,
            _ => bail!("capabilities are an object"),
        };
        let address = format!("http://127.0.0.1:{}", driver.port);
        let client = runtime.block_on(async {
            ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&address).await
        });
        let client =
            client.context("chromedriver could not start Chromium: `cargo xtask setup` tells what is missing")?;
        Ok(Self { runtime, client: Some(client), driver, profile })
    }

    /// Opens an address and waits until the document is loaded.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub fn open(&self, url: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.client()?.goto(url))?)
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub fn reload(&self) -> Result<()> {
        Ok(self.runtime.block_on(self.client()?.refresh())?)
    }

    /// Opens another tab and makes it the one that is driven; gives the tab that was.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub fn new_tab(&self) -> Result<Tab> {
        self.runtime.block_on(async {
            let client = self.client()?;
            let before = client.window().await?;
            let tab = client.new_window(true).await?;
            client.switch_to_window(tab.handle).await?;
            Ok(Tab(before))
        })
    }

    /// Drives that tab from now on.
    ///
    /// # Errors
    /// Where there is no such tab any more.
    pub fn switch_to(&self, tab: Tab) -> Result<()> {
        Ok(self.runtime.block_on(self.client()?.switch_to_window(tab.0))?)
    }

    /// A command of Chromium's own protocol.
    ///
    /// # Errors
    /// Where chromedriver does not know it or Chromium refuses.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Result<()> {
        let session = self.runtime.block_on(self.client()?.session_id())?.context("no session")?;
        let body = json!({ "cmd": command, "params": parameters }).to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.driver.port))?;
        write!(
            stream,
            "POST /session/{session}/goog/cdp/execute HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        // The first line says it; chromedriver keeps the connection open.
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200") {
            bail!("{command}: {answer}");
        }
        Ok(())
    }

    /// The folder of its profile, which its processes name in their command lines.
    #[must_use]
    pub fn profile(&self) -> &Path {
        self.profile.path()
    }

    /// Ends the browser and gives its log of the network ([`Options::net_log`]).
    ///
    /// # Errors
    /// Where there is no log.
    pub fn end(mut self) -> Result<String> {
        self.close();
        std::fs::read_to_string(self.profile.path().join(NET_LOG)).context("the browser wrote no log of the network")
    }

    fn close(&mut self) {
        if let Some(client) = self.client.take() {
            // A browser that does not end by itself ends with its driver.
            let _ = self.runtime.block_on(client.close());
        }
        self.driver.end();
    }

    /// Runs the body of a JavaScript function in the page; gives what it returns.
    ///
    /// # Errors
    /// What the script throws.
    pub fn script(&self, body: &str) -> Result<Value> {
        let result = self.runtime.block_on(self.client()?.execute(body, Vec::new()));
        // A library is a script, too.
        result.with_context(|| format!("the script `{}` failed", body.chars().take(500).collect::<String>()))
    }

    /// Gives a file to the file input that a CSS selector finds.
    ///
    /// # Errors
    /// Where there is no such input.
    pub fn choose_file(&self, selector: &str, file: &Path) -> Result<()> {
        self.choose_files(selector, &[file])
    }

    /// Gives several files, or a folder, to the file input that a CSS selector finds.
    ///
    /// # Errors
    /// Where there is no such input, or no such file.
    pub fn choose_files(&self, selector: &str, files: &[&Path]) -> Result<()> {
        let names = absolute(files)?.join("\n");
        self.runtime.block_on(async {
            let input = self.client()?.find(fantoccini::Locator::Css(selector)).await?;
            Ok(input.send_keys(&names).await?)
        })
    }

    /// Drops files or folders in the middle of the page, as from the desktop.
    ///
    /// # Errors
    /// Where there is no such file, or the browser does not answer.
    pub fn drop_files(&self, files: &[&Path]) -> Result<()> {
        let data = json!({ "items": [], "files": absolute(files)?, "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            let event = json!({ "type": kind, "x": 300, "y": 300, "data": data });
            self.devtools("Input.dispatchDragEvent", &event)?;
        }
        Ok(())
    }

    /// Presses and lets go of a key; `modifiers` are those of Chromium's protocol (2 Ctrl, 8 Shift).
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub fn press(&self, key: &str, modifiers: u8) -> Result<()> {
        // Enter makes a click of its own text only.
        let text = match key {
            "Enter" => "\r",
            " " => " ",
            _ => "",
        };
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            " " => 32,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": key, "code": key, "modifiers": modifiers, "text": text,
                "windowsVirtualKeyCode": code,
            });
            self.devtools("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Drags with the mouse from one place to another, in CSS pixels of the window.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub fn drag(&self, [from_x, from_y]: [f64; 2], [to_x, to_y]: [f64; 2]) -> Result<()> {
        let middle = [(from_x + to_x) / 2.0, (from_y + to_y) / 2.0];
        let steps = [
            ("mousePressed", [from_x, from_y]),
            ("mouseMoved", middle),
            ("mouseMoved", [to_x, to_y]),
            ("mouseReleased", [to_x, to_y]),
        ];
        for (kind, [x, y]) in steps {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 });
            self.devtools("Input.dispatchMouseEvent", &event)?;
        }
        Ok(())
    }

    /// Drags with a finger.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub fn drag_finger(&self, [from_x, from_y]: [f64; 2], [to_x, to_y]: [f64; 2]) -> Result<()> {
        let touch = |kind: &str, points: Value| {
            self.devtools("Input.dispatchTouchEvent", &json!({ "type": kind, "touchPoints": points }))
        };
        touch("touchStart", json!([{ "x": from_x, "y": from_y }]))?;
        touch("touchMove", json!([{ "x": (from_x + to_x) / 2.0, "y": (from_y + to_y) / 2.0 }]))?;
        touch("touchMove", json!([{ "x": to_x, "y": to_y }]))?;
        touch("touchEnd", json!([]))
    }

    /// A PNG of what is visible.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub fn screenshot(&self) -> Result<Vec<u8>> {
        Ok(self.runtime.block_on(self.client()?.screenshot())?)
    }

    fn client(&self) -> Result<&Client> {
        self.client.as_ref().context("the browser has ended")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.close();
    }
}

/// The files' names as the browser takes them.
fn absolute(files: &[&Path]) -> Result<Vec<String>> {
    let name = |file: &&Path| {
        let file = file.canonicalize().with_context(|| format!("{} is not there", file.display()))?;
        Ok(file.to_str().context("the file's name is not UTF-8")?.to_owned())
    };
    files.iter().map(name).collect()
}

fn capabilities(options: Options, profile: &str) -> Value {
    let (width, height) = options.size;
    let mut arguments: Vec<String> = [
        "--headless",
        "--no-sandbox",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        // `performance.measureUserAgentSpecificMemory()` answers at once instead of at the next garbage collection.
        "--enable-blink-features=ForceEagerMeasureMemory",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("--user-data-dir={profile}"));
    arguments.push(format!("--window-size={width},{height}"));
    if options.webgpu {
        arguments.extend(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"].map(str::to_owned));
    } else {
        arguments.push("--disable-blink-features=WebGPU".to_owned());
    }
    if options.camera != Camera::Missing {
        arguments.push("--use-fake-device-for-media-stream".to_owned());
        let answer = if options.camera == Camera::Allowed { "" } else { "=deny" };
        arguments.push(format!("--use-fake-ui-for-media-stream{answer}"));
    }
    if options.net_log {
        arguments.push(format!("--log-net-log={profile}/{NET_LOG}"));
    }
    let mut chrome = json!({ "args": arguments });
    if options.phone {
        let metrics = json!({ "width": width, "height": height, "pixelRatio": 2.0, "touch": true, "mobile": true });
        chrome["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    json!({
        "browserName": "chrome",
        "goog:chromeOptions": chrome,
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "script": 900_000, "pageLoad": 60_000 },
    })
}

/// A running chromedriver.
#[derive(Debug)]
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    /// The port that chromedriver finds free for IPv4 may be taken for IPv6, and then it ends: another attempt finds another.
    fn start() -> Result<Self> {
        Self::attempt().or_else(|_| Self::attempt()).or_else(|_| Self::attempt())
    }

    fn attempt() -> Result<Self> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver is not there: `cargo xtask setup` tells how to install it")?;
        let mut lines = BufReader::new(process.stdout.take().context("chromedriver has no output")?).lines();
        // "ChromeDriver was started successfully on port 34567."
        let port = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            line.rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let Some(port) = port else {
            let _ = process.kill();
            bail!("chromedriver names no port");
        };
        // It must never wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { process, port })
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}
