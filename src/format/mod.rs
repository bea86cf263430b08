//! Byte layouts: the only code that knows them. Bytes in, values out; no files.

pub(crate) mod batch;
