//! What of a request was left out, as its answer names it.

/// Bytes of the header that names it; past it stands `, …`.
pub const IGNORED_BYTES_MAX: usize = 512;

/// Paths of a request, and tools of an agent, in the order in which they were left out.
#[derive(Debug, Clone, Default)]
pub struct Ignored(Vec<String>);

impl Ignored {
    /// One more.
    pub fn add(&mut self, path: impl Into<String>) {
        let path = path.into();
        if !self.0.contains(&path) {
            self.0.push(path);
        }
    }

    /// As the header `x-alm-ignored` says it; none if there is nothing to say.
    pub fn header(&self) -> Option<String> {
        let mut header = String::new();
        for path in &self.0 {
            let path: String = path.chars().map(|c| if c.is_ascii_graphic() && c != ',' { c } else { '?' }).collect();
            let between = if header.is_empty() { "" } else { ", " };
            if header.len() + between.len() + path.len() > IGNORED_BYTES_MAX {
                header.push_str(between);
                header.push('…');
                break;
            }
            header.push_str(between);
            header.push_str(&path);
        }
        (!header.is_empty()).then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(paths: &[&str]) -> Option<String> {
        let mut ignored = Ignored::default();
        paths.iter().for_each(|path| ignored.add(*path));
        ignored.header()
    }

    #[test]
    fn what_was_left_out_is_named_once_and_in_a_header_s_letters() {
        assert_eq!(header(&[]), None);
        assert_eq!(header(&["logit_bias", "tools[8]", "logit_bias"]).as_deref(), Some("logit_bias, tools[8]"));
        assert_eq!(header(&["a\nb, c", "é"]).as_deref(), Some("a?b??c, ?"));
    }

    #[test]
    fn the_header_has_so_many_bytes() {
        for bytes in [IGNORED_BYTES_MAX - 1, IGNORED_BYTES_MAX] {
            assert_eq!(header(&[&"x".repeat(bytes)]).unwrap().len(), bytes);
        }
        assert_eq!(header(&[&"x".repeat(IGNORED_BYTES_MAX + 1)]).unwrap(), "…");
        assert_eq!(header(&["a", &"x".repeat(IGNORED_BYTES_MAX)]).unwrap(), "a, …");
    }
}
