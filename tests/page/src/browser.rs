//! A headless Chromium, driven through chromedriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
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
}

impl Default for Options {
    fn default() -> Self {
        Self { webgpu: true, size: (1280, 900), phone: false }
    }
}

/// A running browser; ends when dropped.
#[derive(Debug)]
pub struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    driver: Driver,
    _profile: TempDir,
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
        Ok(Self { runtime, client: Some(client), driver, _profile: profile })
    }

    /// Opens an address and waits until the document is loaded.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub fn open(&self, url: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.client()?.goto(url))?)
    }

    /// Runs the body of a JavaScript function in the page; gives what it returns.
    ///
    /// # Errors
    /// What the script throws.
    pub fn script(&self, body: &str) -> Result<Value> {
        let result = self.runtime.block_on(self.client()?.execute(body, Vec::new()));
        result.with_context(|| format!("the script `{body}` failed"))
    }

    /// Gives a file to the file input that a CSS selector finds.
    ///
    /// # Errors
    /// Where there is no such input.
    pub fn choose_file(&self, selector: &str, file: &std::path::Path) -> Result<()> {
        let file = file.canonicalize().with_context(|| format!("{} is not there", file.display()))?;
        let file = file.to_str().context("the file's name is not UTF-8")?;
        self.runtime.block_on(async {
            let input = self.client()?.find(fantoccini::Locator::Css(selector)).await?;
            Ok(input.send_keys(file).await?)
        })
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
        if let Some(client) = self.client.take() {
            // A browser that does not end by itself ends with its driver.
            let _ = self.runtime.block_on(client.close());
        }
        self.driver.end();
    }
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
    let mut chrome = json!({ "args": arguments });
    if options.phone {
        let metrics = json!({ "width": width, "height": height, "pixelRatio": 2.0, "touch": true, "mobile": true });
        chrome["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    json!({
        "browserName": "chrome",
        "goog:chromeOptions": chrome,
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "script": 60_000, "pageLoad": 60_000 },
    })
}

/// A running chromedriver.
#[derive(Debug)]
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    fn start() -> Result<Self> {
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
