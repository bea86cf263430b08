import java.io.PrintWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Future;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Fills a real broker with a deterministic data set, and writes down what the broker acknowledged:
 * {@code Produce <bootstrap> <records.jsonl> <offsets.jsonl> <groups.jsonl> <trimmed records.jsonl>}.
 */
public final class Produce {
    private static final int RECORDS_PER_CODEC = 6_000;
    private static final long FIRST_TIMESTAMP = 1_700_000_000_000L;

    private final String bootstrap;
    private final PrintWriter records;
    private final Random random = new Random(20_240_229);

    private Produce(String bootstrap, PrintWriter records) {
        this.bootstrap = bootstrap;
        this.records = records;
    }

    public static void main(String[] args) throws Exception {
        try (PrintWriter records = Json.create(args[1]); PrintWriter offsets = Json.create(args[2])) {
            Produce produce = new Produce(args[0], records);
            produce.createTopics();
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                produce.codec(codec);
            }
            produce.withoutIdempotence();
            produce.logAppendTime();
            produce.transactions();
            produce.compacted();
            produce.keyedTransactions();
            produce.commitOffsets(offsets);
        }
        try (PrintWriter trimmed = Json.create(args[4])) {
            new Produce(args[0], trimmed).trimmed();
        }
        try (PrintWriter groups = Json.create(args[3]); PrintWriter none = new PrintWriter(Writer.nullWriter())) {
            Groups.print(args[0], groups, none);
        }
        // Two consumers are still members, and end with this process.
        System.exit(0);
    }

    private void createTopics() throws Exception {
        // The smallest segments Kafka allows, so that there are several; and nothing may expire: the timestamps are old.
        Map<String, String> small = Map.of("segment.bytes", "1048576", "retention.ms", "-1");
        Map<String, String> compacted = Map.of("segment.bytes", "1048576", "cleanup.policy", "compact",
            "min.cleanable.dirty.ratio", "0.01");
        Map<String, String> appendTime = Map.of("message.timestamp.type", "LogAppendTime");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(
                new NewTopic("kafka-codecs", 3, (short) 1).configs(small),
                new NewTopic("kafka-append-time", 1, (short) 1).configs(appendTime),
                new NewTopic("kafka-compacted", 1, (short) 1).configs(compacted),
                new NewTopic("kafka-transactions", 2, (short) 1).configs(small),
                new NewTopic("kafka-transactions-to-compact", 1, (short) 1).configs(small),
                new NewTopic("trimmed-by-kafka", 1, (short) 1).configs(small))).all().get();
        }
    }

    /** Every shape of record, through one codec, over all partitions. */
    private void codec(String codec) throws Exception {
        try (Sender sender = new Sender(codec, Map.of("linger.ms", "20"))) {
            for (int i = 0; i < RECORDS_PER_CODEC; i++) {
                sender.send(shaped("kafka-codecs", i % 3, i), false);
            }
        }
    }

    /** No producer id, and batches of one record: the other extreme of the format. */
    private void withoutIdempotence() throws Exception {
        try (Sender sender = new Sender("none", Map.of("enable.idempotence", "false", "batch.size", "0"))) {
            for (int i = 0; i < 500; i++) {
                sender.send(shaped("kafka-codecs", i % 3, i), false);
            }
        }
    }

    private void logAppendTime() throws Exception {
        try (Sender sender = new Sender("lz4", Map.of("linger.ms", "5"))) {
            for (int i = 0; i < 1_000; i++) {
                sender.send(shaped("kafka-append-time", 0, i), false);
                if (i % 100 == 99) {
                    sender.flush();
                }
            }
        }
    }

    /** Few keys, several segments; every ninth record deletes its key. */
    private void compacted() throws Exception {
        try (Sender sender = new Sender("zstd", Map.of("linger.ms", "20"))) {
            for (int i = 0; i < 10_000; i++) {
                byte[] key = ("key-" + random.nextInt(i < 5_000 ? 500 : 300)).getBytes(StandardCharsets.UTF_8);
                byte[] value = i % 9 == 0 ? null : bytes(300);
                sender.send(new ProducerRecord<>("kafka-compacted", 0, FIRST_TIMESTAMP + i, key, value, headers(i)), false);
            }
        }
    }

    /** Committed and aborted transactions of two producers that overlap in both partitions, with plain records between. */
    private void transactions() throws Exception {
        try (Sender first = new Sender("zstd", Map.of("transactional.id", "first"));
             Sender second = new Sender("none", Map.of("transactional.id", "second"));
             Sender plain = new Sender("none", Map.of())) {
            first.producer.initTransactions();
            second.producer.initTransactions();
            for (int round = 0; round < 12; round++) {
                boolean firstAborts = round % 3 == 0;
                boolean secondAborts = round % 4 == 1;
                first.producer.beginTransaction();
                second.producer.beginTransaction();
                for (int i = 0; i < 20; i++) {
                    first.send(shaped("kafka-transactions", i % 2, i), firstAborts);
                    second.send(shaped("kafka-transactions", i % 2, i), secondAborts);
                    plain.send(shaped("kafka-transactions", i % 2, i), false);
                    // Flushing now and then interleaves the three producers' batches.
                    if (i % 7 == 6) {
                        first.flush();
                        second.flush();
                        plain.flush();
                    }
                }
                first.end(firstAborts);
                second.end(secondAborts);
            }
        }
    }

    /**
     * Few keys, so that compaction leaves some transactions without a record. Every third is aborted, the one that wrote
     * some keys last among them.
     */
    private void keyedTransactions() throws Exception {
        String topic = "kafka-transactions-to-compact";
        try (Sender first = new Sender("zstd", Map.of("transactional.id", "keyed-first"));
             Sender second = new Sender("lz4", Map.of("transactional.id", "keyed-second"))) {
            first.producer.initTransactions();
            second.producer.initTransactions();
            for (int round = 0; round < 25; round++) {
                boolean aborts = round % 3 == 0;
                first.producer.beginTransaction();
                second.producer.beginTransaction();
                for (int i = 0; i < 60; i++) {
                    byte[] key = ("key-" + (round < 10 ? round * 60 + i : random.nextInt(600))).getBytes(StandardCharsets.UTF_8);
                    byte[] value = i % 9 == 0 ? null : bytes(700);
                    Sender sender = i % 2 == 0 ? first : second;
                    sender.send(new ProducerRecord<>(topic, 0, FIRST_TIMESTAMP + i, key, value, headers(i)),
                        i % 2 == 0 ? aborts : round % 4 == 1);
                    if (i % 20 == 19) {
                        first.flush();
                        second.flush();
                    }
                }
                first.end(aborts);
                second.end(round % 4 == 1);
            }
        }
    }

    /** Its beginning is deleted on request, up to the inside of the second segment. Only what is left is written down. */
    private void trimmed() throws Exception {
        TopicPartition tp = new TopicPartition("trimmed-by-kafka", 0);
        long start = 1_300;
        try (Sender sender = new Sender("none", Map.of("linger.ms", "5"))) {
            for (int i = 0; i < 2_500; i++) {
                sender.send(new ProducerRecord<>(tp.topic(), 0, FIRST_TIMESTAMP + i, null, bytes(1_000), headers(i)), false);
            }
            sender.flush();
            sender.sent.subList(0, (int) start).clear();
        }
        try (Admin admin = Groups.admin(bootstrap)) {
            admin.deleteRecords(Map.of(tp, RecordsToDelete.beforeOffset(start))).all().get();
        }
    }

    private ProducerRecord<byte[], byte[]> shaped(String topic, int partition, int i) {
        byte[] key = switch (i % 11) {
            case 0 -> null;
            case 1 -> new byte[0];
            case 2 -> bytes(1 + random.nextInt(40));
            default -> ("key-" + random.nextInt(1_000)).getBytes(StandardCharsets.UTF_8);
        };
        byte[] value = switch (i % 13) {
            case 0 -> null;
            case 1 -> new byte[0];
            case 2 -> bytes(1 + random.nextInt(2_000));
            case 3 -> ("grün – 緑 – 🟢 " + i).getBytes(StandardCharsets.UTF_8);
            case 4 -> "line one\nline two\r\n\0".getBytes(StandardCharsets.UTF_8);
            default -> ("value " + i + " " + "lorem ipsum ".repeat(random.nextInt(30))).getBytes(StandardCharsets.UTF_8);
        };
        if (i % 2_500 == 2_499) {
            value = bytes(200_000);    // larger than batch.size: a batch of its own
        }
        // Mostly rising, with steps back and with large jumps: deltas of both signs.
        long timestamp = FIRST_TIMESTAMP + i * 10L - (i % 17 == 5 ? 86_400_000L : 0) + (i % 101 == 7 ? 3_600_000L : 0);
        return new ProducerRecord<>(topic, partition, timestamp, key, value, headers(i));
    }

    private List<Header> headers(int i) {
        List<Header> headers = new ArrayList<>();
        if (i % 5 == 0) {
            headers.add(new RecordHeader("source", "web".getBytes(StandardCharsets.UTF_8)));
        }
        if (i % 7 == 0) {
            headers.add(new RecordHeader("null-value", (byte[]) null));
            headers.add(new RecordHeader("empty-value", new byte[0]));
        }
        if (i % 10 == 0) {
            headers.add(new RecordHeader("source", bytes(8)));    // the same key once more, and bytes that are not text
            headers.add(new RecordHeader("größe-大きさ", "ja".getBytes(StandardCharsets.UTF_8)));
        }
        if (i % 35 == 0) {
            headers.add(new RecordHeader("", "empty key".getBytes(StandardCharsets.UTF_8)));
        }
        return headers;
    }

    private byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }

    /**
     * Offsets of groups that only commit, of the classic rebalance protocol and of the newer consumer protocol, as each
     * leaves other records in __consumer_offsets. All but the live ones are left by their members.
     */
    private void commitOffsets(PrintWriter offsets) throws Exception {
        Groups.print(offsets, "kafka-group-simple", commit("kafka-group-simple", null, false));
        for (String protocol : List.of("classic", "consumer")) {
            String group = "kafka-group-" + protocol;
            Groups.print(offsets, group, commit(group, protocol, false));
            Groups.awaitEmpty(bootstrap, group);
            group += "-live";
            Groups.print(offsets, group, commit(group, protocol, true));
        }
        administer(offsets);
        commitInTransactions(offsets);
    }

    /** What administrators do to groups: they delete them, or some of their offsets, or move them. */
    private void administer(PrintWriter offsets) throws Exception {
        TopicPartition first = PARTITIONS.get(0);
        try (Admin admin = Groups.admin(bootstrap)) {
            for (String group : List.of("kafka-group-deleted", "kafka-group-trimmed", "kafka-group-reset")) {
                var committed = commit(group, "classic", false);
                Groups.awaitEmpty(bootstrap, group);
                switch (group) {
                    case "kafka-group-deleted" -> {
                        admin.deleteConsumerGroups(List.of(group)).all().get();
                        committed.clear();
                    }
                    case "kafka-group-trimmed" -> {
                        admin.deleteConsumerGroupOffsets(group, Set.of(first)).all().get();
                        committed.remove(first);
                    }
                    default -> {
                        Map<TopicPartition, OffsetAndMetadata> moved = Map.of(first, new OffsetAndMetadata(7, "moved"));
                        admin.alterConsumerGroupOffsets(group, moved).all().get();
                        committed.putAll(moved);
                    }
                }
                Groups.print(offsets, group, committed);
            }
        }
    }

    /** Of four transactions the first and the third count; the fourth commits for a partition that nobody else does. */
    private void commitInTransactions(PrintWriter offsets) throws Exception {
        String group = "kafka-group-transactional";
        try (Sender sender = new Sender("none", Map.of("transactional.id", "offsets"));
             var consumer = Groups.consumer(bootstrap, group, Map.of())) {
            var producer = sender.producer;
            producer.initTransactions();
            Map<TopicPartition, OffsetAndMetadata> counts = new HashMap<>();
            for (int round = 0; round < 4; round++) {
                boolean aborts = round % 2 == 1;
                TopicPartition tp = PARTITIONS.get(round == 3 ? 1 : 0);
                Map<TopicPartition, OffsetAndMetadata> offset = Map.of(tp, new OffsetAndMetadata(40 + round, "transaction " + round));
                producer.beginTransaction();
                producer.sendOffsetsToTransaction(offset, consumer.groupMetadata());
                sender.end(aborts);
                if (!aborts) {
                    counts.putAll(offset);
                }
            }
            Groups.print(offsets, group, counts);
        }
    }

    private static final List<TopicPartition> PARTITIONS = List.of(new TopicPartition("kafka-codecs", 0),
        new TopicPartition("kafka-codecs", 1), new TopicPartition("kafka-codecs", 2));

    /** Returns what is committed in the end. One that stays is a member until the process ends. */
    private Map<TopicPartition, OffsetAndMetadata> commit(String group, String protocol, boolean stays) throws Exception {
        Map<String, String> config = new HashMap<>(Map.of("auto.offset.reset", "earliest"));
        if (protocol != null) {
            config.put("group.protocol", protocol);
        }
        var consumer = Groups.consumer(bootstrap, group, config);
        if (protocol == null) {
            consumer.assign(PARTITIONS);
        } else {
            consumer.subscribe(List.of("kafka-codecs"));
            Groups.await(group + " joins", () -> {
                consumer.poll(Duration.ZERO);
                return consumer.assignment().size() == PARTITIONS.size();
            });
        }
        Map<TopicPartition, OffsetAndMetadata> last = new HashMap<>();
        for (int round = 1; round <= 3; round++) {    // overwritten twice: the last one counts
            for (TopicPartition tp : PARTITIONS) {
                String metadata = tp.partition() == 1 ? "" : "round " + round;
                last.put(tp, new OffsetAndMetadata(round * 100L + tp.partition(), metadata));
            }
            consumer.commitSync(last);
        }
        if (!stays) {
            consumer.close();
        }
        return last;
    }

    /** A producer that writes down each record with the offset the broker acknowledged. */
    private final class Sender implements AutoCloseable {
        private final KafkaProducer<byte[], byte[]> producer;
        private final String codec;
        private final List<Sent> sent = new ArrayList<>();

        Sender(String codec, Map<String, String> extra) {
            this.codec = codec;
            Properties config = new Properties();
            config.putAll(Map.of("bootstrap.servers", bootstrap, "compression.type", codec, "acks", "all"));
            config.putAll(extra);
            producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
        }

        void send(ProducerRecord<byte[], byte[]> record, boolean aborted) {
            sent.add(new Sent(record, producer.send(record), aborted));
        }

        void flush() {
            producer.flush();
        }

        void end(boolean abort) {
            producer.flush();
            if (abort) {
                producer.abortTransaction();
            } else {
                producer.commitTransaction();
            }
        }

        @Override
        public void close() throws Exception {
            producer.flush();
            for (Sent one : sent) {
                RecordMetadata at = one.acknowledged.get();
                ProducerRecord<byte[], byte[]> record = one.record;
                // The acknowledged timestamp: for LogAppendTime it is not the one that was sent.
                Json.print(records, Json.record(at.topic(), at.partition(), at.offset(), at.timestamp(),
                    record.key(), record.value(), record.headers()).put("codec", codec).put("aborted", one.aborted));
            }
            producer.close();
        }
    }

    private record Sent(ProducerRecord<byte[], byte[]> record, Future<RecordMetadata> acknowledged, boolean aborted) { }
}
