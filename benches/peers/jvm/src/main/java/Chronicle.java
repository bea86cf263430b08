import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.ExcerptTailer;
import net.openhft.chronicle.wire.DocumentContext;

/**
 * Chronicle Queue in the workloads append, replay and tail. Prints the metrics of one measurement as a JSON object.
 *
 * <pre>
 *   Chronicle append|replay|tail DIRECTORY SIZE SEED SECONDS
 *   Chronicle values FILE SIZE SEED        writes values, one a line, for Kafka's tools
 * </pre>
 */
public final class Chronicle {
    private static final int VALUES = 1_000;
    private static final int RATE = 100_000;
    private static final int STAMP = 8;
    private static final int CACHE_LINE = 64;
    private static final long MAX_BYTES = 512L << 20;

    /** What a value is made of, so that the loops' results are used. */
    private static long seen;

    private final ChronicleQueue queue;
    private final byte[][] values;
    private final int size;
    private final long nanoseconds;
    private int next;

    private Chronicle(String[] arguments) {
        queue = ChronicleQueue.single(arguments[1]);
        size = Integer.parseInt(arguments[2]);
        values = values(size, Long.parseLong(arguments[3]));
        nanoseconds = (long) (Double.parseDouble(arguments[4]) * 1e9);
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("values")) {
            write(Path.of(arguments[1]), values(Integer.parseInt(arguments[2]), Long.parseLong(arguments[3])));
            return;
        }
        // The result line is ours alone: the library greets on standard output.
        PrintStream out = System.out;
        System.setOut(System.err);
        Chronicle peer = new Chronicle(arguments);
        String metrics = switch (arguments[0]) {
            case "append" -> peer.append();
            case "replay" -> peer.replay();
            case "tail" -> peer.tail();
            default -> throw new IllegalArgumentException(arguments[0]);
        };
        out.println(metrics);
        out.flush();
        peer.queue.close();
        if (seen == 42) {
            System.err.println();
        }
        System.exit(0);
    }

    private byte[] nextValue() {
        byte[] value = values[next];
        next = next + 1 == VALUES ? 0 : next + 1;
        return value;
    }

    private static void put(ExcerptAppender appender, byte[] value) {
        try (DocumentContext document = appender.writingDocument()) {
            document.wire().bytes().write(value);
        }
    }

    /** The compiler needs some ten thousand calls: those are not measured. */
    private ExcerptAppender warm() {
        ExcerptAppender appender = queue.createAppender();
        for (int i = 0; i < 200_000; i++) {
            put(appender, nextValue());
        }
        return appender;
    }

    private String append() {
        ExcerptAppender appender = warm();
        long limit = MAX_BYTES / size;
        long count = 0;
        long from = System.nanoTime();
        while (count < limit * 2 / 3 && System.nanoTime() - from < nanoseconds) {
            for (int i = 0; i < 32; i++, count++) {
                put(appender, nextValue());
            }
        }
        double rate = count * 1e9 / (System.nanoTime() - from);

        long[] latencies = new long[(int) (limit / 3)];
        int samples = 0;
        long start = System.nanoTime();
        while (samples < latencies.length) {
            byte[] value = nextValue();
            long before = System.nanoTime();
            put(appender, value);
            long after = System.nanoTime();
            latencies[samples++] = after - before;
            if (after - start > nanoseconds) {
                break;
            }
        }
        return "{\"rate\": " + rate + ", " + percentiles(Arrays.copyOf(latencies, samples)) + "}";
    }

    private String replay() {
        ExcerptAppender appender = warm();
        long records = MAX_BYTES / 2 / size;
        long written = 200_000;
        long until = System.nanoTime() + 4 * nanoseconds;
        for (; written < records && System.nanoTime() < until; written++) {
            put(appender, nextValue());
        }
        readAll();
        long from = System.nanoTime();
        long read = readAll();
        long took = System.nanoTime() - from;
        if (read != written) {
            throw new IllegalStateException("read " + read + " records, not " + written);
        }
        return "{\"rate\": " + read * 1e9 / took + "}";
    }

    private long readAll() {
        long count = 0;
        try (ExcerptTailer tailer = queue.createTailer()) {
            while (true) {
                try (DocumentContext document = tailer.readingDocument()) {
                    if (!document.isPresent()) {
                        return count;
                    }
                    Bytes<?> bytes = document.wire().bytes();
                    for (long at = bytes.readPosition(); at < bytes.readLimit(); at += CACHE_LINE) {
                        seen += bytes.readByte(at);
                    }
                    count++;
                }
            }
        }
    }

    /** Its tailers poll: there is no parked reader. */
    private String tail() throws Exception {
        int warmUp = RATE;
        int records = warmUp + (int) (RATE * (nanoseconds * 2 / 1e9));
        long[] latencies = new long[records];
        CountDownLatch ready = new CountDownLatch(1);
        Thread reader = new Thread(() -> {
            try (ExcerptTailer tailer = queue.createTailer()) {
                ready.countDown();
                for (int number = 0; number < records; ) {
                    try (DocumentContext document = tailer.readingDocument()) {
                        if (document.isPresent()) {
                            long stamp = document.wire().bytes().readLong();
                            latencies[number++] = System.nanoTime() - stamp;
                        } else {
                            Thread.onSpinWait();
                        }
                    }
                }
            }
        });
        reader.start();
        ready.await();
        ExcerptAppender appender = queue.createAppender();
        long start = System.nanoTime();
        for (int number = 0; number < records; number++) {
            byte[] value = nextValue();
            while (System.nanoTime() - start < number * (1_000_000_000L / RATE)) {
                Thread.onSpinWait();
            }
            long stamp = System.nanoTime();
            try (DocumentContext document = appender.writingDocument()) {
                document.wire().bytes().writeLong(stamp).write(value, STAMP, size - STAMP);
            }
        }
        reader.join();
        return "{" + percentiles(Arrays.copyOfRange(latencies, warmUp, records)) + "}";
    }

    private static String percentiles(long[] latencies) {
        Arrays.sort(latencies);
        StringBuilder text = new StringBuilder();
        double[] quantiles = {0.5, 0.99, 0.999, 0.9999};
        String[] names = {"p50", "p99", "p99.9", "p99.99"};
        for (int i = 0; i < quantiles.length; i++) {
            if (Math.round(latencies.length * (1 - quantiles[i])) >= 5) {
                text.append('"').append(names[i]).append("\": ");
                text.append(latencies[(int) (latencies.length * quantiles[i])]).append(", ");
            }
        }
        return text.append("\"samples\": ").append(latencies.length).toString();
    }

    // --- Values: JSON events of an exact size, as in ../src/events.rs ---

    private static final String[] PAGES = {"home", "cart", "search", "checkout", "product", "help"};
    private static final String[] WORDS = {"red", "shoes", "size", "delivery", "gift", "blue", "offer", "new"};

    private static byte[][] values(int size, long seed) {
        long[] state = {seed};
        byte[][] values = new byte[VALUES][];
        for (int number = 0; number < VALUES; number++) {
            StringBuilder text = new StringBuilder();
            text.append(String.format("{\"id\":\"%08x\",\"n\":%d,\"page\":\"", random(state, 1L << 32), number));
            text.append(PAGES[(int) random(state, PAGES.length)]);
            text.append("\",\"ms\":").append(random(state, 5_000)).append(",\"q\":\"");
            while (text.length() + 2 < size) {
                text.append(WORDS[(int) random(state, WORDS.length)]).append(' ').append(random(state, 100)).append(' ');
            }
            text.setLength(size - 2);
            values[number] = text.append("\"}").toString().getBytes(StandardCharsets.US_ASCII);
        }
        return values;
    }

    private static long random(long[] state, long bound) {
        long mixed = state[0] += 0x9e3779b97f4a7c15L;
        mixed = (mixed ^ (mixed >>> 30)) * 0xbf58476d1ce4e5b9L;
        mixed = (mixed ^ (mixed >>> 27)) * 0x94d049bb133111ebL;
        return Long.remainderUnsigned(mixed ^ (mixed >>> 31), bound);
    }

    private static void write(Path file, byte[][] values) throws Exception {
        try (var out = Files.newOutputStream(file)) {
            for (byte[] value : values) {
                out.write(value);
                out.write('\n');
            }
        }
    }
}
