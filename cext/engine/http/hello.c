#include "http/hello.h"

#include <stdbool.h>
#include <string.h>

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_MAX = 16384,
    CLIENT_HELLO = 1,
    HELLO_MAX = 65535, /* real ones have some hundred bytes, or 2000 with post-quantum keys */
    RANDOM_LENGTH = 32,
    SESSION_MAX = 32,
    SERVER_NAME = 0, /* the extension, and within it the type of a host name */
    ALPN = 16,
};

/* Reads the handshake's bytes one by one across records. Once `step` is not HELLO_WHOLE every read gives 0, so callers
 * look at it where a loop or a decision depends on what was read. */
struct reader {
    const unsigned char *bytes;
    size_t length;
    size_t at;
    size_t record_left;
    size_t left; /* bytes of the structure that is being read */
    enum hello_step step;
};

static void stop(struct reader *reader, enum hello_step step)
{
    if (reader->step == HELLO_WHOLE)
        reader->step = step;
}

/* The record's header: type, version, length. What has come of it must fit, so that other protocols are not held. */
static void open_record(struct reader *reader)
{
    const unsigned char *header = reader->bytes + reader->at;
    const size_t there = reader->length - reader->at;
    const size_t size = there >= 5 ? (size_t)header[3] << 8 | header[4] : 1;

    if ((there > 0 && header[0] != RECORD_HANDSHAKE) || (there > 1 && header[1] != 3) || (there > 2 && header[2] > 4) ||
        size == 0 || size > RECORD_MAX) {
        stop(reader, HELLO_NONE);
    } else if (there < 5) {
        stop(reader, HELLO_MORE);
    } else {
        reader->at += 5;
        reader->record_left = size;
    }
}

static unsigned char read_byte(struct reader *reader)
{
    if (reader->left == 0)
        stop(reader, HELLO_NONE);
    if (reader->step == HELLO_WHOLE && reader->record_left == 0)
        open_record(reader);
    if (reader->step == HELLO_WHOLE && reader->at == reader->length)
        stop(reader, HELLO_MORE);
    if (reader->step != HELLO_WHOLE)
        return 0;
    reader->left--;
    reader->record_left--;
    return reader->bytes[reader->at++];
}

static size_t read_number(struct reader *reader, int bytes)
{
    size_t number = 0;

    while (bytes-- > 0)
        number = number << 8 | read_byte(reader);
    return number;
}

static void skip(struct reader *reader, size_t bytes)
{
    while (bytes-- > 0 && reader->step == HELLO_WHOLE)
        (void)read_byte(reader);
}

/* Narrows the reader to a structure of `inner` bytes within the present one. Returns what is left of the outer one, for
 * `leave`. */
static size_t enter(struct reader *reader, size_t inner)
{
    const size_t outer = reader->left;

    if (inner > outer) {
        stop(reader, HELLO_NONE);
        return 0;
    }
    reader->left = inner;
    return outer - inner;
}

static void leave(struct reader *reader, size_t outer)
{
    if (reader->left > 0)
        stop(reader, HELLO_NONE);
    reader->left = outer;
}

static void read_server_names(struct reader *reader, struct hello *hello)
{
    const size_t outer = enter(reader, read_number(reader, 2));

    do {
        const size_t type = read_number(reader, 1);
        const size_t length = read_number(reader, 2);
        if (type != SERVER_NAME || length == 0 || length > HELLO_MAX_NAME || hello->server_name_length > 0)
            stop(reader, HELLO_NONE);
        for (size_t i = 0; i < length && reader->step == HELLO_WHOLE; i++) {
            const unsigned char character = read_byte(reader);
            if (reader->step == HELLO_WHOLE && (character <= ' ' || character > '~'))
                stop(reader, HELLO_NONE);
            hello->server_name[i] = (char)character;
        }
        hello->server_name_length = (uint8_t)length;
    } while (reader->step == HELLO_WHOLE && reader->left > 0);
    leave(reader, outer);
}

static void read_alpn(struct reader *reader, struct hello *hello)
{
    const size_t outer = enter(reader, read_number(reader, 2));

    do {
        const size_t length = read_number(reader, 1);
        const bool fits = (size_t)hello->alpn_length + 1 + length <= HELLO_MAX_ALPN;
        char *name = hello->alpn + hello->alpn_length;
        if (length == 0)
            stop(reader, HELLO_NONE);
        if (fits)
            name[0] = (char)length;
        for (size_t i = 0; i < length && reader->step == HELLO_WHOLE; i++) {
            const char character = (char)read_byte(reader);
            if (fits)
                name[1 + i] = character;
        }
        if (fits)
            hello->alpn_length = (uint8_t)(hello->alpn_length + 1 + length);
    } while (reader->step == HELLO_WHOLE && reader->left > 0);
    leave(reader, outer);
}

static void read_extensions(struct reader *reader, struct hello *hello)
{
    bool has_name = false;
    bool has_alpn = false;
    const size_t outer = enter(reader, read_number(reader, 2));

    while (reader->step == HELLO_WHOLE && reader->left > 0) {
        const size_t type = read_number(reader, 2);
        const size_t rest = enter(reader, read_number(reader, 2));
        bool *once = type == SERVER_NAME ? &has_name : type == ALPN ? &has_alpn : NULL;
        if (once != NULL && *once)
            stop(reader, HELLO_NONE); /* two names: the server may take either */
        if (once != NULL)
            *once = true;
        if (reader->step == HELLO_WHOLE && once == &has_name)
            read_server_names(reader, hello);
        else if (reader->step == HELLO_WHOLE && once == &has_alpn)
            read_alpn(reader, hello);
        else
            skip(reader, reader->left);
        leave(reader, rest);
    }
    leave(reader, outer);
}

enum hello_step hello_read(struct hello *hello, const char *bytes, size_t length)
{
    struct reader reader = {
        .bytes = (const unsigned char *)bytes,
        .length = length,
        .left = 4,
        .step = HELLO_WHOLE,
    };

    memset(hello, 0, sizeof *hello);
    if (read_byte(&reader) != CLIENT_HELLO)
        stop(&reader, HELLO_NONE);
    const size_t size = read_number(&reader, 3);
    if (size > HELLO_MAX)
        stop(&reader, HELLO_NONE);
    reader.left = size;
    if (read_number(&reader, 1) != 3)
        stop(&reader, HELLO_NONE);
    skip(&reader, 1 + RANDOM_LENGTH);
    const size_t session = read_number(&reader, 1);
    if (session > SESSION_MAX)
        stop(&reader, HELLO_NONE);
    skip(&reader, session);
    const size_t suites = read_number(&reader, 2);
    if (suites == 0 || suites % 2 != 0)
        stop(&reader, HELLO_NONE);
    skip(&reader, suites);
    const size_t compressions = read_number(&reader, 1);
    if (compressions == 0)
        stop(&reader, HELLO_NONE);
    skip(&reader, compressions);
    if (reader.step == HELLO_WHOLE && reader.left > 0)
        read_extensions(&reader, hello);
    return reader.step;
}
