//! Another site: a server that gives photos, some to every page and some to none but its own, and notes who asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

/// A running server; it ends with the process.
#[derive(Debug)]
pub struct Elsewhere {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Elsewhere {
    /// Answers every request with `image`, a PNG: to every page under `/open/`, without a word about other pages elsewhere;
    /// under `/none/` there is nothing.
    ///
    /// # Errors
    /// Where no port can be had.
    pub fn start(image: Vec<u8>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(head) = read_head(&stream) else { continue };
                let _ = answer(stream, &head, &image);
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(head);
            }
        });
        Ok(Self { port, heads })
    }

    /// An address there; the host has another name than the page's, so it is another site.
    #[must_use]
    pub fn address(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// The heads of all requests so far, in small letters.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read_head(stream: &TcpStream) -> Result<String> {
    let mut head = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        head += &format!("{}\n", line.to_lowercase());
    }
    Ok(head)
}

fn answer(mut stream: TcpStream, head: &str, image: &[u8]) -> Result<()> {
    let path = head.split_whitespace().nth(1).unwrap_or_default();
    let (status, body) = if path.starts_with("/none/") { ("404 Not Found", &b""[..]) } else { ("200 OK", image) };
    let cors = if path.starts_with("/open/") { "Access-Control-Allow-Origin: *\r\n" } else { "" };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{cors}Content-Type: image/png\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)?;
    Ok(())
}
