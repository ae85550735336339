//! Ids of responses and conversations: those of turns and sessions in other words.

/// What the id of a response begins with.
const RESPONSE: &str = "resp_";
/// What the id of a conversation begins with.
pub const CONVERSATION: &str = "conv_";
/// Hexadecimal digits of a turn's id.
const DIGITS: usize = 32;

/// The turn that the id of a response names; none if it names none.
pub fn turn_of(response_id: &str) -> Option<String> {
    turn_id(response_id.strip_prefix(RESPONSE)?)
}

/// A turn's id from its digits alone.
pub fn turn_id(digits: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != DIGITS || !digits.bytes().all(is_plain) {
        return None;
    }
    let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Some(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_called_after_its_turn() {
        let turn = "019ad20f-2800-7c51-9f0a-1d2b3c4d5e6f";
        assert_eq!(turn_of("resp_019ad20f28007c519f0a1d2b3c4d5e6f").as_deref(), Some(turn));
        for bad in
            ["", "resp_", turn, "resp_019ad20f-2800-7c51-9f0a-1d2b3c4d5e6f", "resp_019AD20F28007C519F0A1D2B3C4D5E6F"]
        {
            assert_eq!(turn_of(bad), None, "{bad}");
        }
    }
}
