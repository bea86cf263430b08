import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

/**
 * Writes what Kafka's own assignors give for some hundred groups, one JSON object a line: {@code Assignors <file>}.
 * The same on every run.
 */
public final class Assignors {
    private record Member(String id, String instance, List<String> topics, List<TopicPartition> owned, int generation) {
        Member owning(List<TopicPartition> partitions, int since) {
            return new Member(id, instance, topics, partitions, since);
        }

        Member subscribing(List<String> others) {
            return new Member(id, instance, others, owned, generation);
        }
    }

    private static final Comparator<TopicPartition> BY_NAME =
        Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition);

    private final Random random = new Random(20_251);
    private final List<String> lines = new ArrayList<>();
    private int leftOut;

    private Assignors() { }

    public static void main(String[] args) throws IOException {
        // Conflicting claims are meant, and logged as errors.
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "off");
        Assignors assignors = new Assignors();
        assignors.examples();
        assignors.fresh();
        assignors.chains();
        assignors.claims();
        assignors.skewed();
        Files.writeString(Path.of(args[0]), "[\n" + String.join(",\n", assignors.lines) + "\n]\n");
        System.err.printf("%d cases; left out, because Kafka failed or its result is no assignment: %d%n",
            assignors.lines.size(), assignors.leftOut);
    }

    // --- Groups ---

    private void examples() {
        Map<String, Integer> two = new TreeMap<>(Map.of("A", 3, "B", 3));
        List<Member> members = newMembers(List.of("A", "B"), "m1", "m2");
        Map<String, List<TopicPartition>> first = add("example", two, members).get("sticky");
        members = owning(members, first, 1);
        members.addAll(newMembers(List.of("A", "B"), "m3"));
        Map<String, List<TopicPartition>> second = add("example, m3 joins", two, members).get("cooperative-sticky");
        add("example, second round", two, owning(members, second, 2));

        Map<String, Integer> one = new TreeMap<>(Map.of("T", 4));
        members = newMembers(List.of("T"), "m1", "m2", "m3");
        members = owning(members, add("leaving", one, members).get("sticky"), 1);
        add("leaving, m1 left", one, members.subList(1, 3));

        // The example of Kafka's documentation for unequal subscriptions.
        Map<String, Integer> three = new TreeMap<>(Map.of("t0", 1, "t1", 2, "t2", 3));
        members = new ArrayList<>(newMembers(List.of("t0"), "C0"));
        members.addAll(newMembers(List.of("t0", "t1"), "C1"));
        members.addAll(newMembers(List.of("t0", "t1", "t2"), "C2"));
        members = owning(members, add("unequal", three, members).get("sticky"), 1);
        add("unequal, C0 left", three, members.subList(1, 3));

        // With a claim that is not subscribed to any more, what was just given out is not the first to move.
        Map<String, Integer> small = new TreeMap<>(Map.of("o", 2, "q", 2, "u", 2));
        List<TopicPartition> claims = List.of(new TopicPartition("q", 0), new TopicPartition("o", 0));
        members = newMembers(List.of("o", "q", "u"), "ckwd6");
        members.addAll(owning(newMembers(List.of("q", "u"), "cjwor"), Map.of("cjwor", claims), 0));
        members.addAll(owning(newMembers(List.of("q"), "cbt6w"), Map.of(), 2));
        members.addAll(owning(newMembers(List.of("u", "q"), "c82e5"), Map.of(), 1));
        members.addAll(owning(newMembers(List.of("u", "o"), "cu5uq"), Map.of("cu5uq", claims), -1));
        add("changed their minds", small, members);

        // Equal hash codes: Kafka's maps keep such keys in the order in which they came.
        members = newMembers(List.of("A", "B"), "AaAa", "AaBB", "BBAa", "BBBB", "\u00e9\ud83d\ude00", "\u00e9\uffee");
        add("equal hash codes", two, members);
        Map<String, List<TopicPartition>> greedy = new HashMap<>();
        greedy.put("AaAa", partitions("A", 0, 1));
        greedy.put("AaBB", partitions("B", 0, 1));
        greedy.put("BBBB", List.of(new TopicPartition("A", 2), new TopicPartition("B", 2)));
        add("equal hash codes, two each", two, owning(members.subList(0, 4), greedy, 1));

        add("nothing exists", new TreeMap<>(), newMembers(List.of("A"), "m1", "m2"));
        add("less partitions than members", new TreeMap<>(Map.of("A", 1)), newMembers(List.of("A"), "m3", "m2", "m1"));
    }

    private void fresh() {
        for (int i = 0; i < 40; i++) {
            Map<String, Integer> topics = randomTopics(4, 9);
            add("equal " + i, topics, randomMembers(topics, 1 + random.nextInt(7), true));
        }
        for (int i = 0; i < 60; i++) {
            Map<String, Integer> topics = randomTopics(5, 7);
            add("unequal " + i, topics, randomMembers(topics, 2 + random.nextInt(6), false));
        }
        for (int members : new int[] {12, 13, 25, 30}) {
            Map<String, Integer> topics = randomTopics(3, 16);
            add("many members " + members, topics, randomMembers(topics, members, members % 2 == 0));
        }
    }

    /** Members join, leave and change their minds, topics grow and go; what was assigned is owned in the next step. */
    private void chains() {
        for (int chain = 0; chain < 36; chain++) {
            boolean equal = chain % 3 == 0;
            String follow = chain % 2 == 0 ? "sticky" : "cooperative-sticky";
            Map<String, Integer> topics = chain % 9 == 1 ? randomTopics(3, 40) : randomTopics(4, 7);
            List<Member> members = randomMembers(topics, 2 + random.nextInt(4), equal);
            for (int step = 0; step < 7; step++) {
                String name = "chain " + chain + ", step " + step;
                Map<String, Map<String, List<TopicPartition>>> results = add(name, topics, members);
                if (results == null)
                    break;
                members = owning(members, results.get(follow), step + 1);
                change(topics, members, equal);
            }
        }
    }

    private void change(Map<String, Integer> topics, List<Member> members, boolean equal) {
        switch (random.nextInt(equal ? 5 : 6)) {
            case 0, 1 -> {
                Member newcomer = randomMembers(topics, 1, equal).get(0);
                members.add(equal ? newcomer.subscribing(members.get(0).topics) : newcomer);
            }
            case 2 -> {
                if (members.size() > 1)
                    members.remove(random.nextInt(members.size()));
            }
            case 3 -> {
                String topic = pick(topics.keySet());
                topics.put(topic, topics.get(topic) + 1 + random.nextInt(3));
            }
            case 4 -> {
                // A topic goes, and a member misses the news: its claims are of an earlier generation.
                if (topics.size() > 1 && random.nextBoolean())
                    topics.remove(pick(topics.keySet()));
                int late = random.nextInt(members.size());
                Member member = members.get(late);
                List<TopicPartition> more = new ArrayList<>(member.owned);
                more.addAll(randomClaims(topics, 3));
                members.set(late, member.owning(distinct(more), member.generation - 1));
            }
            default -> {
                int index = random.nextInt(members.size());
                members.set(index, members.get(index).subscribing(randomTopicsOf(topics)));
            }
        }
    }

    /** Members that claim the same partitions, of equal and different generations, and what does not exist. */
    private void claims() {
        for (int i = 0; i < 110; i++) {
            boolean equal = i % 2 == 0;
            Map<String, Integer> topics = i % 20 == 1 ? randomTopics(2, 30) : randomTopics(4, 6);
            int most = 2 + random.nextInt(topics.values().stream().mapToInt(Integer::intValue).sum());
            List<Member> members = new ArrayList<>();
            for (Member member : randomMembers(topics, 2 + random.nextInt(5), equal)) {
                List<TopicPartition> claims = randomClaims(topics, most);
                if (random.nextInt(4) == 0)
                    claims.addAll(partitions("gone", 0, 1));
                members.add(member.owning(distinct(claims), random.nextInt(4) - 1));
            }
            add("claims " + i, topics, members);
        }
    }

    /** Members of a chain of topics, where few own nearly everything: what moves along the chain may move back. */
    private void skewed() {
        for (int i = 0; i < 70; i++) {
            Map<String, Integer> topics = randomTopics(8, 10);
            List<Member> members = randomMembers(topics, 4 + random.nextInt(4), false);
            boolean changedTheirMinds = i % 3 == 0;
            Map<String, List<TopicPartition>> owned = new HashMap<>();
            topics.forEach((topic, count) -> {
                List<Member> subscribers = members.stream().filter(member -> member.topics.contains(topic)).toList();
                for (int number = 0; number < count && !subscribers.isEmpty(); number++) {
                    Member owner = subscribers.get(random.nextInt(5) == 0 ? random.nextInt(subscribers.size()) : 0);
                    if (changedTheirMinds && random.nextInt(6) == 0)
                        owner = members.get(random.nextInt(members.size()));    // who may not subscribe to it now
                    owned.computeIfAbsent(owner.id, id -> new ArrayList<>()).add(new TopicPartition(topic, number));
                }
            });
            add("skewed " + i, topics, owning(members, owned, 1));
        }
    }

    // --- Random parts ---

    private Map<String, Integer> randomTopics(int most, int partitions) {
        Map<String, Integer> topics = new TreeMap<>();
        int count = 1 + random.nextInt(most);
        for (int i = 0; i < count; i++)
            topics.put(String.valueOf((char) ('a' + random.nextInt(26))), 1 + random.nextInt(partitions));
        return topics;
    }

    private List<Member> randomMembers(Map<String, Integer> topics, int count, boolean equal) {
        List<String> shared = random.nextInt(4) == 0 ? randomTopicsOf(topics) : new ArrayList<>(topics.keySet());
        if (random.nextInt(8) == 0)
            shared.add("nowhere");
        boolean isStatic = random.nextInt(4) == 0;
        List<Member> members = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String id = "c" + Integer.toString(random.nextInt(36 * 36 * 36 * 36), 36);
            String instance = isStatic && random.nextInt(3) > 0 ? "i" + Integer.toString(random.nextInt(1_000_000), 36) : null;
            List<String> subscribed = equal ? new ArrayList<>(shared) : randomTopicsOf(topics);
            Collections.shuffle(subscribed, random);
            members.add(new Member(id, instance, subscribed, List.of(), -1));
        }
        return members;
    }

    /** At least one. */
    private List<String> randomTopicsOf(Map<String, Integer> topics) {
        List<String> some = new ArrayList<>();
        for (String topic : topics.keySet())
            if (random.nextInt(5) < 3)
                some.add(topic);
        return some.isEmpty() ? new ArrayList<>(List.of(pick(topics.keySet()))) : some;
    }

    private List<TopicPartition> randomClaims(Map<String, Integer> topics, int most) {
        List<TopicPartition> claims = new ArrayList<>();
        for (int count = random.nextInt(most + 1); count > 0; count--) {
            String topic = pick(topics.keySet());
            claims.add(new TopicPartition(topic, random.nextInt(topics.get(topic))));
        }
        return claims;
    }

    private String pick(Collection<String> names) {
        return new ArrayList<>(names).get(random.nextInt(names.size()));
    }

    private static List<Member> newMembers(List<String> topics, String... ids) {
        return Arrays.stream(ids)
            .map(id -> new Member(id, null, topics, List.of(), -1))
            .collect(Collectors.toCollection(ArrayList::new));
    }

    private static List<Member> owning(List<Member> members, Map<String, List<TopicPartition>> owned, int generation) {
        return members.stream()
            .map(member -> member.owning(owned.getOrDefault(member.id, List.of()), generation))
            .collect(Collectors.toCollection(ArrayList::new));
    }

    private static List<TopicPartition> partitions(String topic, int... numbers) {
        return Arrays.stream(numbers)
            .mapToObj(number -> new TopicPartition(topic, number))
            .collect(Collectors.toCollection(ArrayList::new));
    }

    private static List<TopicPartition> distinct(List<TopicPartition> partitions) {
        return new ArrayList<>(new LinkedHashSet<>(partitions));
    }

    // --- Results ---

    /** Adds a case. Returns the results by assignor, or null if Kafka failed or gave something that is no assignment. */
    private Map<String, Map<String, List<TopicPartition>>> add(String name, Map<String, Integer> topics, List<Member> members) {
        Map<String, Map<String, List<TopicPartition>>> results = new TreeMap<>();
        // New ones for each case: the sticky ones remember the highest generation they saw.
        List<ConsumerPartitionAssignor> assignors = List.of(
            new RangeAssignor(), new RoundRobinAssignor(), new StickyAssignor(), new CooperativeStickyAssignor());
        for (ConsumerPartitionAssignor assignor : assignors) {
            Map<String, List<TopicPartition>> result = assign(assignor, topics, members);
            if (result == null || !isAssignment(result, topics, members, assignor instanceof CooperativeStickyAssignor)) {
                leftOut++;
                return null;
            }
            results.put(assignor.name(), result);
        }
        lines.add(json(name, topics, members, results));
        return results;
    }

    /**
     * Null if it fails: the sticky ones may, when the former owner of a partition does not subscribe to it any more,
     * and has nothing else that could move.
     */
    private static Map<String, List<TopicPartition>> assign(
            ConsumerPartitionAssignor assignor, Map<String, Integer> topics, List<Member> members) {
        List<PartitionInfo> partitions = new ArrayList<>();
        topics.forEach((topic, count) -> {
            for (int number = 0; number < count; number++)
                partitions.add(new PartitionInfo(topic, number, Node.noNode(), new Node[0], new Node[0]));
        });
        Cluster cluster = new Cluster("cluster", List.of(), partitions, Set.of(), Set.of());
        // The kind of map in which a consumer that leads its group has the subscriptions; filled by id.
        Map<String, Subscription> subscriptions = new HashMap<>();
        members.stream()
            .sorted(Comparator.comparing(Member::id))
            .forEach(member -> subscriptions.put(member.id, subscription(assignor, member)));
        Map<String, Assignment> assigned;
        try {
            assigned = assignor.assign(cluster, new GroupSubscription(subscriptions)).groupAssignment();
        } catch (NullPointerException e) {
            return null;
        }
        Map<String, List<TopicPartition>> result = new TreeMap<>();
        assigned.forEach((id, assignment) -> {
            List<TopicPartition> sorted = new ArrayList<>(assignment.partitions());
            sorted.sort(BY_NAME);
            result.put(id, sorted);
        });
        return result;
    }

    private static Subscription subscription(ConsumerPartitionAssignor assignor, Member member) {
        boolean isEager = assignor instanceof StickyAssignor;
        List<TopicPartition> owned = isEager ? List.of() : member.owned;
        ByteBuffer memory = isEager ? memory(member) : null;
        Subscription subscription = new Subscription(member.topics, memory, owned, member.generation, Optional.empty());
        subscription.setGroupInstanceId(Optional.ofNullable(member.instance));
        return subscription;
    }

    /** What the eager sticky assignor of the member would send along. */
    @SuppressWarnings("removal")    // of the constructor: the class is to become an interface
    private static ByteBuffer memory(Member member) {
        StickyAssignor own = new StickyAssignor();
        own.onAssignment(new Assignment(member.owned),
            new ConsumerGroupMetadata("group", member.generation, member.id, Optional.ofNullable(member.instance)));
        return own.subscriptionUserData(new HashSet<>(member.topics));
    }

    /** Every partition once (at most once while some change hands), and only to subscribers. */
    private static boolean isAssignment(Map<String, List<TopicPartition>> result, Map<String, Integer> topics,
            List<Member> members, boolean mayLeaveOut) {
        Set<TopicPartition> given = new HashSet<>();
        Set<String> subscribed = new HashSet<>();
        for (Member member : members) {
            subscribed.addAll(member.topics);
            for (TopicPartition partition : result.get(member.id))
                if (!given.add(partition) || !member.topics.contains(partition.topic()))
                    return false;
        }
        int expected = topics.entrySet().stream()
            .filter(entry -> subscribed.contains(entry.getKey()))
            .mapToInt(Map.Entry::getValue)
            .sum();
        return mayLeaveOut || given.size() == expected;
    }

    // --- JSON; no name needs an escape ---

    private static String json(String name, Map<String, Integer> topics, List<Member> members,
            Map<String, Map<String, List<TopicPartition>>> results) {
        String counts = topics.entrySet().stream()
            .map(entry -> quoted(entry.getKey()) + ":" + entry.getValue())
            .collect(Collectors.joining(",", "{", "}"));
        String all = members.stream().map(Assignors::json).collect(Collectors.joining(",", "[", "]"));
        String assigned = results.entrySet().stream()
            .map(entry -> quoted(entry.getKey()) + ":" + entry.getValue().entrySet().stream()
                .map(of -> quoted(of.getKey()) + ":" + json(of.getValue()))
                .collect(Collectors.joining(",", "{", "}")))
            .collect(Collectors.joining(","));
        return "{\"name\":" + quoted(name) + ",\"partitions\":" + counts + ",\"members\":" + all + "," + assigned + "}";
    }

    private static String json(Member member) {
        return "{\"id\":" + quoted(member.id)
            + (member.instance == null ? "" : ",\"instance\":" + quoted(member.instance))
            + ",\"topics\":" + member.topics.stream().map(Assignors::quoted).collect(Collectors.joining(",", "[", "]"))
            + (member.owned.isEmpty() ? "" : ",\"owned\":" + json(member.owned))
            + (member.generation < 0 ? "" : ",\"generation\":" + member.generation)
            + "}";
    }

    private static String json(List<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::toString).map(Assignors::quoted).collect(Collectors.joining(",", "[", "]"));
    }

    private static String quoted(String text) {
        return '"' + text + '"';
    }
}
