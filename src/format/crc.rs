//! CRC-32C (Castagnoli), the checksum of batches.
//!
//! `crc-fast` picks the processor's best instructions on first use and remembers them; later calls
//! cost two loads more than the sum itself, so there is nothing to set up or cache here.

/// The CRC-32C of `bytes`.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, from the polynomial: slow and plainly right.
    fn reference(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
            })
        })
    }

    #[test]
    fn the_check_value_is_that_of_crc_32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn all_lengths_agree_with_the_polynomial() {
        // Short, middle and long inputs take different instructions.
        let bytes: Vec<u8> = (0..2_500u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
            .collect();
        for length in (0..600).chain([1_023, 1_024, 1_025, 2_047, 2_048, 2_049, 2_500]) {
            assert_eq!(
                crc32c(&bytes[..length]),
                reference(&bytes[..length]),
                "{length} bytes"
            );
        }
    }
}
