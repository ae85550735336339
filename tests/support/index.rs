//! The index of the search against the texts.

use rusqlite::Connection;

/// The most labels that wait for the index, as `store::search` has it.
const LABELS_WAITING_MAX: i64 = 64;

/// It is whole, and has a row for every message and every label, but for the newest labels, which wait; and no other. It is
/// asked as a write; it changes nothing.
pub fn check_index(file: &Connection) {
    let newest = "(SELECT coalesce(max(id), 0) FROM session_fts_docsize)";
    for (table, has_text) in [("message", "true"), ("session", &format!("label <> '' AND seq <= {newest}"))] {
        let check = format!("INSERT INTO {table}_fts ({table}_fts, rank) VALUES ('integrity-check', 1)");
        file.execute_batch(&check).unwrap();
        let count = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let missing = count(&format!(
            "SELECT count(*) FROM {table} WHERE {has_text} AND seq NOT IN (SELECT id FROM {table}_fts_docsize)"
        ));
        let dangling =
            count(&format!("SELECT count(*) FROM {table}_fts_docsize WHERE id NOT IN (SELECT seq FROM {table})"));
        assert_eq!((missing, dangling), (0, 0), "rows of {table} that are not in the index, and the other way round");
    }
    let sql = format!("SELECT count(*) FROM session WHERE seq > {newest}");
    let waiting = file.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(waiting <= LABELS_WAITING_MAX, "{waiting} labels wait for the index");
}
