use super::*;
use crate::format::random::Random;

/// Those that are compiled in.
fn codecs() -> Vec<Codec> {
    let all = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];
    all.into_iter()
        .filter(|&codec| compress(codec, b"", &mut Vec::new()).is_ok())
        .collect()
}

fn compressed(codec: Codec, input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    compress(codec, input, &mut output).unwrap();
    output
}

/// Lengths on both sides of the block sizes of snappy (32 KiB) and LZ4 (64 KiB), and in between.
fn inputs() -> Vec<Vec<u8>> {
    let mut random = Random::new(1);
    let mut inputs = Vec::new();
    for length in [
        0, 1, 2, 17, 1_000, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 200_000,
    ] {
        inputs.push(vec![0; length]);
        inputs.push(
            (0..length)
                .map(|i| b"0123456789abcdef"[(i * i / 7) % 16])
                .collect(),
        );
        inputs.push(
            (0..length)
                .map(|_| random.number().to_le_bytes()[0])
                .collect(),
        );
    }
    inputs
}

#[test]
fn every_codec_gives_back_what_it_got() {
    for codec in codecs() {
        for input in inputs() {
            let output = compressed(codec, &input);
            let back = decompress(codec, &output, input.len());
            assert!(
                back.as_deref() == Ok(&input[..]),
                "{codec:?}, {} bytes",
                input.len()
            );
        }
    }
}

#[test]
fn compressing_appends() {
    for codec in codecs() {
        let mut output = b"header".to_vec();
        compress(codec, b"some records", &mut output).unwrap();
        assert_eq!(output[..6], *b"header", "{codec:?}");
        assert_eq!(
            decompress(codec, &output[6..], 100).as_deref(),
            Ok(&b"some records"[..])
        );
    }
}

#[test]
fn contexts_leave_nothing_behind_for_the_next_stream() {
    for codec in codecs() {
        let inputs = inputs();
        let first: Vec<_> = inputs
            .iter()
            .map(|input| compressed(codec, input))
            .collect();
        let again: Vec<_> = inputs
            .iter()
            .rev()
            .map(|input| compressed(codec, input))
            .collect();
        for ((first, again), input) in first.iter().zip(again.iter().rev()).zip(&inputs) {
            assert!(
                first == again,
                "{codec:?}, {} bytes: depends on what came before",
                input.len()
            );
        }
    }
}

#[test]
fn a_limit_is_kept_to_the_byte() {
    for codec in codecs() {
        for input in inputs().iter().filter(|input| !input.is_empty()) {
            let output = compressed(codec, input);
            for limit in [0, input.len() / 2, input.len() - 1] {
                assert_eq!(
                    decompress(codec, &output, limit),
                    Err(TOO_LARGE),
                    "{codec:?}, {} bytes",
                    input.len()
                );
            }
            assert!(
                decompress(codec, &output, usize::MAX).as_deref() == Ok(&input[..]),
                "{codec:?}"
            );
        }
    }
}

/// A bomb: far more zeros than the limit, in a few kilobytes.
#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    let zeros = vec![0; 32 << 20];
    for codec in codecs() {
        assert_eq!(
            decompress(codec, &compressed(codec, &zeros), 10_000),
            Err(TOO_LARGE),
            "{codec:?}"
        );
    }
}

#[test]
fn a_stream_that_is_cut_off_is_refused() {
    for codec in codecs().into_iter().filter(|&codec| codec != Codec::None) {
        for input in inputs().iter().filter(|input| !input.is_empty()) {
            let output = compressed(codec, input);
            // Every length of short streams, some of long ones; those of a block's border always.
            let step = (output.len() / 100).max(1);
            let ends = (0..output.len())
                .step_by(step)
                .chain(output.len().saturating_sub(20)..output.len());
            for end in ends.filter(|&end| !is_block_border(codec, &output, end)) {
                let cut = decompress(codec, &output[..end], input.len());
                assert!(
                    cut.is_err(),
                    "{codec:?}: {end} of {} bytes pass for whole",
                    output.len()
                );
            }
        }
    }
}

/// Snappy's framing has no end mark: a cut between blocks cannot be seen here. The batch's CRC and
/// record count see it.
fn is_block_border(codec: Codec, stream: &[u8], end: usize) -> bool {
    if codec != Codec::Snappy {
        return false;
    }
    let mut border = 16;
    while border < end {
        let length = stream[border..]
            .first_chunk()
            .map(|&length| u32::from_be_bytes(length))
            .unwrap();
        border += 4 + usize::try_from(length).unwrap();
    }
    border == end
}

#[test]
fn bytes_after_the_stream_are_refused() {
    for codec in codecs().into_iter().filter(|&codec| codec != Codec::None) {
        let mut output = compressed(codec, &[1; 1_000]);
        output.extend_from_slice(b"and more");
        assert!(decompress(codec, &output, 10_000).is_err(), "{codec:?}");
    }
}

#[test]
fn damaged_streams_never_panic_or_exceed_the_limit() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        for codec in codecs() {
            let mut output = compressed(codec, &random.bytes(2_000));
            for _ in 0..=random.below(4) {
                let at = random.below(output.len().max(1));
                if let Some(byte) = output.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            if let Ok(plain) = decompress(codec, &output, 3_000) {
                assert!(plain.len() <= 3_000, "{codec:?}, seed {seed}");
            }
        }
    }
}

#[cfg(feature = "gzip")]
#[test]
fn gzip_members_in_a_row_are_one_stream() {
    let mut stream = compressed(Codec::Gzip, b"one, ");
    stream.extend(compressed(Codec::Gzip, b"two"));
    assert_eq!(
        decompress(Codec::Gzip, &stream, 8).as_deref(),
        Ok(&b"one, two"[..])
    );
    assert_eq!(decompress(Codec::Gzip, &stream, 7), Err(TOO_LARGE));
}

#[cfg(feature = "gzip")]
#[test]
fn gzip_is_written_as_other_gzip_readers_expect() {
    let stream = compressed(Codec::Gzip, b"123456789");
    assert_eq!(stream[..4], [0x1f, 0x8b, 8, 0]);
    // CRC-32 of the check string, then the length, both little-endian.
    assert_eq!(
        stream[stream.len() - 8..],
        [0x26, 0x39, 0xf4, 0xcb, 9, 0, 0, 0]
    );
}

#[cfg(feature = "snappy")]
#[test]
fn snappy_blocks_hold_32_kib_each() {
    let stream = compressed(Codec::Snappy, &vec![5; 70_000]);
    assert_eq!(stream[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let mut lengths = Vec::new();
    let mut rest = &stream[16..];
    while let Some((&length, after)) = rest.split_first_chunk() {
        let (block, after) = after.split_at(usize::try_from(u32::from_be_bytes(length)).unwrap());
        lengths.push(snap::raw::decompress_len(block).unwrap());
        rest = after;
    }
    assert_eq!(lengths, [32_768, 32_768, 70_000 - 65_536]);
}

#[cfg(feature = "snappy")]
#[test]
fn snappy_without_framing_or_with_a_header_in_between_is_read() {
    let raw = snap::raw::Encoder::new()
        .compress_vec(b"a raw block")
        .unwrap();
    assert_eq!(
        decompress(Codec::Snappy, &raw, 11).as_deref(),
        Ok(&b"a raw block"[..])
    );
    let mut stream = compressed(Codec::Snappy, b"one, ");
    stream.extend(compressed(Codec::Snappy, b"two"));
    assert_eq!(
        decompress(Codec::Snappy, &stream, 8).as_deref(),
        Ok(&b"one, two"[..])
    );
}

#[cfg(feature = "snappy")]
#[test]
fn a_snappy_block_that_claims_too_much_is_refused_before_memory_is_taken() {
    // A raw block of five bytes that claims 4 GiB - 1.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(
        decompress(Codec::Snappy, &claim, usize::MAX),
        Err(DecompressError::Invalid("not a snappy stream"))
    );
}

#[cfg(feature = "lz4")]
#[test]
fn lz4_frames_are_as_kafka_wants_them() {
    let stream = compressed(Codec::Lz4, &vec![5; 70_000]);
    // Magic; version 1, independent blocks, no checksums, no content size; 64 KiB; and the second
    // byte of xxHash32 over those two, which Kafka checks.
    assert_eq!(stream[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
    assert_eq!(
        stream[stream.len() - 4..],
        [0; 4],
        "the end mark is the last thing"
    );
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_frames_that_do_not_say_their_size_are_read() {
    use std::io::Write;
    for input in inputs() {
        let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.write_all(&input).unwrap();
        let stream = encoder.finish().unwrap();
        let back = decompress(Codec::Zstd, &stream, input.len());
        assert!(back.as_deref() == Ok(&input[..]), "{} bytes", input.len());
        if let Some(less) = input.len().checked_sub(1) {
            assert_eq!(decompress(Codec::Zstd, &stream, less), Err(TOO_LARGE));
        }
    }
}

#[test]
fn a_codec_that_is_compiled_out_is_named() {
    let missing = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    for codec in missing
        .into_iter()
        .filter(|codec| !codecs().contains(codec))
    {
        let error = compress(codec, b"", &mut Vec::new()).unwrap_err();
        assert!(
            matches!(error, Error::UnsupportedCompression { codec: name } if name == codec.name())
        );
        assert_eq!(
            decompress(codec, b"", 0),
            Err(DecompressError::Unsupported(codec.name()))
        );
    }
}

#[test]
fn names_are_kafkas() {
    use Compression::{Gzip, Lz4, None, Producer, Snappy, Zstd};
    for compression in [Producer, None, Gzip, Snappy, Lz4, Zstd] {
        assert_eq!(
            compression.to_string().parse::<Compression>().unwrap(),
            compression
        );
    }
    assert_eq!("none".parse::<Compression>().unwrap(), None);
    assert_eq!(None.to_string(), "uncompressed");
    let error = "Zstd".parse::<Compression>().unwrap_err().to_string();
    assert!(
        error.starts_with("invalid config compression.type=Zstd: must be producer"),
        "{error}"
    );
}

#[test]
fn codec_numbers_are_those_of_the_format() {
    for id in 0..=4 {
        assert_eq!(Codec::from_id(id).unwrap().id(), id);
    }
    assert_eq!(
        (Codec::from_id(5), Codec::from_id(7), Codec::from_id(-1)),
        (None, None, None)
    );
}

#[test]
fn every_level_gives_back_what_it_got_whatever_was_used_before() {
    let input = inputs().pop().unwrap();
    for codec in codecs() {
        for (gzip, zstd) in [(1, -131_072), (9, 22), (-1, 0), (6, 3), (1, -131_072)] {
            let (levels, mut output) = (Levels { gzip, zstd }, Vec::new());
            compress_at(levels, codec, &input, &mut output).unwrap();
            let back = decompress(codec, &output, input.len());
            assert!(back.as_deref() == Ok(&input[..]), "{codec:?}, {levels:?}");
        }
    }
}
