//! The page as its contract describes it: `data-state`, `#photo`, `#predictions`, `#attention`, `#status`.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::browser::Browser;

/// How long the page may stay busy: SwiftShader on a loaded machine needs minutes rather than seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// What the page shows once it is no longer busy.
#[derive(Clone, Debug, Deserialize)]
pub struct View {
    /// `data-state` of the document.
    pub state: String,
    /// The text of `#status`.
    pub status: String,
    /// The items of `#predictions`, most probable first.
    pub predictions: Vec<Prediction>,
    /// How many colours `canvas#attention` has; 0 where it is hidden.
    pub colours: usize,
}

impl View {
    /// Whether `#status` holds one or a few clear sentences and no words of a programmer's console.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let console = ["undefined", "null", "[object", "NaN", "Error:", "panicked", "unreachable"];
        self.status.split_whitespace().count() >= 3
            && self.status.ends_with(['.', '!', '?'])
            && !console.iter().any(|word| self.status.contains(word))
    }
}

/// A class and its probability.
#[derive(Clone, Debug, Deserialize)]
pub struct Prediction {
    /// The class.
    pub label: String,
    /// From 0 to 1.
    pub probability: f64,
}

/// An opened page.
#[derive(Debug)]
pub struct Page<'a> {
    browser: &'a Browser,
}

impl<'a> Page<'a> {
    /// Opens the page and waits until its model is loaded, or could not be.
    ///
    /// # Errors
    /// Where the browser fails or the page stays busy.
    pub fn open(browser: &'a Browser, url: &str) -> Result<(Self, View)> {
        browser.open(url)?;
        let page = Self { browser };
        let view = page.settled("true")?;
        Ok((page, view))
    }

    /// Whatever the browser's tab shows: a page without this contract, for [`Page::wait_for`].
    #[must_use]
    pub fn of(browser: &'a Browser) -> Self {
        Self { browser }
    }

    /// The page that the browser's tab shows already, once it is no longer busy.
    ///
    /// # Errors
    /// Where the browser fails or the page stays busy.
    pub fn shown(browser: &'a Browser) -> Result<(Self, View)> {
        let page = Self { browser };
        let view = page.settled("true")?;
        Ok((page, view))
    }

    /// Waits until a JavaScript expression is true.
    ///
    /// # Errors
    /// Where the browser fails or it stays false.
    pub fn wait_for(&self, condition: &str) -> Result<()> {
        let start = Instant::now();
        while self.browser.script(&format!("return Boolean({condition});"))? != true {
            if start.elapsed() > LIMIT {
                let text = self.browser.script("return document.body.innerText;")?;
                bail!("`{condition}` is still false; the page says: {text}");
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until the page works offline.
    ///
    /// # Errors
    /// Where it does not get there.
    pub fn is_kept(&self) -> Result<()> {
        self.wait_for("navigator.serviceWorker.controller")
    }

    /// The line of that kind in `#notices`, or nothing.
    ///
    /// # Errors
    /// Where the browser fails.
    pub fn notice(&self, kind: &str) -> Result<Option<String>> {
        let line = format!("return document.querySelector('#notices [data-kind=\"{kind}\"]')?.textContent;");
        Ok(self.browser.script(&line)?.as_str().map(str::to_owned))
    }

    /// Does something that makes the page busy, and waits for what becomes of it.
    ///
    /// # Errors
    /// Where `act` fails, the browser fails or the page stays busy.
    pub fn after(&self, act: impl FnOnce() -> Result<()>) -> Result<View> {
        // What was there before must not be taken for the answer: the page says at once that it is busy.
        self.browser.script(
            "window.changes = 0;
             window.watch ??= new MutationObserver(() => window.changes += 1);
             window.watch.observe(document.documentElement, { attributeFilter: ['data-state'] });",
        )?;
        act()?;
        self.settled("window.changes > 0")
    }

    /// Chooses a file in `#photo` and waits for what becomes of it.
    ///
    /// # Errors
    /// Where the browser fails or the page stays busy.
    pub fn upload(&self, file: &Path) -> Result<View> {
        self.after(|| self.browser.choose_file("input#photo", file))
    }

    /// The text of the first element that a CSS selector finds; empty where there is none.
    ///
    /// # Errors
    /// Where the browser fails.
    pub fn text(&self, selector: &str) -> Result<String> {
        let found = self.browser.script(&format!("return document.querySelector('{selector}')?.textContent ?? '';"))?;
        Ok(found.as_str().unwrap_or_default().to_owned())
    }

    /// Clicks on the first element that a CSS selector finds.
    ///
    /// # Errors
    /// Where the browser fails or there is none.
    pub fn click(&self, selector: &str) -> Result<()> {
        self.browser.script(&format!("document.querySelector('{selector}').click();")).map(drop)
    }

    /// Waits until `data-state` is `ready` or `error` and the condition, a JavaScript expression, holds.
    fn settled(&self, condition: &str) -> Result<View> {
        let settled =
            format!("return ({condition}) && ['ready', 'error'].includes(document.documentElement.dataset.state);");
        let start = Instant::now();
        while self.browser.script(&settled)? != true {
            if start.elapsed() > LIMIT {
                let view = self.view()?;
                bail!("the page is still `{}` after {} s: {}", view.state, LIMIT.as_secs(), view.status);
            }
            sleep(Duration::from_millis(50));
        }
        self.view()
    }

    fn view(&self) -> Result<View> {
        let view = self.browser.script(
            "const canvas = document.querySelector('canvas#attention');
             const colours = new Set();
             if (canvas.getClientRects().length > 0 && canvas.width > 0) {
                 const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                 new Uint32Array(data.buffer).forEach((pixel) => colours.add(pixel));
             }
             return {
                 state: document.documentElement.dataset.state,
                 status: document.querySelector('#status').textContent,
                 predictions: [...document.querySelectorAll('ol#predictions > li')].map(({ dataset }) =>
                     ({ label: dataset.label, probability: Number(dataset.probability) })),
                 colours: colours.size,
             };",
        )?;
        serde_json::from_value(view).context("the page does not keep its contract")
    }
}
