//! One module for each promise; one binary, so that they link once.

mod api;
