"""The JSON-lines files that the parts exchange, and the differences found between them."""

import json
import sys
from collections import defaultdict
from typing import NamedTuple

SHOWN = 20  # enough to see a pattern; all of them are counted


class Record(NamedTuple):
    """One record as its readers report it. Bytes are Base64 text, None is null; both print and compare well."""

    offset: int
    timestamp: int
    key: str | None
    value: str | None
    headers: tuple | None  # (key, value) pairs; a judge that does not show the values has (key,)


class Expected(NamedTuple):
    record: Record
    codec: str | None  # which codec its producer was told to use; None: not known
    aborted: bool
    left: bool  # known to be there still; the writers do not know what compaction has left


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def load_expected(path):
    """{(topic, partition): [Expected in offset order]}"""
    partitions = defaultdict(list)
    for line in read_lines(path):
        expected = Expected(to_record(line), line.get("codec"), line.get("aborted", False),
                            line.get("left", False))
        partitions[line["topic"], line["partition"]].append(expected)
    for expected in partitions.values():
        expected.sort(key=lambda e: e.record.offset)
    return partitions


def to_record(line):
    headers = tuple((key, value) for key, value in line["headers"])
    return Record(line["offset"], line["timestamp"], line["key"], line["value"], headers)


def has_gaps(topic):
    """The log was compacted, or may have been."""
    return "compact" in topic or topic.startswith("__")


def may_miss_records(topic, expected):
    """True if the log was compacted by somebody, and `expected` is what was written."""
    return "compacted" in topic and not any(e.left for e in expected)


def after_compaction(expected, actual, tombstones_go):
    """What must be found once older records of a key may be gone: the last record of each key, and all that was found.

    `actual` then has nothing to hide: every record in it must have been written, and every last one must be in it.
    Only a last one without a value may be gone, if `tombstones_go`.
    """
    last = {record.key: record.offset for record in expected}
    found = {record.offset for record in actual}

    def must_stay(record):
        return last[record.key] == record.offset and not (tombstones_go and record.value is None)

    return [record for record in expected if record.offset in found or must_stay(record)]


class Differences:
    """Collects what differs; `finish` reports it, and adds to the tally what was compared."""

    def __init__(self, title, tally):
        self.title = title
        self.tally = tally
        self.found = 0
        self.counts = defaultdict(int)

    def add(self, where, what):
        self.found += 1
        if self.found <= SHOWN:
            print(f"  DIFFERENCE {where}: {what}", file=sys.stderr)

    def check(self, where, field, expected, actual):
        if expected != actual:
            self.add(where, f"{field}: expected {shorten(expected)}, found {shorten(actual)}")

    def check_records(self, partition, expected, actual, compacted=False, tombstones_go=False):
        """Both in offset order. A record that only one side has is reported as such, not as a shift of all the rest.

        `compacted`: `expected` is what was written before."""
        where = f"{partition[0]}-{partition[1]}"
        if compacted:
            if not partition[0].startswith("crashed-"):
                # Otherwise the comparison would not see a compacted log at all.
                self.check(where, "some records compacted away", True, len(actual) < len(expected))
            written, expected = expected, after_compaction(expected, actual, tombstones_go)
            if tombstones_go:
                last_written = {record.key: record for record in written}
                gone = {r.offset for r in last_written.values() if r.value is None} - {r.offset for r in actual}
                self.check(where, "some tombstones gone", True, bool(gone))
        expected = {record.offset: record for record in expected}
        seen = set()
        for record in actual:
            if record.offset in seen:
                self.add(f"{where} offset {record.offset}", "read twice")
                continue
            seen.add(record.offset)
            self.counts["records"] += 1
            if record.offset not in expected:
                self.add(f"{where} offset {record.offset}", f"never written: {shorten(record)}")
                continue
            wanted = expected[record.offset]
            if record != wanted:
                for field in Record._fields:
                    self.check(f"{where} offset {record.offset}", field, getattr(wanted, field), getattr(record, field))
        for first, last in runs(sorted(expected.keys() - seen)):
            count = "" if first == last else f" and all up to offset {last}"
            self.add(f"{where} offset {first}", f"missing{count}: {shorten(expected[first])}")

    def check_codecs(self, partition, expected, found):
        """`found`: {offset: codec}. A batch that compression would make larger may be written without."""
        for codec in {e.codec for e in expected} - {None}:
            offsets = [e.record.offset for e in expected if e.codec == codec and e.record.offset in found]
            plain = 0
            for offset in offsets:
                if found[offset] not in (codec, "none"):
                    self.check(f"{partition[0]}-{partition[1]} offset {offset}", "codec", codec, found[offset])
                plain += found[offset] == "none"
            if codec != "none" and plain * 10 > len(offsets):
                self.add(f"{partition[0]}-{partition[1]}", f"{plain} of {len(offsets)} {codec} records are uncompressed")

    def check_list(self, where, field, expected, actual):
        """Says where two lists begin to differ."""
        if expected != actual:
            same = next((i for i, (a, b) in enumerate(zip(expected, actual)) if a != b), min(len(expected), len(actual)))
            self.check(where, f"{field} from number {same} on (of {len(expected)}, found {len(actual)})",
                       expected[same:], actual[same:])

    def finish(self):
        if not self.counts:
            self.add(self.title, "nothing was compared")
        if self.found > SHOWN:
            print(f"  ... and {self.found - SHOWN} more", file=sys.stderr)
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        print(f"  {'FAILED' if self.found else 'ok'}: {self.title}: {counts}: {self.found} differences", flush=True)
        with open(self.tally, "a", encoding="utf-8") as file:
            print(json.dumps({"differences": self.found, **self.counts}), file=file)
        return 1 if self.found else 0


def runs(numbers):
    """(first, last) of each run of consecutive numbers."""
    first = last = None
    for number in numbers:
        if last is not None and number == last + 1:
            last = number
            continue
        if last is not None:
            yield first, last
        first = last = number
    if last is not None:
        yield first, last


def shorten(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:150]}... ({len(text)} characters) ...{text[-30:]}"
