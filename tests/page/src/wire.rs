//! The wire between the browser and the page's server: it remembers what was asked for, and can be cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// A request that came over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// "GET".
    pub method: String,
    /// "/models/birds/manifest.json".
    pub path: String,
    /// "bytes=100-", where only a part was asked for.
    pub range: Option<String>,
}

/// What is to happen to answers.
#[derive(Clone, Debug)]
struct Cut {
    path: String,
    after: usize,
    times: usize,
}

#[derive(Debug, Default)]
struct State {
    requests: Mutex<Vec<Request>>,
    cut: Mutex<Option<Cut>>,
    pace: Mutex<Option<Duration>>,
    down: AtomicBool,
    bare: AtomicBool,
}

/// A wire on a port of its own, until the process ends.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

impl Wire {
    /// Leads to a server.
    ///
    /// # Errors
    /// Where no port can be had.
    pub fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // What breaks on either side ends this connection only.
                std::thread::spawn(move || carry(client, server, &state).ok());
            }
        });
        Ok(Self { address, state })
    }

    /// The address of this end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://localhost:{}/", self.address.port())
    }

    /// From now on, the answers to the next `times` requests whose path ends like this break off after so many bytes.
    pub fn cut(&self, path: &str, after: usize, times: usize) {
        *lock(&self.state.cut) = Some(Cut { path: path.into(), after, times });
    }

    /// From now on, an answer takes a pause after each 64 KiB.
    pub fn pace(&self, pause: Duration) {
        *lock(&self.state.pace) = Some(pause);
    }

    /// From now on, answers lack the headers that isolate a page, as those of a server that cannot be told to send them.
    pub fn bare(&self) {
        self.state.bare.store(true, Ordering::SeqCst);
    }

    /// Whether nothing gets through at all.
    pub fn down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    /// The requests so far for paths that end like this.
    #[must_use]
    pub fn requests(&self, path: &str) -> Vec<Request> {
        lock(&self.state.requests).iter().filter(|request| request.path.ends_with(path)).cloned().collect()
    }
}

/// One request and its answer; the connection ends with it.
fn carry(mut client: TcpStream, server: SocketAddr, state: &State) -> Result<()> {
    if state.down.load(Ordering::SeqCst) {
        return Ok(());
    }
    let head = read_head(&mut client)?;
    if !head.ends_with("\r\n\r\n") {
        return Ok(());
    }
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let field = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(name))?;
        Some(line.split_once(": ")?.1.to_owned())
    };
    let request = Request { method: method.into(), path: path.into(), range: field("range:") };
    lock(&state.requests).push(request.clone());

    let mut upstream = TcpStream::connect(server)?;
    let kept = head.lines().filter(|line| !line.is_empty() && !line.to_lowercase().starts_with("connection:"));
    let forwarded: String = kept.map(|line| format!("{line}\r\n")).collect();
    upstream.write_all(format!("{forwarded}Connection: close\r\n\r\n").as_bytes())?;
    let mut left = budget(&request.path, state);
    if state.bare.load(Ordering::SeqCst) {
        client.write_all(without_isolation(&read_head(&mut upstream)?).as_bytes())?;
    }
    let mut chunk = vec![0; 1 << 16];
    loop {
        let count = upstream.read(&mut chunk)?;
        if count == 0 || left == 0 || state.down.load(Ordering::SeqCst) {
            return Ok(());
        }
        client.write_all(&chunk[..count.min(left)])?;
        left = left.saturating_sub(count);
        let pause = *lock(&state.pace);
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
    }
}

/// The lines before the content, with the empty one that ends them; less where the connection ends before.
fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn without_isolation(head: &str) -> String {
    let kept = head.split_inclusive("\r\n").filter(|line| !line.to_lowercase().starts_with("cross-origin-"));
    kept.collect()
}

/// How many bytes of an answer get through.
fn budget(path: &str, state: &State) -> usize {
    let mut cut = lock(&state.cut);
    match cut.as_mut().filter(|cut| cut.times > 0 && path.ends_with(&cut.path)) {
        Some(cut) => {
            cut.times -= 1;
            cut.after
        }
        None => usize::MAX,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
