import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Appends to every partition of the topics, reads them from their beginning to their end, and lists the groups and
 * their committed offsets: {@code Consume <bootstrap> <name of the outputs> <topic,...> [<group>:<rebalance protocol>...]}.
 * Then goes on with these groups. Each output's path begins with the name. Says where the partitions begin, too.
 *
 * <p>The appended records prove that the broker not only reads the partitions but goes on with them; what it
 * acknowledged goes to its own file. The same holds for the groups.
 */
public final class Consume {
    /**
     * Idempotent ones, whose ids a new cluster counts from 0. If the log's own producers had the same ids, the broker
     * would take these records for repetitions and drop them.
     */
    private static final int PRODUCERS = 4;
    private static final long TIMESTAMP = 1_750_000_000_000L;

    private Consume() { }

    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        try (PrintWriter records = out(args, "read"); PrintWriter appended = out(args, "appended");
             PrintWriter groups = out(args, "groups"); PrintWriter offsets = out(args, "offsets");
             PrintWriter starts = out(args, "starts")) {
            List<TopicPartition> partitions = partitions(bootstrap, args[2].split(","));
            append(bootstrap, partitions, appended);
            starts(bootstrap, partitions, starts);
            read(bootstrap, partitions, records);
            Groups.print(bootstrap, groups, offsets);
        }
        try (PrintWriter joined = out(args, "joined"); PrintWriter committed = out(args, "committed");
             PrintWriter groups = out(args, "left-groups"); PrintWriter offsets = out(args, "left-offsets")) {
            for (String arg : List.of(args).subList(3, args.length)) {
                int colon = arg.lastIndexOf(':');
                Groups.goOn(bootstrap, arg.substring(0, colon), arg.substring(colon + 1), joined, committed);
            }
            Groups.print(bootstrap, groups, offsets);
        }
    }

    static PrintWriter out(String[] args, String what) throws java.io.IOException {
        return Json.create(args[1] + "-" + what + ".jsonl");
    }

    static List<TopicPartition> partitions(String bootstrap, String[] topics) throws Exception {
        List<TopicPartition> partitions = new ArrayList<>();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.describeTopics(List.of(topics)).allTopicNames().get().forEach((name, topic) ->
                topic.partitions().forEach(p -> partitions.add(new TopicPartition(name, p.partition()))));
        }
        return partitions;
    }

    private static void append(String bootstrap, List<TopicPartition> partitions, PrintWriter out) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("acks", "all");
        byte[] key = "appended".getBytes(StandardCharsets.UTF_8);    // compacted topics insist on one
        for (int i = 0; i < PRODUCERS; i++) {
            byte[] value = ("appended by the broker's producer " + i).getBytes(StandardCharsets.UTF_8);
            try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
                for (TopicPartition tp : partitions) {
                    var record = new ProducerRecord<>(tp.topic(), tp.partition(), TIMESTAMP, key, value);
                    RecordMetadata at = producer.send(record).get();
                    Json.print(out, Json.record(at.topic(), at.partition(), at.offset(), at.timestamp(),
                        key, value, record.headers()));
                }
            }
        }
    }

    private static void starts(String bootstrap, List<TopicPartition> partitions, PrintWriter out) throws Exception {
        Map<TopicPartition, OffsetSpec> earliest = new HashMap<>();
        partitions.forEach(tp -> earliest.put(tp, OffsetSpec.earliest()));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.listOffsets(earliest).all().get().forEach((tp, at) ->
                Json.print(out, Json.start(tp.topic(), tp.partition(), at.offset())));
        }
    }

    static void read(String bootstrap, List<TopicPartition> partitions, PrintWriter out) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("isolation.level", "read_committed");
        config.put("max.poll.records", "5000");
        // Without a group id, and with "none": a hole at the start is an error, not a silent skip.
        config.put("auto.offset.reset", "none");
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            while (!ends.entrySet().stream().allMatch(end -> consumer.position(end.getKey()) >= end.getValue())) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("no end in sight: want " + ends);
                }
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
                    Json.print(out, Json.record(r.topic(), r.partition(), r.offset(), r.timestamp(),
                        r.key(), r.value(), r.headers()));
                }
            }
        }
    }
}
