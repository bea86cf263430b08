import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Has the broker compact topics with its own cleaner, up to their present end, and reads what is left:
 * {@code Clean <bootstrap> <name of the outputs> <topic,...> <cleaner-offset-checkpoint>}.
 */
public final class Clean {
    private Clean() { }

    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        List<String> topics = List.of(args[2].split(","));
        try (PrintWriter appended = Consume.out(args, "appended"); PrintWriter records = Consume.out(args, "read")) {
            List<TopicPartition> partitions = Consume.partitions(bootstrap, args[2].split(","));
            allow(bootstrap, topics);
            // The first one after a pause begins a segment, so that all before it can be compacted.
            Map<TopicPartition, Long> ends = append(bootstrap, partitions, appended);
            Path checkpoint = Path.of(args[3]);
            Groups.await("compaction up to " + ends, () -> ends.entrySet().stream().allMatch(end ->
                cleanUntil(checkpoint, end.getKey()) >= end.getValue()));
            Consume.read(bootstrap, partitions, records);
        }
    }

    /** However little is dirty: a few records are enough. */
    private static void allow(String bootstrap, List<String> topics) throws Exception {
        Map<ConfigResource, java.util.Collection<AlterConfigOp>> changes = new HashMap<>();
        for (String topic : topics) {
            List<AlterConfigOp> ops = new ArrayList<>();
            Map.of("segment.ms", "100", "min.cleanable.dirty.ratio", "0", "min.compaction.lag.ms", "0").forEach(
                (name, value) -> ops.add(new AlterConfigOp(new ConfigEntry(name, value), OpType.SET)));
            changes.put(new ConfigResource(ConfigResource.Type.TOPIC, topic), ops);
        }
        try (Admin admin = Groups.admin(bootstrap)) {
            admin.incrementalAlterConfigs(changes).all().get();
        }
    }

    /** Two records to each, both of which begin a segment; returns where the second ones are. */
    private static Map<TopicPartition, Long> append(String bootstrap, List<TopicPartition> partitions, PrintWriter out)
            throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("acks", "all");
        byte[] key = "cleaned".getBytes(StandardCharsets.UTF_8);
        Map<TopicPartition, Long> last = new HashMap<>();
        long now = System.currentTimeMillis();
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int i = 0; i < 2; i++) {
                for (TopicPartition tp : partitions) {
                    byte[] value = ("record " + i + " before the broker compacts").getBytes(StandardCharsets.UTF_8);
                    var record = new ProducerRecord<>(tp.topic(), tp.partition(), now + i * 60_000L, key, value);
                    RecordMetadata at = producer.send(record).get();
                    Json.print(out, Json.record(at.topic(), at.partition(), at.offset(), at.timestamp(),
                        key, value, record.headers()));
                    last.put(tp, at.offset());
                }
            }
        }
        return last;
    }

    private static long cleanUntil(Path checkpoint, TopicPartition tp) {
        String start = tp.topic() + " " + tp.partition() + " ";
        try {
            return Files.readAllLines(checkpoint).stream().filter(line -> line.startsWith(start))
                .mapToLong(line -> Long.parseLong(line.substring(start.length()))).findFirst().orElse(-1);
        } catch (IOException e) {
            return -1;    // it is being replaced
        }
    }
}
