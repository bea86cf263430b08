//! Records: what lies between two batch headers.

use super::Parsed;
use super::batch::BatchHeader;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordView<'a> {
    pub(crate) offset_delta: u32,
    pub(crate) timestamp_delta: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: HeadersView<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadersView<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> HeadersView<'a> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
    pub(crate) fn iter(&self) -> HeadersIter<'a> {
        HeadersIter {
            left: self.count,
            bytes: self.bytes,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct HeadersIter<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

pub(crate) fn read_record<'a>(_bytes: &'a [u8], _at: &mut usize) -> Parsed<RecordView<'a>> {
    todo!()
}

pub(crate) fn check_records(_records: &[u8], _header: &BatchHeader) -> Parsed<()> {
    todo!()
}

/// Iterates over records that [`check_records`] accepted.
#[derive(Debug, Clone)]
pub(crate) struct CheckedRecords<'a> {
    records: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> CheckedRecords<'a> {
    pub(crate) fn new(records: &'a [u8], count: u32) -> Self {
        Self {
            records,
            at: 0,
            left: count,
        }
    }
}

impl<'a> Iterator for CheckedRecords<'a> {
    type Item = RecordView<'a>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
