//! What the page's tests and the README's screenshots share: a browser, a server, the page, and photos to upload.

pub mod browser;
pub mod elsewhere;
pub mod measure;
pub mod page;
pub mod peaks;
pub mod photos;
pub mod program;
pub mod random;
pub mod site;
pub mod small;
pub mod wire;
