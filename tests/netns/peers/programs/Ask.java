import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.io.ByteArrayInputStream;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;

/** Java's HttpClient, which keeps its connection. */
public class Ask {
    private static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private static String base;

    private static void ask(String name, String path, String method, HttpRequest.BodyPublisher body, String... headers)
            throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(base + path)).method(method, body);
        for (int at = 0; at < headers.length; at += 2)
            request.header(headers[at], headers[at + 1]);
        if (name.equals("expecting"))
            request.expectContinue(true);
        HttpResponse<byte[]> answer = CLIENT.send(request.build(), BodyHandlers.ofByteArray());
        Map<String, Object> kept = new TreeMap<>(answer.headers().map());
        kept.remove("date");
        byte[] sum = MessageDigest.getInstance("SHA-1").digest(answer.body());
        System.out.println(name + " " + answer.statusCode() + " " + HexFormat.of().formatHex(sum) + " " + kept);
    }

    public static void main(String[] arguments) throws Exception {
        base = arguments[0];
        HttpRequest.BodyPublisher nothing = BodyPublishers.noBody();
        byte[] large = "z".repeat(300_000).getBytes();
        ask("small", "/small?q=%7e", "GET", nothing, "X-oDD", "kept");
        ask("unchanged", "/small", "GET", nothing, "If-None-Match", "\"small\"");
        ask("head", "/small", "HEAD", nothing);
        ask("big", "/big", "GET", nothing);
        ask("chunked", "/chunked", "GET", nothing);
        ask("empty", "/empty", "GET", nothing);
        ask("none", "/missing", "GET", nothing);
        ask("post", "/echo", "POST", BodyPublishers.ofByteArray(large));
        ask("chunks", "/echo", "POST", BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(large)));
        ask("expecting", "/echo", "POST", BodyPublishers.ofByteArray(large));
        ask("range", "/big", "GET", nothing, "Range", "bytes=100-199");
    }
}
