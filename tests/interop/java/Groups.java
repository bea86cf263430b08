import java.io.PrintWriter;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Consumer groups, as the admin client sees them and as a member does. */
final class Groups {
    private Groups() { }

    /** Every group that the broker lists, and everything they committed. */
    static void print(String bootstrap, PrintWriter groups, PrintWriter offsets) throws Exception {
        try (Admin admin = admin(bootstrap)) {
            for (GroupListing listing : admin.listGroups().all().get()) {
                String group = listing.groupId();
                var description = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                GroupState listed = listing.groupState().orElse(GroupState.UNKNOWN);
                if (listed != description.groupState()) {
                    throw new IllegalStateException(group + " is listed as " + listed + " and described as " + description);
                }
                Json.print(groups, Json.group(group, listed.toString(), listing.protocol(),
                    listing.type().orElseThrow().toString(), description.members().size()));
                committed(admin, group).forEach((tp, committed) -> Json.print(offsets,
                    Json.committed(group, tp.topic(), tp.partition(), committed.offset(), committed.metadata())));
            }
        }
    }

    /**
     * Joins a group that exists, with either rebalance protocol, and holds it to what is stored of it: reading goes on
     * at the committed offsets. Commits one more for each partition, leaves, and says in which generation it was.
     */
    static void goOn(String bootstrap, String group, String protocol, PrintWriter joined, PrintWriter offsets) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> before;
        try (Admin admin = admin(bootstrap)) {
            before = committed(admin, group);
        }
        Set<String> topics = before.keySet().stream().map(TopicPartition::topic).collect(Collectors.toSet());
        try (var consumer = consumer(bootstrap, group, Map.of("group.protocol", protocol, "auto.offset.reset", "none"))) {
            consumer.subscribe(topics, pausing(consumer));
            await(group + " joins", () -> {
                consumer.poll(Duration.ZERO);
                return !consumer.assignment().isEmpty();
            });
            Map<TopicPartition, OffsetAndMetadata> after = new HashMap<>();
            before.forEach((tp, committed) -> {
                if (consumer.position(tp) != committed.offset()) {
                    throw new IllegalStateException(group + " starts at " + consumer.position(tp) + " in " + tp + ", not " + committed);
                }
                after.put(tp, new OffsetAndMetadata(committed.offset() + 1, "after " + protocol));
            });
            consumer.commitSync(after);
            Json.print(joined, Json.joined(group, protocol, consumer.groupMetadata().generationId()));
            print(offsets, group, after);
        }
        awaitEmpty(bootstrap, group);
    }

    /** Keeps positions where they begin. */
    private static ConsumerRebalanceListener pausing(KafkaConsumer<?, ?> consumer) {
        return new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                consumer.pause(partitions);
            }

            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) { }
        };
    }

    static void print(PrintWriter offsets, String group, Map<TopicPartition, OffsetAndMetadata> committed) {
        committed.forEach((tp, at) -> Json.print(offsets, Json.committed(group, tp.topic(), tp.partition(), at.offset(), at.metadata())));
    }

    static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String group, Map<String, String> extra) {
        Properties config = new Properties();
        config.putAll(Map.of("bootstrap.servers", bootstrap, "group.id", group, "enable.auto.commit", "false"));
        config.putAll(extra);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Leaving takes its time with the newer protocol. */
    static void awaitEmpty(String bootstrap, String group) throws Exception {
        try (Admin admin = admin(bootstrap)) {
            await(group + " is left", () -> {
                try {
                    return admin.describeConsumerGroups(List.of(group)).all().get().get(group).groupState() == GroupState.EMPTY;
                } catch (InterruptedException | ExecutionException e) {
                    throw new IllegalStateException(e);
                }
            });
        }
    }

    static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("not within 30 s: " + what);
            }
            Thread.sleep(50);
        }
    }

    static Admin admin(String bootstrap) {
        return Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    private static Map<TopicPartition, OffsetAndMetadata> committed(Admin admin, String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }
}
