//! Bodies that come compressed although nobody asked for it: gateways and networks in between do that.
//!
//! Rule: what a body is says its beginning, and its header where that does not; what comes out of one piece of it goes on
//! in pieces of a bounded size. Brotli and the rest are named and not read.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use serde_json::Value;

use crate::outbound::{
    Body,
    http::{HeaderMap, Response, header},
};

/// What is unpacked at once: a thousand times as much may come out.
const PIECE_BYTES: usize = 1024;
/// How gzip begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Compressed in a way that is not read, by its name if that is a known one.
pub(super) fn unreadable(headers: &HeaderMap) -> Option<&'static str> {
    match &*coding(headers) {
        "" | "identity" | "none" | "gzip" | "x-gzip" | "deflate" => None,
        "br" => Some("br"),
        "zstd" => Some("zstd"),
        "compress" | "x-compress" => Some("compress"),
        _ => Some("in an unknown way"),
    }
}

fn coding(headers: &HeaderMap) -> String {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
    coding.unwrap_or_default().trim().to_ascii_lowercase()
}

/// Unpacks one body as it comes.
pub(super) struct Unpacker {
    is_deflate: bool,
    state: State,
}

enum State {
    /// Too few bytes have come to tell.
    Begun(Vec<u8>),
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    Deflate(Box<DeflateDecoder<Vec<u8>>>),
}

impl Unpacker {
    /// For a body with these headers.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        Unpacker { is_deflate: coding(headers) == "deflate", state: State::Begun(Vec::new()) }
    }

    /// Takes the next bytes and calls `on_bytes` with what they are.
    pub(super) fn feed(&mut self, bytes: &[u8], mut on_bytes: impl FnMut(&[u8])) -> io::Result<()> {
        if let State::Begun(begun) = &mut self.state {
            begun.extend_from_slice(bytes);
            if begun.len() < GZIP.len() && (self.is_deflate || begun.first() == Some(&GZIP[0])) {
                return Ok(());
            }
            let begun = std::mem::take(begun);
            self.state = State::of(&begun, self.is_deflate);
            return self.unpack(&begun, &mut on_bytes);
        }
        self.unpack(bytes, &mut on_bytes)
    }

    /// The body is over: calls `on_bytes` with what was too short to tell.
    pub(super) fn finish(&mut self, mut on_bytes: impl FnMut(&[u8])) -> io::Result<()> {
        if let State::Begun(begun) = &mut self.state {
            on_bytes(&std::mem::take(begun));
        }
        Ok(())
    }

    fn unpack(&mut self, bytes: &[u8], on_bytes: &mut impl FnMut(&[u8])) -> io::Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            let unpacked = match &mut self.state {
                State::Gzip(decoder) => written(decoder, piece).map(|()| std::mem::take(decoder.get_mut()))?,
                State::Zlib(decoder) => written(decoder, piece).map(|()| std::mem::take(decoder.get_mut()))?,
                State::Deflate(decoder) => written(decoder, piece).map(|()| std::mem::take(decoder.get_mut()))?,
                State::Begun(_) | State::Plain => {
                    on_bytes(bytes);
                    return Ok(());
                }
            };
            if !unpacked.is_empty() {
                on_bytes(&unpacked);
            }
        }
        Ok(())
    }
}

/// Unpacks a piece so that all of it comes out.
fn written(decoder: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    decoder.write_all(piece)?;
    decoder.flush()
}

impl State {
    fn of(begun: &[u8], is_deflate: bool) -> Self {
        let zlib = |begun: &[u8]| begun[0] & 0x0f == 8 && u16::from_be_bytes([begun[0], begun[1]]).is_multiple_of(31);
        match begun {
            [first, second, ..] if [*first, *second] == GZIP => State::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            [_, _, ..] if is_deflate && zlib(begun) => State::Zlib(Box::new(ZlibDecoder::new(Vec::new()))),
            // A header may outlive what it says.
            [b'd', b'a', ..]
            | [b'e', b'v', ..]
            | [b':', b' ', ..]
            | [b'{' | b'[', b'"' | b'{' | b' ' | b'\n', ..]
            | []
            | [_] => State::Plain,
            [..] if is_deflate => State::Deflate(Box::new(DeflateDecoder::new(Vec::new()))),
            [..] => State::Plain,
        }
    }
}

/// A whole body, up to `bytes_max`; as it came where it cannot be unpacked.
pub(super) fn whole(body: Vec<u8>, headers: &HeaderMap, bytes_max: usize) -> Vec<u8> {
    let (mut unpacker, mut out) = (Unpacker::new(headers), Vec::new());
    let mut unpacked = Ok(());
    for piece in body.chunks(PIECE_BYTES) {
        if unpacked.is_ok() && out.len() < bytes_max {
            unpacked = unpacker.feed(piece, |bytes| out.extend_from_slice(bytes));
        }
    }
    // Of a body that was cut off there is what came of it.
    let _ = unpacker.finish(|bytes| out.extend_from_slice(bytes));
    out.truncate(bytes_max);
    if unpacked.is_err() && out.is_empty() { body } else { out }
}

/// `{"data": [{"id": …}]}`, or the bare array that some gateways send.
pub(super) fn entries(list: &Value) -> Option<&Vec<Value>> {
    list.get("data").unwrap_or(list).as_array()
}

/// A whole body of JSON, of so many bytes at most; `None`: it is something else, or longer.
pub(super) async fn json(response: Response<Body>, bytes_max: usize) -> io::Result<Option<Value>> {
    let (head, mut body) = response.into_parts();
    let json = whole(body.read_up_to(bytes_max + 1).await?, &head.headers, bytes_max + 1);
    Ok(if json.len() <= bytes_max { serde_json::from_slice(&json).ok() } else { None })
}

#[cfg(test)]
mod tests {
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;
    use crate::outbound::http::HeaderValue;

    const BODY: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";

    fn headers(coding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))])
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(body: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked<'a>(coding: &'static str, pieces: impl IntoIterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
        let (mut unpacker, mut out) = (Unpacker::new(&headers(coding)), Vec::new());
        pieces.into_iter().try_for_each(|piece| unpacker.feed(piece, |bytes| out.extend_from_slice(bytes)))?;
        unpacker.finish(|bytes| out.extend_from_slice(bytes))?;
        Ok(out)
    }

    #[test]
    fn a_body_is_read_whatever_its_header_says_of_it() {
        for (coding, body) in [
            ("gzip", gzip(BODY)),
            ("x-gzip", gzip(BODY)),
            ("identity", gzip(BODY)),
            ("gzip", BODY.to_vec()),
            ("gzip", [gzip(&BODY[..20]), gzip(&BODY[20..])].concat()),
            ("deflate", deflate(BODY)),
            ("deflate", zlib(BODY)),
            ("deflate", BODY.to_vec()),
            ("deflate", gzip(BODY)),
            ("identity", BODY.to_vec()),
        ] {
            for size in [1, 2, 7, body.len()] {
                assert_eq!(unpacked(coding, body.chunks(size)).unwrap(), BODY, "{coding} in pieces of {size}");
            }
            assert_eq!(whole(body, &headers(coding), 1 << 20), BODY);
        }
        for short in [&b""[..], b"a", &GZIP[..1]] {
            assert_eq!(unpacked("deflate", [short]).unwrap(), short);
        }
    }

    #[test]
    fn what_was_packed_comes_out_before_the_end() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(BODY).unwrap();
        encoder.flush().unwrap();
        assert_eq!(unpacked("gzip", [&encoder.get_ref()[..]]).unwrap(), BODY);
    }

    #[test]
    fn what_is_broken_is_an_error_and_what_grows_goes_on_in_pieces() {
        let mut broken = gzip(BODY);
        broken[12..20].fill(0xff);
        unpacked("gzip", [&broken[..]]).unwrap_err();
        let (bomb, mut largest) = (gzip(&vec![b' '; 32 << 20]), 0);
        Unpacker::new(&headers("gzip")).feed(&bomb, |bytes| largest = largest.max(bytes.len())).unwrap();
        assert!(largest <= 2 * 1032 * PIECE_BYTES, "{largest}");
        for (max, expected) in [(99, 99), (100, 100), (101, 100)] {
            assert_eq!(whole(gzip(&[b' '; 100]), &headers("gzip"), max).len(), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let named = ["gzip", "deflate", "identity", "br", "zstd", "Compress", "gzip, br", "sk-1"];
        assert_eq!(
            named.map(|coding| unreadable(&headers(coding))),
            [
                None,
                None,
                None,
                Some("br"),
                Some("zstd"),
                Some("compress"),
                Some("in an unknown way"),
                Some("in an unknown way")
            ]
        );
        assert_eq!(unreadable(&HeaderMap::new()), None);
    }
}
