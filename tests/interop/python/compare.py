"""Compares what one side wrote with what the other side read. Exit code 1: something differs.

    compare.py <tally> dump <expected.jsonl> <dump.txt> <dump.err>         DumpLogSegments over .log files
    compare.py <tally> index <dump.txt> <sanity.txt> <index.txt> <err>...  ... over .index and .timeindex, both ways
    compare.py <tally> producers <dump.txt> <producers.txt> <err>...       ... over .txnindex and .snapshot
    compare.py <tally> offsets <expected.jsonl> <dump.txt> <err>           ... over __consumer_offsets
    compare.py <tally> transactions <dump.txt> <err>                       ... over __transaction_state
    compare.py <tally> decode <expected.jsonl> <log directory>             aiokafka over .log files
    compare.py <tally> records [--committed] [--gone <topic,...>] <actual.jsonl> <expected.jsonl>...
                                                                           records that a reader printed
    compare.py <tally> left [--gone <topic,...>] <left.jsonl> <actual.jsonl> <written.jsonl>...
                                                                           the same; writes down what compaction left
    compare.py <tally> starts <expected.jsonl> <actual.jsonl>              where partitions begin
    compare.py <tally> shapes <dump.txt>                                   batches that only compaction makes
    compare.py <tally> markers <dump.txt>                                  transactions' markers after compaction
    compare.py <tally> committed <expected.jsonl> <actual.jsonl>           committed offsets that a reader printed
    compare.py <tally> groups [--restarted] <expected.jsonl> <actual.jsonl>    groups that a reader listed
    compare.py <tally> joined <groups.jsonl> <joined.jsonl>                generations in which a reader joined them
    compare.py <tally> values <input lines> <dump.txt> <err>               values against a text file, in any order
    compare.py <tally> names <records.jsonl>                               prints the topics in it, for `run`
    compare.py <tally> total                                               the one line at the end
"""

import base64
import json
import os
import sys
from collections import Counter, defaultdict

import dumptool
from lines import Differences, has_gaps, load_expected, may_miss_records, read_lines, shorten, to_record

NO_HORIZON = "OptionalLong.empty"
INDEX_INTERVAL_BYTES = 4096  # Kafka's default of index.interval.bytes
ENTRY_BYTES = {".index": 8, ".timeindex": 12}


def main():
    tally, command, *arguments = sys.argv[1:]
    return COMMANDS[command](tally, *arguments)


def dump(tally, expected_path, dump_path, error_path):
    differences = Differences("dump tool, log segments", tally)
    expected = load_expected(expected_path)
    actual, codecs = defaultdict(list), defaultdict(dict)
    last_batch, sequences = {}, {}
    for segment in dumptool.parse_logs(dump_path):
        check_segment(differences, segment, last_batch, sequences)
        for batch in segment.batches:
            actual[segment.partition].extend(batch.records)
            codecs[segment.partition].update((record.offset, batch.codec) for record in batch.records)
    for partition in sorted(expected.keys() | actual.keys()):
        # The tool prints header keys only: [a,b]
        wanted = [e.record._replace(headers=",".join(key for key, _ in e.record.headers)) for e in expected[partition]]
        differences.check_records(partition, wanted, actual[partition], may_miss_records(partition[0], expected[partition]))
        differences.check_codecs(partition, expected[partition], codecs[partition])
    check_log_errors(differences, error_path)
    return differences.finish()


def check_segment(differences, segment, last_batch, sequences):
    """The headers of one segment: whole, valid, in order, and going on where the segment before it ended."""
    differences.counts["segments"] += 1
    for line in segment.unparsed:
        differences.add(segment.path, f"the dump tool says: {shorten(line)}")
    compacted = has_gaps(segment.partition[0])
    previous = last_batch.get(segment.partition)
    next_offset = segment.base if previous is None else previous.last + 1
    if segment.batches and not compacted:
        differences.check(segment.path, "base offset in the name", next_offset, segment.base)
    position = 0
    for batch in segment.batches:
        where = f"{segment.path} position {position}"
        differences.counts["batches"] += 1
        differences.check(where, "isvalid", True, batch.valid)
        differences.check(where, "magic", 2, batch.magic)
        differences.check(where, "position", position, batch.position)
        differences.check(where, "partitionLeaderEpoch", 0, batch.leader_epoch)
        if compacted:
            # Batches may be gone, or thinned out; then the largest timestamp may be of a record that is gone, too.
            differences.check(where, "baseOffset in order", True, max(next_offset, segment.base) <= batch.base <= batch.last)
            differences.check(where, "count", len(batch.records) + len(batch.markers), batch.count)
        else:
            differences.check(where, "baseOffset", next_offset, batch.base)
            differences.check(where, "count", batch.last - batch.base + 1, batch.count)
            differences.check(where, "deleteHorizonMs", NO_HORIZON, batch.delete_horizon)
            check_batch_records(differences, where, batch)
            check_sequences(differences, where, batch, sequences.setdefault(segment.partition, {}))
        position += batch.size
        previous, next_offset = batch, batch.last + 1
    differences.check(segment.path, "file size", os.path.getsize(segment.path), position)
    last_batch[segment.partition] = previous


def check_batch_records(differences, where, batch):
    if batch.control:
        differences.check(where, "control records", 1, len(batch.markers))
        differences.check(where, "isTransactional of a marker", True, batch.transactional)
        differences.check(where, "compresscodec of a marker", "none", batch.codec)
        return
    differences.check_list(where, "record offsets", list(range(batch.base, batch.last + 1)), [r.offset for r in batch.records])
    if batch.records:
        differences.check(where, "maxTimestamp", max(r.timestamp for r in batch.records), batch.max_timestamp)


def check_sequences(differences, where, batch, last):
    """Per producer and epoch the sequences go up by one, from 0, over all batches of the partition."""
    if batch.control or batch.producer_id == -1:
        differences.check(where, "baseSequence", -1, batch.base_sequence)
        return
    producer = batch.producer_id, batch.producer_epoch
    differences.check(where, "baseSequence", last.get(producer, -1) + 1, batch.base_sequence)
    differences.check(where, "lastSequence", batch.base_sequence + batch.count - 1, batch.last_sequence)
    last[producer] = batch.last_sequence


def check_log_errors(differences, error_path):
    """The tool starts each segment at offset -1, so it calls the first record of all but the first "non-consecutive"."""
    file = None
    for line in text_lines(error_path):
        if line.startswith("Non-consecutive offsets in "):
            file = line.removeprefix("Non-consecutive offsets in ")
        elif file is not None and has_gaps(dumptool.partition_of(file)[0]) and " is followed by " in line:
            continue
        elif file is None or line.strip() != f"-1 is followed by {dumptool.base_of(file)}":
            differences.add(file or error_path, f"the dump tool says: {shorten(line)}")


def index(tally, dump_path, sanity_path, index_path, *error_paths):
    differences = Differences("dump tool, indexes", tally)
    segments = {(s.partition, s.base): s for s in dumptool.parse_logs(dump_path)}
    check_quiet(differences, error_paths)
    passed = set()
    for file, body in dumptool.split_files(sanity_path):
        if body not in ([f"{file} passed sanity check."], [f"{file} is empty."]):
            differences.add(file, f"index sanity check says: {shorten(body)}")
        passed.add(file)
    for file, body in dumptool.split_files(index_path):
        differences.counts["index files"] += 1
        differences.check(file, "went through the sanity check", True, file in passed)
        suffix = os.path.splitext(file)[1]
        entries = [tuple(int(word) for word in line.split()[1::2]) for line in body if line != f"{file} is empty."]
        differences.counts["index entries"] += len(entries)
        differences.check(file, "file size", len(entries) * ENTRY_BYTES[suffix], os.path.getsize(file))
        topic = dumptool.partition_of(file)[0]
        if has_gaps(topic) and not topic.startswith("compacted-"):
            continue  # Kafka's compaction appends several batches at a time, so its entries follow from more than the batches
        segment = segments.get((dumptool.partition_of(file), dumptool.base_of(file)))    # an empty one was not dumped
        differences.check_list(file, "entries", kafka_index(segment.batches if segment else [])[suffix], entries)
    return differences.finish()


def kafka_index(batches):
    """The entries that Kafka's own rule gives these batches, when each was one append."""
    offsets, times = [], []
    unindexed, largest, largest_at = 0, -1, -1
    for batch in batches:
        if batch.count > 0 and batch.max_timestamp > largest:    # what compaction has emptied keeps its timestamp
            largest, largest_at = batch.max_timestamp, batch.last
        if unindexed > INDEX_INTERVAL_BYTES:
            offsets.append((batch.last, batch.position))
            append_time(times, largest, largest_at)
            unindexed = 0
        unindexed += batch.size
    append_time(times, largest, largest_at)    # the one at the roll, or at a clean close
    return {".index": offsets, ".timeindex": times}


def append_time(times, timestamp, offset):
    if timestamp > (times[-1][0] if times else -1):
        times.append((timestamp, offset))


def producers(tally, dump_path, producers_path, *error_paths):
    """Aborted transactions and producer snapshots, against what the batches say."""
    differences = Differences("dump tool, transaction indexes and producer snapshots", tally)
    check_quiet(differences, error_paths)
    partitions = defaultdict(list)
    for segment in dumptool.parse_logs(dump_path):
        for batch in segment.batches:
            partitions[segment.partition].append((segment.base, batch))
    aborted_found, newest = defaultdict(list), {}
    for file, body in dumptool.split_files(producers_path):
        if file.endswith(".snapshot"):
            newest[dumptool.partition_of(file)] = file    # they are in order
    for file, body in dumptool.split_files(producers_path):
        partition, base = dumptool.partition_of(file), dumptool.base_of(file)
        if has_gaps(partition[0]) and newest.get(partition) != file:
            continue  # the batches that it was made from may be gone
        entries = [dumptool.parse_fields(line) for line in body]
        if file.endswith(".txnindex"):
            aborted_found[partition, base] = [tuple(entry.values()) for entry in entries]
        else:
            differences.counts["producer snapshots"] += 1
            batches = [b for _, b in partitions[partition] if b.last < base]
            if has_gaps(partition[0]):
                # Of producers that were forgotten, batches may be left.
                known = {entry["producerId"] for entry in entries}
                batches = [b for b in batches if b.producer_id in known]
            check_snapshot(differences, file, entries, batches)
    aborted_wanted = defaultdict(list)
    for partition, batches in partitions.items():
        if has_gaps(partition[0]):
            continue  # what was aborted is gone
        for base, entry in aborted_transactions(batches):
            aborted_wanted[partition, base].append(entry)
    for partition, base in sorted(aborted_wanted.keys() | aborted_found.keys()):
        where = f"{name(partition)} segment {base} .txnindex"
        differences.counts["aborted transactions"] += len(aborted_found[partition, base])
        differences.check_list(where, "(version, producerId, first, last, lastStable)", aborted_wanted[partition, base],
                               aborted_found[partition, base])
    return differences.finish()


def aborted_transactions(batches):
    """(segment of the marker, txn index entry) of each ABORT marker that closes a transaction with data."""
    open_since = {}
    for base, batch in batches:
        if batch.control:
            first = open_since.pop(batch.producer_id, None)
            if batch.markers[0][1] == "ABORT" and first is not None:
                stable = min(open_since.values(), default=batch.last + 1)
                yield base, (0, batch.producer_id, first, batch.last, stable)
        elif batch.transactional:
            open_since.setdefault(batch.producer_id, batch.base)


def check_snapshot(differences, file, entries, batches):
    """A snapshot must describe each producer's last batch, and its open transaction, as of its own offset."""
    wanted = {}
    for batch in batches:
        if batch.producer_id == -1:
            continue
        old = wanted.get(batch.producer_id)
        entry = {"producerEpoch": batch.producer_epoch, "currentTxnFirstOffset": -1, "lastTimestamp": batch.max_timestamp}
        if not batch.control:
            entry |= {"firstSequence": batch.base_sequence, "lastSequence": batch.last_sequence,
                      "lastOffset": batch.last, "offsetDelta": batch.last - batch.base, "timestamp": batch.max_timestamp}
            if batch.transactional:
                entry["currentTxnFirstOffset"] = batch.base
                if old is not None and old["currentTxnFirstOffset"] != -1:
                    entry["currentTxnFirstOffset"] = old["currentTxnFirstOffset"]
        elif old is not None and old["producerEpoch"] == batch.producer_epoch:
            entry = old | entry
        wanted[batch.producer_id] = entry
    found = {}
    for entry in entries:
        producer = entry.pop("producerId")
        entry.pop("coordinatorEpoch")  # not in the batches
        found[producer] = entry
    for producer in sorted(wanted.keys() | found.keys()):
        differences.check(f"{file} producer {producer}", "entry", wanted.get(producer), found.get(producer))


def offsets(tally, expected_path, dump_path, error_path):
    differences = Differences("dump tool, __consumer_offsets", tally)
    check_log_errors(differences, error_path)
    found, open_transactions = {}, defaultdict(dict)
    for segment in check_coordinator_log(differences, dump_path):
        for batch in segment.batches:
            transaction = segment.partition, batch.producer_id
            if batch.control:
                ended = open_transactions.pop(transaction, {})
                found |= ended if batch.markers[0][1] == "COMMIT" else {}
            elif batch.transactional:
                open_transactions[transaction] |= committed_in(differences, segment, batch)
            else:
                found |= committed_in(differences, segment, batch)
    committed_differences(differences, load_committed(expected_path),
                          {k: (v["offset"], v["metadata"]) for k, v in found.items() if v is not None})
    return differences.finish()


def committed_in(differences, segment, batch):
    """What a batch of a group coordinator's says of committed offsets; the groups' own records are left to their readers."""
    found = {}
    for key, value in batch.coordinator:
        key = json.loads(key)
        group = key["data"].get("group", key["data"].get("groupId"))
        differences.check(f"{segment.path} {key}", "coordinator partition", coordinator_partition(group), segment.partition[1])
        if key["type"] in ("0", "1"):
            place = group, key["data"]["topic"], key["data"]["partition"]
            found[place] = None if value == "<DELETE>" else json.loads(value)["data"]
        else:
            differences.counts["group records"] += 1
    return found


def coordinator_partition(key, partitions=50):
    """abs(Java's String.hashCode) % 50, as Kafka places a group."""
    digest = 0
    units = key.encode("utf-16-be")
    for i in range(0, len(units), 2):
        digest = (31 * digest + int.from_bytes(units[i:i + 2], "big")) & 0xFFFF_FFFF
    signed = digest - (1 << 32) if digest >= 1 << 31 else digest
    return (0 if signed == -(1 << 31) else abs(signed)) % partitions


def transactions(tally, dump_path, error_path):
    differences = Differences("dump tool, __transaction_state", tally)
    check_log_errors(differences, error_path)
    state = {}
    for segment in check_coordinator_log(differences, dump_path):
        for batch in segment.batches:
            for key, value in batch.coordinator:
                key = json.loads(key)["data"]["transactionalId"]
                differences.check(f"{segment.path} {key}", "coordinator partition", coordinator_partition(key),
                                  segment.partition[1])
                if value != "<DELETE>":
                    state[key] = json.loads(value)["data"]["transactionStatus"]
    for key, status in state.items():
        differences.counts["transactional ids"] += 1
        # 0 Empty, 4 CompleteCommit, 5 CompleteAbort: nothing may be left open after a clean close.
        differences.check(f"transactional id {key}", "is finished", True, status in (0, 4, 5))
    return differences.finish()


def check_coordinator_log(differences, dump_path):
    for segment in dumptool.parse_logs(dump_path):
        differences.counts["segments"] += 1
        for line in segment.unparsed:
            differences.add(segment.path, f"the dump tool says: {shorten(line)}")
        for batch in segment.batches:
            differences.counts["batches"] += 1
            differences.counts["records"] += len(batch.coordinator)
            where = f"{segment.path} position {batch.position}"
            differences.check(where, "isvalid", True, batch.valid)
            if not batch.control:
                differences.check(where, "count", len(batch.coordinator), batch.count)
        yield segment


def decode(tally, expected_path, directory):
    import decoder    # needs the Python packages, which the other commands do not

    differences = Differences("aiokafka, log segments", tally)
    for (topic, partition), expected in sorted(load_expected(expected_path).items()):
        records, codecs = [], {}
        for path in decoder.segments(f"{directory}/{topic}-{partition}"):
            differences.counts["segments"] += 1
            try:
                found, batches = decoder.read_segment(path, codecs)
            except Exception as error:  # whatever the library throws at bytes it does not like
                differences.add(path, f"{type(error).__name__}: {error}")
                continue
            records.extend(found)
            differences.counts["batches"] += batches
        differences.check_records((topic, partition), [e.record for e in expected], records, may_miss_records(topic, expected))
        differences.check_codecs((topic, partition), expected, codecs)
    return differences.finish()


def records(tally, *arguments):
    options, (actual_path, *expected_paths) = split_options(arguments)
    differences = Differences(f"records read, {os.path.basename(actual_path)}", tally)
    actual, expected = load_read(actual_path), load_written(expected_paths, "--committed" in options)
    for partition in sorted(expected.keys() | actual.keys()):
        read, written = actual.get(partition, []), expected.get(partition, [])
        differences.check(name(partition), "in offset order", True, is_in_order(read))
        differences.check_records(partition, [e.record for e in written], read, may_miss_records(partition[0], written),
                                  partition[0] in options.get("--gone", "").split(","))
    return differences.finish()


def left(tally, *arguments):
    """Compares what a reader found with what was written before compaction and retention, and writes down which of it is
    left: others must find the same. With --gone: of these topics, some tombstones must be gone."""
    options, (out_path, read_path, *written_paths) = split_options(arguments)
    differences = Differences(f"what is left, {os.path.basename(read_path)}", tally)
    actual, expected = load_read(read_path), load_written(written_paths, committed_only=True)
    for partition in sorted(expected.keys() | actual.keys()):
        read, written = actual.get(partition, []), expected.get(partition, [])
        differences.check(name(partition), "in offset order", True, is_in_order(read))
        if has_gaps(partition[0]):
            differences.check_records(partition, [e.record for e in written], read, True,
                                      partition[0] in options.get("--gone", "").split(","))
        else:
            start = read[0].offset if read else -1
            differences.check(name(partition), "begins later than it did", True, start > written[0].record.offset)
            differences.check_records(partition, [e.record for e in written if e.record.offset >= start], read)
        expected[partition] = {record.offset for record in read}
    with open(out_path, "w", encoding="utf-8") as out:
        for path in written_paths:
            for line in read_lines(path):
                if line["offset"] in expected[line["topic"], line["partition"]]:
                    print(json.dumps(line | {"left": True}), file=out)
    return differences.finish()


def split_options(arguments):
    """({option: its value, or ""}, the rest)."""
    options, rest = {}, list(arguments)
    while rest[0].startswith("--"):
        option = rest.pop(0)
        options[option] = rest.pop(0) if option == "--gone" else ""
    return options, rest


def load_read(path):
    """{(topic, partition): [Record in the order read]}"""
    found = defaultdict(list)
    for line in read_lines(path):
        found[line["topic"], line["partition"]].append(to_record(line))
    return dict(found)


def load_written(paths, committed_only):
    """{(topic, partition): [Expected]}, in offset order, of all files together"""
    written = defaultdict(list)
    for path in paths:
        for partition, found in load_expected(path).items():
            written[partition] += [e for e in found if not (committed_only and e.aborted)]
    for found in written.values():
        found.sort(key=lambda e: e.record.offset)
    return dict(written)


def is_in_order(records):
    return all(a.offset < b.offset for a, b in zip(records, records[1:]))


def starts(tally, expected_path, actual_path):
    """Where partitions begin."""
    differences = Differences(f"log starts, {os.path.basename(actual_path)}", tally)
    expected, actual = ({(line["topic"], line["partition"]): line["start"] for line in read_lines(path)}
                        for path in (expected_path, actual_path))
    for partition in sorted(expected.keys() | actual.keys()):
        differences.counts["log starts"] += 1
        differences.check(name(partition), "start", expected.get(partition), actual.get(partition))
    return differences.finish()


def shapes(tally, dump_path):
    """That streamlog's compacted logs have the shapes that they are made for, as the dump tool sees them."""
    differences = Differences("dump tool, shapes of compacted logs", tally)
    batches = defaultdict(list)
    for segment in dumptool.parse_logs(dump_path):
        batches[segment.partition[0]].extend(segment.batches)
    for topic, found in batches.items():
        differences.counts["batches"] += len(found)
        for batch in found:
            has_tombstone = any(record.value is None for record in batch.records)
            if batch.delete_horizon != NO_HORIZON and not batch.control:
                differences.counts["delete horizons"] += 1
                differences.check(f"{topic} offset {batch.base}", "tombstone with a delete horizon", True,
                                  has_tombstone or topic == "compacted-dropped")
            if batch.count == 0:
                differences.counts["empty batches"] += 1
                differences.check(f"{topic} offset {batch.base}", "has a producer or is the end", True,
                                  batch.producer_id >= 0)
                differences.check(f"{topic} offset {batch.base}", "codec", "none", batch.codec)
    for topic, shape in (("compacted-codecs", "horizon"), ("compacted-due", "horizon"), ("compacted-producers", "empty")):
        found = any(batch.count == 0 if shape == "empty" else batch.delete_horizon != NO_HORIZON for batch in batches[topic])
        differences.check(topic, f"has a batch with that shape: {shape}", True, found)
    kinds = {batch.timestamp_type for batch in batches["compacted-append-time"]}
    differences.check("compacted-append-time", "timestamps", {"LogAppendTime"}, kinds)
    return differences.finish()


def markers(tally, dump_path):
    """Of transactional logs that were compacted, long after: markers stay while their transaction has records, and else
    only as what is left of a producer's last batch."""
    differences = Differences("dump tool, markers of compacted logs", tally)
    partitions = defaultdict(list)
    for segment in dumptool.parse_logs(dump_path):
        partitions[segment.partition].extend(segment.batches)
    for partition, batches in partitions.items():
        last = {batch.producer_id: batch.base for batch in batches}
        has_records = set()
        for batch in batches:
            differences.counts["batches"] += 1
            if not batch.control:
                if batch.transactional and batch.records:
                    has_records.add(batch.producer_id)
                continue
            where = f"{name(partition)} offset {batch.base}"
            for _, marker in batch.markers:
                differences.counts["markers"] += 1
                differences.check(where, "transaction of the marker has records", True, batch.producer_id in has_records)
                differences.check(where, "marker of records", "COMMIT", marker)
            if not batch.markers:
                differences.check(where, "an empty control batch is its producer's last", last[batch.producer_id], batch.base)
            has_records.discard(batch.producer_id)
        differences.check(name(partition), "transactions without a marker", set(), has_records)
    return differences.finish()


def committed(tally, expected_path, actual_path):
    differences = Differences(f"committed offsets, {os.path.basename(actual_path)}", tally)
    committed_differences(differences, load_committed(expected_path), load_committed(actual_path))
    return differences.finish()


def load_committed(path):
    """{(group, topic, partition): (offset, metadata)}; metadata is None where the side that wrote the file did not say."""
    return {(line["group"], line["topic"], line["partition"]): (line["offset"], line.get("metadata"))
            for line in read_lines(path)}


def committed_differences(differences, expected, actual):
    for place in sorted(expected.keys() | actual.keys()):
        differences.counts["committed offsets"] += 1
        (offset, metadata), (found_offset, found_metadata) = (side.get(place, (None, None)) for side in (expected, actual))
        differences.check(f"group, topic, partition {place}", "offset", offset, found_offset)
        if metadata is not None and found_metadata is not None:
            differences.check(f"group, topic, partition {place}", "metadata", metadata, found_metadata)


def groups(tally, *arguments):
    """Each side lists the same groups, in the same state. With --restarted, `actual` is of a later process, of streamlog's:
    members did not live to see it, and of the newer protocol's groups it sees the offsets alone."""
    restarted = arguments[0] == "--restarted"
    expected_path, actual_path = arguments[1:] if restarted else arguments
    differences = Differences(f"groups, {os.path.basename(actual_path)}", tally)
    expected, actual = ({line["group"]: line for line in read_lines(path)} for path in (expected_path, actual_path))
    differences.check(actual_path, "groups", sorted(expected), sorted(actual))
    if restarted:
        differences.check(expected_path, "has groups of both protocols", {"Classic", "Consumer"},
                          {line["type"] for line in expected.values()})
    for group in sorted(expected.keys() & actual.keys()):
        differences.counts["groups"] += 1
        wanted = expected[group]
        if restarted:
            wanted |= {"state": "Empty", "members": 0}
            wanted |= {"protocol_type": ""} if wanted["type"] == "Consumer" else {}
        for field in ("state", "members", "protocol_type"):
            differences.check(f"group {group}", field, wanted[field], actual[group][field])
    return differences.finish()


def joined(tally, groups_path, joined_path):
    """Classic groups go on in the next generation. (For the newer protocol Kafka replaces a group without members, and
    counts anew.)"""
    differences = Differences(f"generations, {os.path.basename(joined_path)}", tally)
    generations = {line["group"]: line["generation"] for line in read_lines(groups_path)}
    for line in read_lines(joined_path):
        if line["protocol"] == "classic":
            differences.counts["groups joined"] += 1
            differences.check(f"group {line['group']}", "generation", generations[line["group"]] + 1, line["generation"])
    return differences.finish()


def values(tally, input_path, dump_path, error_path):
    """Each line of a text file is the value of one record, wherever it went."""
    differences = Differences("dump tool, values against the input's lines", tally)
    last_batch, sequences = {}, {}
    found = Counter()
    for segment in dumptool.parse_logs(dump_path):
        check_segment(differences, segment, last_batch, sequences)
        for batch in segment.batches:
            found.update(base64.b64decode(record.value) for record in batch.records if record.value is not None)
    with open(input_path, "rb") as file:
        wanted = Counter(line.removesuffix(b"\n") for line in file)
    differences.counts["records"] = found.total()
    for value, count in (wanted - found).items():
        differences.add(input_path, f"missing {count} times: {shorten(value)}")
    for value, count in (found - wanted).items():
        differences.add(dump_path, f"{count} times too often: {shorten(value)}")
    check_log_errors(differences, error_path)
    return differences.finish()


def names(_tally, records_path):
    """"topic:partitions ..."."""
    partitions = Counter()
    for line in read_lines(records_path):
        partitions[line["topic"]] = max(partitions[line["topic"]], line["partition"] + 1)
    print(*(f"{topic}:{count}" for topic, count in partitions.items()))


def total(tally):
    counts = Counter()
    for line in read_lines(tally):
        counts.update(line)
    print(f"interop: compared {counts['records']} records in {counts['batches']} batches of {counts['segments']} segments, "
          f"{counts['index entries']} index entries, {counts['producer snapshots']} producer snapshots, "
          f"{counts['aborted transactions']} aborted transactions, {counts['committed offsets']} committed offsets, "
          f"{counts['groups']} groups: "
          f"{counts['differences']} differences")
    return 1 if counts["differences"] else 0


def check_quiet(differences, error_paths):
    for path in error_paths:
        for line in text_lines(path):
            differences.add(path, f"the dump tool says: {shorten(line)}")


def text_lines(path):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if line.strip()]


def name(partition):
    return f"{partition[0]}-{partition[1]}"


COMMANDS = {f.__name__: f for f in (dump, index, producers, offsets, transactions, decode, records, left, starts, shapes, markers,
                                   committed, groups, joined, values, names, total)}

if __name__ == "__main__":
    sys.exit(main())
