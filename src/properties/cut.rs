//! A body in pieces of any size.

/// Bytes in front of a body that say how it is cut into pieces.
pub(super) const CUTS: usize = 4;

/// The pieces of a body, each of at most 256 bytes, by sizes that are used in turn; and the body.
pub(super) fn cut(bytes: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (sizes, body) = bytes.split_at(CUTS.min(bytes.len()));
    let (mut pieces, mut rest) = (Vec::new(), body);
    for size in sizes.iter().cycle().map(|&size| usize::from(size) + 1) {
        if rest.is_empty() {
            break;
        }
        let (piece, tail) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    (pieces, body)
}
