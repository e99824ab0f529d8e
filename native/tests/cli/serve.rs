//! `finegrain serve` and the server behind it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;

use finegrain_native::serve::Server;
use serde_json::Value;

use crate::program::{finegrain, refusal};

/// Sends a request and gives the head (in lower case) and the body of the answer.
fn get(address: SocketAddr, path: &str, more: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&answer[..end]).to_lowercase(), answer[end + 4..].to_vec())
}

fn site() -> (tempfile::TempDir, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("www")).unwrap();
    fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    for (name, content) in
        [("index.html", "<p>page"), ("a.wasm", "wasm"), ("a.js", "js"), ("model.safetensors", "0123")]
    {
        fs::write(dir.path().join("www").join(name), content).unwrap();
    }
    let server = Server::bind(dir.path().join("www"), 0).unwrap();
    let address = server.address();
    std::thread::spawn(move || server.run());
    (dir, address)
}

#[test]
fn files_have_their_types_and_the_page_is_isolated() {
    let (_dir, address) = site();
    assert!(address.ip().is_loopback());
    for (path, kind) in [
        ("/", "text/html"),
        ("/index.html", "text/html"),
        ("/a.wasm", "application/wasm"),
        ("/a.js", "text/javascript"),
        ("/model.safetensors", "application/octet-stream"),
    ] {
        let (head, body) = get(address, path, "");
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert!(head.contains(&format!("content-type: {kind}")), "{path}: {head}");
        for header in [
            "cross-origin-opener-policy: same-origin",
            "cross-origin-embedder-policy: require-corp",
            "cache-control: no-cache",
            "content-security-policy: default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'",
        ] {
            assert!(head.contains(header), "{path}: {head}");
        }
        assert!(!body.is_empty());
    }
}

#[test]
fn parts_of_files_are_served_and_nothing_outside() {
    let (_dir, address) = site();
    let (head, body) = get(address, "/model.safetensors", "Range: bytes=1-2\r\n");
    assert!(head.starts_with("http/1.1 206") && body == b"12", "{head}");
    for path in ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/none"] {
        let (head, body) = get(address, path, "");
        assert!(head.starts_with("http/1.1 4"), "{path}: {head}");
        assert!(!body.windows(6).any(|bytes| bytes == b"secret"), "{path}");
    }
}

#[test]
fn the_command_tells_its_address() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "here").unwrap();
    let mut command = finegrain(["serve", "--json", "--port", "0", "--root"]);
    let mut child = command.arg(dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    while !lines.ends_with("}\n") {
        assert_ne!(reader.read_line(&mut lines).unwrap(), 0, "the server ended: {lines}");
    }
    let told: Value = serde_json::from_str(&lines).unwrap();
    let url = told["url"].as_str().unwrap();
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let (_, body) = get(SocketAddr::from(([127, 0, 0, 1], port)), "/", "");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(body, b"here");
}

#[test]
fn what_cannot_be_served_is_named() {
    let text = refusal(&mut finegrain(["serve", "--json", "--port", "0", "--root", "/nonexistent"]));
    assert!(text.contains("there is no folder /nonexistent") && text.contains("--root"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let text = refusal(finegrain(["serve", "--json", "--port", &port, "--root"]).arg(dir.path()));
    assert!(text.contains(&format!("port {port} cannot be used")) && text.contains("--port"), "{text}");
}
