//! Tool calls from fragments.
