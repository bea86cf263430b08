import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.common.header.Header;

/** The line formats that every part of the interop check reads and writes; README.md describes them. */
final class Json {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private Json() { }

    static ObjectNode record(String topic, int partition, long offset, long timestamp,
                             byte[] key, byte[] value, Iterable<Header> headers) {
        ObjectNode line = MAPPER.createObjectNode();
        line.put("topic", topic).put("partition", partition).put("offset", offset).put("timestamp", timestamp);
        line.put("key", base64(key)).put("value", base64(value));
        var list = line.putArray("headers");
        for (Header header : headers) {
            list.addArray().add(header.key()).add(base64(header.value()));
        }
        return line;
    }

    static ObjectNode committed(String group, String topic, int partition, long offset, String metadata) {
        return MAPPER.createObjectNode().put("group", group).put("topic", topic).put("partition", partition)
            .put("offset", offset).put("metadata", metadata);
    }

    static ObjectNode start(String topic, int partition, long start) {
        return MAPPER.createObjectNode().put("topic", topic).put("partition", partition).put("start", start);
    }

    static ObjectNode group(String group, String state, String protocolType, String type, int members) {
        return MAPPER.createObjectNode().put("group", group).put("state", state).put("protocol_type", protocolType)
            .put("type", type).put("members", members);
    }

    static ObjectNode joined(String group, String protocol, int generation) {
        return MAPPER.createObjectNode().put("group", group).put("protocol", protocol).put("generation", generation);
    }

    static void print(PrintWriter out, ObjectNode line) {
        try {
            out.println(MAPPER.writeValueAsString(line));
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    static PrintWriter create(String path) throws java.io.IOException {
        return new PrintWriter(path, StandardCharsets.UTF_8);
    }

    private static String base64(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }
}
