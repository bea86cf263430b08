import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.Future;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Fills a real broker with a deterministic data set, and writes down what the broker acknowledged:
 * {@code Produce <bootstrap> <records.jsonl> <offsets.jsonl>}.
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
            produce.commitOffsets(offsets);
        }
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
                new NewTopic("kafka-transactions", 2, (short) 1).configs(small))).all().get();
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
     * Offsets of three groups: one that only commits, one of the classic rebalance protocol and one of the newer
     * consumer protocol, as each leaves other records in __consumer_offsets.
     */
    private void commitOffsets(PrintWriter offsets) {
        commit(offsets, "kafka-group-simple", null);
        commit(offsets, "kafka-group-classic", "classic");
        commit(offsets, "kafka-group-consumer", "consumer");
    }

    private void commit(PrintWriter offsets, String group, String protocol) {
        Properties config = new Properties();
        config.putAll(Map.of("bootstrap.servers", bootstrap, "group.id", group, "enable.auto.commit", "false",
            "auto.offset.reset", "earliest"));
        if (protocol != null) {
            config.put("group.protocol", protocol);
        }
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            Collection<TopicPartition> partitions = List.of(new TopicPartition("kafka-codecs", 0),
                new TopicPartition("kafka-codecs", 1), new TopicPartition("kafka-codecs", 2));
            if (protocol == null) {
                consumer.assign(partitions);
            } else {
                consumer.subscribe(List.of("kafka-codecs"));
                long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
                while (consumer.assignment().size() < partitions.size()) {
                    if (System.nanoTime() > deadline) {
                        throw new IllegalStateException(group + " was assigned " + consumer.assignment());
                    }
                    consumer.poll(Duration.ofMillis(100));
                }
            }
            Map<TopicPartition, OffsetAndMetadata> last = new HashMap<>();
            for (int round = 1; round <= 3; round++) {    // overwritten twice: the last one counts
                for (TopicPartition tp : partitions) {
                    String metadata = tp.partition() == 1 ? "" : "round " + round;
                    last.put(tp, new OffsetAndMetadata(round * 100L + tp.partition(), metadata));
                }
                consumer.commitSync(last);
            }
            last.forEach((tp, committed) -> Json.print(offsets,
                Json.committed(group, tp.topic(), tp.partition(), committed.offset(), committed.metadata())));
        }
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
