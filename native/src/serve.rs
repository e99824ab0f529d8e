//! The page's server: static files on this machine only.
//!
//! ```no_run
//! use finegrain_native::serve::Server;
//! let server = Server::bind("www", 8080)?;
//! println!("{}", server.url());
//! server.run()?;
//! # Ok::<(), finegrain_native::serve::ServeError>(())
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

/// What the page may do, as its own `<meta>` says for servers that send no headers; here it holds for the worker too, and
/// no other page may frame it. Nothing inline; `wasm-unsafe-eval` is what WebAssembly needs. From other sites images alone,
/// for the photo whose link a person gives (`www/js/link.js`): `connect-src` stays `'self'`, so nothing with a body leaves.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
                      img-src 'self' blob: http: https:; \
                      connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What every file is served with: the two headers that make a page cross-origin isolated (threads in wasm), a check
/// for newer files at each load, no guessing of types, and the policy above.
const HEADERS: [(HeaderName, &str); 6] = [
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-cache"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
];

/// A server that has its port and does not answer yet.
#[derive(Debug)]
pub struct Server {
    root: PathBuf,
    listener: TcpListener,
    address: SocketAddr,
}

/// Why a folder could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder is not there.
    #[error("there is no folder {0} to serve: name the page's folder with --root")]
    Root(PathBuf),
    /// The port is taken or not allowed.
    #[error("port {port} cannot be used ({source}): choose another one with --port, or 0 for any free one")]
    Port {
        /// The port that was asked for.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The system stopped the server.
    #[error("the server stopped ({0}): start it again")]
    Stopped(#[from] io::Error),
}

impl Server {
    /// Takes `port` on 127.0.0.1 (0: any free one) for the files under `root`.
    ///
    /// # Errors
    /// [`ServeError::Root`] without such a folder, [`ServeError::Port`] if the port cannot be had.
    pub fn bind(root: impl AsRef<Path>, port: u16) -> Result<Self, ServeError> {
        let root = root.as_ref().to_owned();
        if !root.is_dir() {
            return Err(ServeError::Root(root));
        }
        let failed = |source| ServeError::Port { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { root, listener, address })
    }

    /// The address that was bound, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page's address.
    pub fn url(&self) -> String {
        // Browsers count "localhost" as a secure context wherever WebGPU asks for one.
        format!("http://localhost:{}/", self.address.port())
    }

    /// Answers until the process ends. Prints nothing.
    ///
    /// # Errors
    /// [`ServeError::Stopped`].
    pub fn run(self) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            axum::serve(listener, router(&self.root)).await
        })?;
        Ok(())
    }
}

/// Binds, tells `ready` the address, and answers until the process ends.
///
/// # Errors
/// Those of [`Server::bind`] and [`Server::run`].
pub fn serve(root: impl AsRef<Path>, port: u16, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let server = Server::bind(root, port)?;
    ready(server.address());
    server.run()
}

fn router(root: &Path) -> Router {
    // Ranges, types (application/wasm) and refusal of paths that leave `root` are ServeDir's.
    HEADERS.into_iter().fold(Router::new().fallback_service(ServeDir::new(root)), |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
    })
}
