#include "tell/request_line.h"

#include <string.h>

enum { LONGEST_FIXED = 1024 }; /* of a line without the peer's and the configuration's texts */

static const char *const letters[TG_FLAGS] = {"UH",  "UT",    "LR", "UR",   "UF", "UC",  "UO", "NR",
                                              "DI",  "FI",    "RL", "UAEX", "DC", "URX", "SI", "IH",
                                              "DPE", "UMSDR", "DT", "UPE",  "NC", "OM",  "DO"};

/* How a value begins and ends: words and texts have quotes in JSON. */
struct form {
    bool json;
    char *at;
};

static void name(struct form *form, const char *key)
{
    if (form->json) {
        form->at = put(form->at, ",\"");
        form->at = put(form->at, key);
        form->at = put(form->at, "\":");
    } else {
        *form->at++ = ' ';
        form->at = put(form->at, key);
        *form->at++ = '=';
    }
}

static void quote(struct form *form)
{
    if (form->json)
        *form->at++ = '"';
}

static void word(struct form *form, const char *key, const char *value)
{
    name(form, key);
    quote(form);
    form->at = put(form->at, value);
    quote(form);
}

static void count(struct form *form, const char *key, uint64_t value)
{
    name(form, key);
    form->at = put_number(form->at, value, 1);
}

static void milliseconds(struct form *form, const char *key, int64_t us)
{
    name(form, key);
    if (us >= 0)
        form->at = put_milliseconds(form->at, (uint64_t)us);
    else
        form->at = put(form->at, form->json ? "null" : "-");
}

static const char *shown(struct form *form, const char *key, const char *text, size_t length)
{
    name(form, key);
    form->at = put_shown(form->at, text, length, form->json);
    return text + length;
}

static void address(struct form *form, const char *key, const tg_address *value)
{
    name(form, key);
    quote(form);
    form->at = value->family == 0 ? put(form->at, "-") : put_address(form->at, value);
    quote(form);
}

static void protocol(struct form *form, const tg_exchange_record *record)
{
    name(form, "protocol");
    quote(form);
    form->at = put_number(put(form->at, "HTTP/"), record->major, 1);
    if (record->major < 2) {
        *form->at++ = '.';
        form->at = put_number(form->at, record->minor, 1);
    }
    quote(form);
}

static void flags(struct form *form, uint32_t set)
{
    bool is_first = true;
    name(form, "flags");
    quote(form);
    for (int i = 0; i < TG_FLAGS; i++) {
        if ((set & UINT32_C(1) << i) == 0)
            continue;
        if (!is_first)
            *form->at++ = ',';
        form->at = put(form->at, letters[i]);
        is_first = false;
    }
    if (is_first)
        *form->at++ = '-';
    quote(form);
}

static void trace(struct form *form, const uint8_t id[16])
{
    static const uint8_t none[16];
    static const char hex[] = "0123456789abcdef";
    name(form, "trace_id");
    quote(form);
    if (memcmp(id, none, sizeof none) == 0)
        *form->at++ = '-';
    else
        for (int i = 0; i < 16; i++) {
            *form->at++ = hex[id[i] >> 4];
            *form->at++ = hex[id[i] & 15];
        }
    quote(form);
}

size_t request_line_room(const tg_exchange_record *record)
{
    return LONGEST_FIXED + PUT_WORST * ((size_t)record->size - sizeof *record);
}

char *request_line(char *at, struct tg_dated *dated, const tg_exchange_record *record, bool json)
{
    struct form form = {.json = json};
    const bool inbound = record->inbound != 0;
    const char *text = (const char *)(record + 1);
    /* The texts in the record stand in the order of their lengths; the line has them in another. */
    const char *service = text + record->method_length + record->authority_length + record->target_length;
    form.at = put_time(json ? put(at, "{\"time\":\"") : at, dated, record->started_us);
    quote(&form);
    word(&form, "direction", inbound ? "inbound" : "outbound");
    text = shown(&form, "method", text, record->method_length);
    text = shown(&form, "authority", text, record->authority_length);
    shown(&form, "path", text, record->target_length);
    protocol(&form, record);
    count(&form, "status", record->status);
    flags(&form, record->flags);
    milliseconds(&form, "duration_ms", (int64_t)record->duration_us);
    milliseconds(&form, "upstream_ms", record->upstream_us);
    milliseconds(&form, "proxy_ms", (int64_t)record->proxy_us);
    address(&form, "upstream", &record->upstream);
    count(&form, "attempts", record->attempts);
    shown(&form, "route", service + record->service_length, record->route_length);
    shown(&form, "service", service, record->service_length);
    address(&form, "source", &record->peer);
    /* The workload's point of view: inbound it is the server. */
    count(&form, "bytes_sent", inbound ? record->response_bytes : record->request_bytes);
    count(&form, "bytes_received", inbound ? record->request_bytes : record->response_bytes);
    trace(&form, record->trace_id);
    count(&form, "id", record->id);
    return put(form.at, json ? "}\n" : "\n");
}
