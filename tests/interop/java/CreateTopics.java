import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;

/** Creates empty topics whose partition directories will be filled by hand: {@code CreateTopics <bootstrap> <topic>:<partitions>...}. */
public final class CreateTopics {
    private CreateTopics() { }

    public static void main(String[] args) throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (String arg : List.of(args).subList(1, args.length)) {
            int colon = arg.lastIndexOf(':');
            String name = arg.substring(0, colon);
            // No retention: the records have old timestamps, and must still be there when they are compared.
            // The coordinators' topics are compacted, as when the broker makes them itself.
            boolean compacted = name.startsWith("__") || name.contains("compacted");
            Map<String, String> config = compacted ? Map.of("cleanup.policy", "compact") : Map.of("retention.ms", "-1");
            if (compacted && !name.startsWith("__")) {
                // Not before Clean says so.
                config = Map.of("cleanup.policy", "compact", "min.compaction.lag.ms", Long.toString(Long.MAX_VALUE));
            }
            topics.add(new NewTopic(name, Integer.parseInt(arg.substring(colon + 1)), (short) 1).configs(config));
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            admin.createTopics(topics).all().get();
        }
    }
}
