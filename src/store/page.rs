//! One page of a list.

/// A page of a list: what is in it, and the cursor of the next page.
#[derive(Debug)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// From one row more than the page holds: the extra row proves that there is a next page and is not shown.
    pub(super) fn from_rows(mut rows: Vec<T>, limit: usize, cursor_of: impl Fn(&T) -> String) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more { rows.last().map(cursor_of) } else { None };
        Page { items: rows, next_cursor }
    }
}
