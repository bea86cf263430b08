import java.util.Base64;
import org.apache.kafka.tools.api.Decoder;

/**
 * Makes the dump tool print keys and values as Base64. Its default prints them as UTF-8 text, which neither
 * survives arbitrary bytes nor line breaks.
 */
public class Base64Decoder implements Decoder<String> {
    @Override
    public String fromBytes(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }
}
