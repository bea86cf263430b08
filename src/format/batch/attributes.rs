//! The attribute bits of a batch.

use super::TimestampType;
use crate::format::compression::Codec;

/// The attribute bits of a batch. Bits without a meaning are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes(pub(super) i16);

impl Attributes {
    pub(super) const CODEC: i16 = 0b111;
    pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
    pub(super) const TRANSACTIONAL: i16 = 1 << 4;
    pub(super) const CONTROL: i16 = 1 << 5;
    pub(super) const DELETE_HORIZON: i16 = 1 << 6;

    /// Not compressed, `CreateTime`, no other bit.
    pub(in crate::format) const PLAIN: Self = Self(0);
    pub(in crate::format) const CONTROL_BATCH: Self = Self(Self::TRANSACTIONAL | Self::CONTROL);

    pub(super) fn parse(raw: i16) -> Option<Self> {
        Codec::from_id(raw & Self::CODEC).map(|_| Self(raw))
    }

    pub(crate) fn compression(self) -> Codec {
        // The fallback is not reached: no value is made with another codec.
        Codec::from_id(self.0 & Self::CODEC).unwrap_or(Codec::None)
    }

    /// With `LogAppendTime`, a reader reports the batch's max timestamp for every record.
    pub(crate) fn timestamp_type(self) -> TimestampType {
        if self.has(Self::LOG_APPEND_TIME) {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    pub(crate) fn is_transactional(self) -> bool {
        self.has(Self::TRANSACTIONAL)
    }

    /// The one record is a marker (`control`), not data: it takes an offset, and no consumer sees it.
    pub(crate) fn is_control(self) -> bool {
        self.has(Self::CONTROL)
    }

    /// The base timestamp is the time from which compaction may drop the batch's tombstones (KIP-534).
    pub(crate) fn has_delete_horizon(self) -> bool {
        self.has(Self::DELETE_HORIZON)
    }

    pub(crate) fn raw(self) -> i16 {
        self.0
    }

    pub(super) fn has(self, bit: i16) -> bool {
        self.0 & bit != 0
    }

    pub(super) fn with_delete_horizon(self) -> Self {
        Self(self.0 | Self::DELETE_HORIZON)
    }

    pub(super) fn without_delete_horizon(self) -> Self {
        Self(self.0 & !Self::DELETE_HORIZON)
    }

    pub(super) fn with_codec(self, codec: Codec) -> Self {
        Self((self.0 & !Self::CODEC) | codec.id())
    }

    pub(super) fn with_transactional(self, transactional: bool) -> Self {
        if transactional {
            Self(self.0 | Self::TRANSACTIONAL)
        } else {
            self
        }
    }
}
