//! The one thing about JPEG files that decoders hide: that the end is missing.
//!
//! Decoders, ours and the browsers', fill the missing part of a truncated JPEG with grey and say nothing. A photo that
//! is half grey must not be named.

/// True if these bytes start as a JPEG file and end before its end-of-image marker.
///
/// Walks the marker segments (ITU-T T.81, annex B); the thumbnail inside an EXIF segment has an end marker of its own
/// that does not count.
pub fn is_truncated(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(&[0xFF, 0xD8]) else { return false };
    loop {
        let Some(start) = rest.windows(2).position(|pair| pair[0] == 0xFF && is_marker(pair[1])) else { return true };
        let marker = rest[start + 1];
        rest = &rest[start + 2..];
        match marker {
            0xD9 => return false,
            // Start of image and TEM have no length.
            0xD8 | 0x01 => {}
            // Every other segment tells its length; after a scan header the search for a marker skips its data.
            _ => {
                let Some(&[high, low]) = rest.first_chunk() else { return true };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(after) = rest.get(length..) else { return true };
                rest = after;
            }
        }
    }
}

/// Stuffed zeros, restart markers and fill bytes belong to the data between markers.
fn is_marker(byte: u8) -> bool {
    !matches!(byte, 0x00 | 0xD0..=0xD7 | 0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SOI, APP1 that holds a thumbnail's end marker, SOS, data with a stuffed zero and a restart marker, EOI.
    const WHOLE: [u8; 23] =
        [0xFF, 0xD8, 0xFF, 0xE1, 0, 6, 1, 2, 0xFF, 0xD9, 0xFF, 0xDA, 0, 3, 9, 7, 0xFF, 0, 8, 0xFF, 0xD0, 0xFF, 0xD9];

    #[test]
    fn every_cut_is_found() {
        assert!(!is_truncated(&WHOLE));
        assert!(!is_truncated(b"\x89PNG"), "another format");
        for end in 2..WHOLE.len() {
            assert!(is_truncated(&WHOLE[..end]), "cut after {end} bytes");
        }
    }
}
