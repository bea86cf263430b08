"""Parses what Kafka's DumpLogSegments prints."""

import os
import re
from typing import NamedTuple

from lines import Record

BATCH = re.compile(
    r"baseOffset: (?P<base>-?\d+) lastOffset: (?P<last>-?\d+) count: (?P<count>-?\d+)"
    r" baseSequence: (?P<base_sequence>-?\d+) lastSequence: (?P<last_sequence>-?\d+)"
    r" producerId: (?P<producer_id>-?\d+) producerEpoch: (?P<producer_epoch>-?\d+)"
    r" partitionLeaderEpoch: (?P<leader_epoch>-?\d+) isTransactional: (?P<transactional>true|false)"
    r" isControl: (?P<control>true|false) deleteHorizonMs: (?P<delete_horizon>\S+)"
    r" position: (?P<position>\d+) (?P<timestamp_type>\S+): (?P<max_timestamp>-?\d+)"
    r" size: (?P<size>\d+) magic: (?P<magic>\d+) compresscodec: (?P<codec>\S+)"
    r" crc: (?P<crc>\d+) isvalid: (?P<valid>true|false)$"
)
# Keys and payloads are printed by Base64Decoder (records) or are JSON without a line break (coordinator topics); the
# greedy header list tolerates any header key, brackets included.
RECORD = re.compile(
    r"\| offset: (?P<offset>\d+) (?P<timestamp_type>\S+): (?P<timestamp>-?\d+)"
    r" keySize: (?P<key_size>-?\d+) valueSize: (?P<value_size>-?\d+)"
    r" sequence: (?P<sequence>-?\d+) headerKeys: \[(?P<headers>.*)\]"
    r"(?: key: (?P<key>[A-Za-z0-9+/=]*))?(?: payload: (?P<value>[A-Za-z0-9+/=]*))?$"
)
CONTROL = re.compile(r"\| offset: (?P<offset>\d+) .* endTxnMarker: (?P<marker>COMMIT|ABORT) coordinatorEpoch: (?P<epoch>-?\d+)$")
COORDINATOR = re.compile(r"\| offset: (?P<offset>\d+) .* headerKeys: \[\] key: (?P<key>\{.*\}) payload: (?P<value>\{.*\}|<DELETE>)$")
NUMBERS = ("base", "last", "count", "base_sequence", "last_sequence", "producer_id", "producer_epoch", "leader_epoch",
           "position", "max_timestamp", "size", "magic")


class Segment(NamedTuple):
    path: str
    batches: list
    unparsed: list  # lines that have no business there: trailing bytes, errors

    @property
    def partition(self):
        return partition_of(self.path)

    @property
    def base(self):
        return base_of(self.path)


class Batch:
    """A batch header; its attributes are the groups of BATCH."""

    def __init__(self, match):
        for name, text in match.groupdict().items():
            setattr(self, name, int(text) if name in NUMBERS else text)
        self.transactional = self.transactional == "true"
        self.control = self.control == "true"
        self.valid = self.valid == "true"
        self.records = []
        self.sequences = []
        self.markers = []
        self.coordinator = []  # (key, value) as text


def partition_of(path):
    """(topic, partition) from the directory's name."""
    topic, _, partition = os.path.basename(os.path.dirname(path)).rpartition("-")
    return topic, int(partition)


def base_of(path):
    return int(os.path.basename(path).split(".")[0])


def split_files(path):
    """(file, lines) for each "Dumping <file>" section."""
    file, body = None, []
    with open(path, encoding="utf-8", newline="\n") as dump:
        for line in dump:
            line = line.rstrip("\n")
            if line.startswith("Dumping "):
                if file is not None:
                    yield file, body
                file, body = line.removeprefix("Dumping "), []
            else:
                body.append(line)
    if file is not None:
        yield file, body


def parse_logs(path):
    """Segments in order of partition and base offset."""
    segments = [parse_log(file, body) for file, body in split_files(path)]
    return sorted(segments, key=lambda segment: (segment.partition, segment.base))


def parse_log(file, body):
    segment = Segment(file, [], [])
    for line in body:
        if match := BATCH.match(line):
            segment.batches.append(Batch(match))
        elif segment.batches and (match := CONTROL.match(line)):
            segment.batches[-1].markers.append((int(match["offset"]), match["marker"]))
        elif segment.batches and (match := COORDINATOR.match(line)):
            segment.batches[-1].coordinator.append((match["key"], match["value"]))
        elif segment.batches and (match := RECORD.match(line)):
            add_record(segment.batches[-1], match)
        elif line != f"Log starting offset: {segment.base}":
            segment.unparsed.append(line)
    return segment


def add_record(batch, match):
    # The tool leaves out a null key or value, and says so by a size of -1; an empty one is printed as nothing.
    key = None if match["key_size"] == "-1" else match["key"]
    value = None if match["value_size"] == "-1" else match["value"]
    batch.records.append(Record(int(match["offset"]), int(match["timestamp"]), key, value, match["headers"]))
    batch.sequences.append(int(match["sequence"]))


def parse_fields(line):
    """{"producerId": 5, ...} from "producerId: 5 ..."; Java prints an absent number as OptionalLong.empty."""
    words = line.split()
    return {name.rstrip(":"): -1 if text == "OptionalLong.empty" else int(text.removeprefix("OptionalLong[").rstrip("]"))
            for name, text in zip(words[::2], words[1::2])}
