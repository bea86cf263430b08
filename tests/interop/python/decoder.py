"""Reads segments with aiokafka's decoder, which shares no code with Apache Kafka."""

import glob
from base64 import b64encode

from aiokafka.record.memory_records import MemoryRecords

from lines import Record

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def segments(directory):
    return sorted(glob.glob(f"{glob.escape(directory)}/*.log"))


def read_segment(path, codecs):
    """The data records of one segment, and how many batches it has; `codecs` gets each record's codec by offset."""
    with open(path, "rb") as file:
        data = file.read()
    records, batches, consumed = [], 0, 0
    memory = MemoryRecords(data)
    while memory.has_next():
        batch = memory.next_batch()
        batches += 1
        consumed += 12 + int.from_bytes(data[consumed + 8:consumed + 12], "big")
        if not batch.validate_crc():
            raise ValueError(f"{path}: the batch that ends at byte {consumed} has a wrong CRC")
        if batch.is_control_batch:
            continue
        for record in batch:
            headers = tuple((key, encode(value)) for key, value in record.headers)
            records.append(Record(record.offset, record.timestamp, encode(record.key), encode(record.value), headers))
            codecs[record.offset] = CODECS[batch.compression_type]
    if consumed != len(data):
        raise ValueError(f"{path}: {len(data) - consumed} bytes after the last batch")
    return records, batches


def encode(data):
    return None if data is None else b64encode(data).decode("ascii")
