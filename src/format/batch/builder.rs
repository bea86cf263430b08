//! Building a batch record by record, in a buffer that is used again.

use crate::format::Compression;
use crate::record::Headers;
use crate::{Error, Result};

/// What an idempotent producer adds to a batch, so that the log can tell repeats and gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerStamp {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
}

impl ProducerStamp {
    pub(crate) const NONE: Self = Self {
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
    };
}

pub(crate) struct BatchBuilder {}

impl BatchBuilder {
    pub(crate) fn new(_capacity: usize, _compression: Compression) -> Self {
        todo!()
    }
    pub(crate) fn is_empty(&self) -> bool {
        todo!()
    }
    pub(crate) fn count(&self) -> u32 {
        todo!()
    }
    pub(crate) fn size(&self) -> usize {
        todo!()
    }
    pub(crate) fn record_size(
        &self,
        _key: Option<&[u8]>,
        _value: Option<&[u8]>,
        _headers: &Headers<'_>,
        _timestamp: i64,
    ) -> usize {
        todo!()
    }
    pub(crate) fn push(
        &mut self,
        _timestamp: i64,
        _key: Option<&[u8]>,
        _value: Option<&[u8]>,
        _headers: &Headers<'_>,
    ) {
        todo!()
    }
    pub(crate) fn push_at(
        &mut self,
        _offset_delta: u32,
        _timestamp: i64,
        _key: Option<&[u8]>,
        _value: Option<&[u8]>,
        _headers: &Headers<'_>,
    ) {
        todo!()
    }
    pub(crate) fn finish(
        &mut self,
        _stamp: ProducerStamp,
        _transactional: bool,
    ) -> Result<&mut [u8], Error> {
        todo!()
    }
    pub(crate) fn clear(&mut self) {
        todo!()
    }
}
