import java.io.IOException;
import java.security.MessageDigest;
import java.util.HexFormat;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.handler.AbstractHandler;

/** Jetty: the same answers, and trailers. */
public class Serve extends AbstractHandler {
    @Override
    public void handle(String target, Request base, HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        base.setHandled(true);
        switch (target) {
            case "/small":
                response.setHeader("ETag", "\"small\"");
                if ("\"small\"".equals(request.getHeader("If-None-Match"))) {
                    response.setStatus(304);
                    return;
                }
                response.addHeader("Set-Cookie", "a=1");
                response.addHeader("set-cookie", "b=2");
                write(response, "hello\n".getBytes());
                break;
            case "/big":
                write(response, "b".repeat(1 << 20).getBytes());
                break;
            case "/chunked":
            case "/events":
                response.setContentType("text/event-stream");
                for (int number = 0; number < 20; number++) {
                    response.getOutputStream().write(("data: " + number + "\n\n").getBytes());
                    response.flushBuffer();
                }
                break;
            case "/empty":
                response.setStatus(204);
                break;
            case "/echo":
                byte[] body = request.getInputStream().readAllBytes();
                String odd = request.getHeader("X-Odd") == null ? "None" : request.getHeader("X-Odd");
                String told = request.getMethod() + " " + body.length + " " + sum(body) + " " + odd + "\n";
                response.setHeader("X-Empty", "");
                write(response, told.getBytes());
                break;
            default:
                response.setStatus(404);
                write(response, "none\n".getBytes());
        }
    }

    private static void write(HttpServletResponse response, byte[] body) throws IOException {
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
    }

    private static String sum(byte[] body) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(body));
        } catch (java.security.NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Server server = new Server(new java.net.InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
        server.setHandler(new Serve());
        server.start();
        server.join();
    }
}
