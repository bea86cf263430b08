use super::*;
use crate::format::Compression;
use crate::format::batch::{BatchBuilder, ProducerStamp, set_base_offset, set_log_append_time};
use crate::format::random::Random;
use crate::record::Record;

const NO_HORIZON: Horizon = Horizon {
    time: 5_000_000,
    always: false,
};

/// Offset, timestamp, key, value, headers.
type Shown = (u64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

fn shown(bytes: &[u8]) -> (BatchHeader, Vec<Shown>) {
    let batch = BatchView::parse(bytes).unwrap();
    batch.check_crc().unwrap();
    let mut buffer = Vec::new();
    let records = records_of(&batch, 1 << 20, &mut buffer).unwrap();
    let header = *batch.header();
    let mut all = Vec::new();
    each_record(&header, records, |offset, record| {
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        let (key, value) = (
            record.key.map(<[u8]>::to_vec),
            record.value.map(<[u8]>::to_vec),
        );
        all.push((offset, timestamp, key, value, record.headers.len()));
    })
    .unwrap();
    (header, all)
}

/// A batch at offset 100 of random records; one in three is a tombstone, if there may be any.
fn batch(random: &mut Random, codec: Compression, tombstones: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0, codec);
    for _ in 0..=random.below(20) {
        let (key, value) = (random.bytes(10), random.bytes(40));
        let value = (!tombstones || random.below(3) > 0).then_some(value);
        let mut record = Record::to("t");
        if random.below(4) == 0 {
            record = record.header("h", "v");
        }
        let timestamp = 1000 + i64::try_from(random.below(1 << 20)).unwrap();
        builder.push(timestamp, Some(&key), value.as_deref(), &record.headers);
    }
    let stamp = ProducerStamp {
        producer_id: 7,
        producer_epoch: 1,
        base_sequence: 40,
    };
    let mut bytes = builder.finish(stamp, false).unwrap().to_vec();
    set_base_offset(&mut bytes, 100);
    bytes
}

fn retain<'a>(
    retainer: &'a mut Retainer,
    bytes: &[u8],
    horizon: Horizon,
    keep: impl FnMut(u64, &RecordView<'_>) -> bool,
) -> Retained<'a> {
    let batch = BatchView::parse(bytes).unwrap();
    let mut buffer = Vec::new();
    let records = records_of(&batch, 1 << 20, &mut buffer).unwrap();
    retainer
        .retain(batch.header(), records, horizon, keep)
        .unwrap()
}

#[test]
fn records_that_stay_are_the_same_in_every_codec() {
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let mut retainer = Retainer::default();
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let codec = codecs[random.below(codecs.len())];
        if crate::format::compression::compress(codec.codec().unwrap(), b"", &mut Vec::new())
            .is_err()
        {
            continue;
        }
        let bytes = batch(&mut random, codec, seed % 2 == 0);
        let (header, mut expected) = shown(&bytes);
        let mask = random.number();
        let stays = |offset: u64| mask >> ((offset - 100) % 64) & 1 == 1;
        expected.retain(|record| stays(record.0));
        let has_tombstone = expected.iter().any(|record| record.3.is_none());
        match retain(&mut retainer, &bytes, NO_HORIZON, |offset, _| stays(offset)) {
            Retained::Nothing => assert!(expected.is_empty(), "seed {seed}"),
            Retained::Whole => {
                assert_eq!(expected.len(), header.records_count as usize, "seed {seed}");
                assert!(!has_tombstone, "seed {seed}");
            }
            Retained::Rewritten(rewritten, count) => {
                let (new, found) = shown(rewritten);
                assert_eq!(found, expected, "seed {seed}");
                assert_eq!(count as usize, expected.len());
                assert_eq!(
                    new.max_timestamp,
                    expected.iter().map(|it| it.1).max().unwrap()
                );
                assert_eq!(
                    new.delete_horizon(),
                    has_tombstone.then_some(NO_HORIZON.time)
                );
                if !has_tombstone {
                    assert_eq!(new.base_timestamp, expected[0].1);
                }
                let kept = |header: &BatchHeader| {
                    let codec = header.attributes.compression();
                    (
                        header.base_offset,
                        header.last_offset(),
                        header.last_sequence(),
                        codec,
                    )
                };
                assert_eq!(kept(&new), kept(&header), "seed {seed}");
            }
        }
    }
}

#[test]
fn a_delete_horizon_stays_as_it_was_set_first() {
    let mut retainer = Retainer::default();
    let bytes = batch(&mut Random::new(2), Compression::None, true);
    let Retained::Rewritten(first, _) = retain(&mut retainer, &bytes, NO_HORIZON, |_, _| true)
    else {
        unreachable!("it has tombstones");
    };
    let first = first.to_vec();
    let later = Horizon {
        time: 9_000_000,
        always: true,
    };
    assert_eq!(
        retain(&mut retainer, &first, later, |_, _| true),
        Retained::Whole
    );
    let first_offset = shown(&first).1[0].0;
    let some = retain(&mut retainer, &first, later, |offset, _| {
        offset != first_offset
    });
    let Retained::Rewritten(second, _) = some else {
        unreachable!("one record of several was left out");
    };
    let (header, records) = shown(second);
    assert_eq!(header.delete_horizon(), Some(NO_HORIZON.time));
    assert_eq!(records, shown(&first).1[1..]);
}

#[test]
fn the_time_of_the_append_stays_that_of_the_batch() {
    let mut retainer = Retainer::default();
    let mut bytes = batch(&mut Random::new(1), Compression::None, false);
    set_log_append_time(&mut bytes, 77);
    let Retained::Rewritten(rewritten, _) =
        retain(&mut retainer, &bytes, NO_HORIZON, |offset, _| offset > 100)
    else {
        unreachable!("one record of several was left out");
    };
    assert_eq!(shown(rewritten).0.max_timestamp, 77);
}

#[test]
fn an_emptied_batch_holds_its_offsets_and_its_producers_sequence() {
    for codec in [Compression::None, Compression::Zstd] {
        let bytes = batch(&mut Random::new(3), codec, true);
        let (before, _) = shown(&bytes);
        let (after, records) = shown(&emptied(&before));
        assert!(records.is_empty());
        assert_eq!(after.size as usize, HEADER_LEN);
        assert_eq!(
            (after.base_offset, after.next_offset()),
            (100, before.next_offset())
        );
        assert_eq!(after.last_sequence(), before.last_sequence());
        assert_eq!((after.producer_id, after.producer_epoch), (7, 1));
        assert_eq!(
            (after.base_timestamp, after.max_timestamp),
            (-1, before.max_timestamp)
        );
        assert_eq!(after.delete_horizon(), None);
    }
}
