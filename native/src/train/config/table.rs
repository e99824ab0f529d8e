//! One definition a table: the struct, and its keys with their comments for `--print-config`.

/// Defines a table of the recipe. The doc comment of a key is also what `--print-config` says of it.
macro_rules! table {
    ($(#[$meta:meta])* $name:ident {
        $( $(#[doc = $doc:literal])+ $(#[serde($($serde:tt)*)])? $key:ident : $type:ty, )*
    }) => {
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        $(#[$meta])*
        pub struct $name {
            $( $(#[doc = $doc])+ $(#[serde($($serde)*)])? pub $key: $type, )*
        }

        impl $name {
            /// The keys and what is said of them.
            pub(super) const KEYS: &[(&str, &str)] = &[$((stringify!($key), concat!($($doc, "\n"),+))),*];
        }
    };
}

pub(super) use table;
