#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

/* Large enough for the end of a verifier log, where the reason stands. */
static _Thread_local char log_text[65536];
static _Thread_local size_t log_used;

static int keep(enum libbpf_print_level level, const char *format, va_list args)
{
    if (level == LIBBPF_DEBUG)
        return 0;
    char line[32768];
    int length = vsnprintf(line, sizeof(line), format, args);
    if (length < 0)
        return 0;
    size_t size = (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1;
    if (size >= sizeof(log_text) - log_used) {
        /* The newest text matters most. */
        size_t kept = sizeof(log_text) / 4;
        if (kept > log_used)
            kept = log_used;
        memmove(log_text, log_text + log_used - kept, kept);
        log_used = kept;
    }
    memcpy(log_text + log_used, line, size);
    log_used += size;
    return 0;
}

void tg_quiet(void)
{
    libbpf_set_print(keep);
}

void tg_take_log(char *out, size_t size)
{
    size_t taken = log_used < size ? log_used : size - 1;
    memcpy(out, log_text + log_used - taken, taken);
    out[taken] = 0;
    log_used = 0;
}

/* libbpf 1.x returns -1 or NULL and sets errno, or -errno. */
static int failed(int result)
{
    return result < -1 ? result : -errno;
}

static int own_fd(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}

int tg_object_open(const char *path, struct bpf_object **out)
{
    *out = bpf_object__open_file(path, NULL);
    return *out ? 0 : -errno;
}

void tg_object_close(struct bpf_object *object)
{
    bpf_object__close(object);
}

int tg_object_load(struct bpf_object *object)
{
    int result = bpf_object__load(object);
    return result ? failed(result) : 0;
}

const char *tg_object_map_name(struct bpf_object *object, int index)
{
    struct bpf_map *map;
    bpf_object__for_each_map(map, object)
    {
        if (index-- == 0)
            return bpf_map__name(map);
    }
    return NULL;
}

const char *tg_object_program_name(struct bpf_object *object, int index)
{
    struct bpf_program *program;
    bpf_object__for_each_program(program, object)
    {
        if (index-- == 0)
            return bpf_program__name(program);
    }
    return NULL;
}

int tg_object_reuse_map(struct bpf_object *object, const char *name, int fd)
{
    struct bpf_map *map = bpf_object__find_map_by_name(object, name);
    if (!map)
        return -ENOENT;
    int result = bpf_map__reuse_fd(map, fd);
    return result ? failed(result) : 0;
}

int tg_object_set_rodata(struct bpf_object *object, const void *data, size_t size)
{
    struct bpf_map *map;
    bpf_object__for_each_map(map, object)
    {
        const char *name = bpf_map__name(map);
        size_t length = strlen(name);
        if (!bpf_map__is_internal(map) || length < 7 || strcmp(name + length - 7, ".rodata") != 0)
            continue;
        int result = bpf_map__set_initial_value(map, data, size);
        return result ? failed(result) : 0;
    }
    return -ENOENT;
}

int tg_object_map_fd(struct bpf_object *object, const char *name)
{
    struct bpf_map *map = bpf_object__find_map_by_name(object, name);
    return map ? own_fd(bpf_map__fd(map)) : -ENOENT;
}

int tg_object_program_fd(struct bpf_object *object, const char *name)
{
    struct bpf_program *program = bpf_object__find_program_by_name(object, name);
    return program ? own_fd(bpf_program__fd(program)) : -ENOENT;
}

int tg_map_create(uint32_t type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t max_entries,
                  uint32_t flags)
{
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
    int fd = bpf_map_create(type, name, key_size, value_size, max_entries, &options);
    return fd < 0 ? failed(fd) : fd;
}

int tg_map_update(int fd, const void *key, const void *value, uint64_t flags)
{
    int result = bpf_map_update_elem(fd, key, value, flags);
    return result ? failed(result) : 0;
}

int tg_map_update_many(int fd, const void *keys, size_t key_size, const void *values, size_t value_size, uint32_t count,
                       uint32_t *done)
{
    for (*done = 0; *done < count; ++*done) {
        const char *key = (const char *)keys + *done * key_size;
        const char *value = (const char *)values + *done * value_size;
        int result = tg_map_update(fd, key, value, BPF_ANY);
        if (result)
            return result;
    }
    return 0;
}

int tg_map_update_batch(int fd, const void *keys, const void *values, uint32_t count)
{
    int result = bpf_map_update_batch(fd, keys, values, &count, NULL);
    if (result && errno == 524) /* ENOTSUPP, which user space has no name for */
        return -EOPNOTSUPP;
    return result ? failed(result) : 0;
}

int tg_map_lookup_batch(int fd, uint32_t *position, int first, void *keys, void *values, uint32_t *count)
{
    uint32_t following = 0;
    int result = bpf_map_lookup_batch(fd, first ? NULL : position, &following, keys, values, count, NULL);
    if (result && errno == ENOENT)
        return 0;
    if (result)
        return failed(result);
    *position = following;
    return 1;
}

int tg_map_lookup(int fd, const void *key, void *value)
{
    int result = bpf_map_lookup_elem(fd, key, value);
    return result ? failed(result) : 0;
}

int tg_map_pop(int fd, void *value)
{
    int result = bpf_map_lookup_and_delete_elem(fd, NULL, value);
    return result ? failed(result) : 0;
}

int tg_map_delete(int fd, const void *key)
{
    int result = bpf_map_delete_elem(fd, key);
    return result ? failed(result) : 0;
}

int tg_map_next_key(int fd, const void *key, void *next)
{
    int result = bpf_map_get_next_key(fd, key, next);
    return result ? failed(result) : 0;
}

int tg_map_fd_by_id(uint32_t id)
{
    int fd = bpf_map_get_fd_by_id(id);
    return fd < 0 ? failed(fd) : fd;
}

int tg_pin(int fd, const char *path)
{
    int result = bpf_obj_pin(fd, path);
    return result ? failed(result) : 0;
}

int tg_get_pinned(const char *path)
{
    int fd = bpf_obj_get(path);
    return fd < 0 ? failed(fd) : fd;
}

int tg_link_create(int program, int target, uint32_t attach_type)
{
    int fd = bpf_link_create(program, target, attach_type, NULL);
    return fd < 0 ? failed(fd) : fd;
}

int tg_link_update(int link, int program)
{
    int result = bpf_link_update(link, program, NULL);
    return result ? failed(result) : 0;
}

int tg_link_detach(int link)
{
    int result = bpf_link_detach(link);
    return result ? failed(result) : 0;
}

int tg_map_info(int fd, struct tg_map_info *out)
{
    struct bpf_map_info info = {};
    uint32_t size = sizeof(info);
    int result = bpf_obj_get_info_by_fd(fd, &info, &size);
    if (result)
        return failed(result);
    *out = (struct tg_map_info){
        .type = info.type,
        .id = info.id,
        .key_size = info.key_size,
        .value_size = info.value_size,
        .max_entries = info.max_entries,
        .flags = info.map_flags,
    };
    return 0;
}

int tg_program_info(int fd, struct tg_program_info *out)
{
    struct bpf_prog_info info = {};
    uint32_t size = sizeof(info);
    int result = bpf_obj_get_info_by_fd(fd, &info, &size);
    if (result)
        return failed(result);
    *out = (struct tg_program_info){.type = info.type, .id = info.id};
    memcpy(out->tag, info.tag, sizeof(out->tag));
    return 0;
}

int tg_link_info(int fd, struct tg_link_info *out)
{
    struct bpf_link_info info = {};
    uint32_t size = sizeof(info);
    int result = bpf_obj_get_info_by_fd(fd, &info, &size);
    if (result)
        return failed(result);
    *out = (struct tg_link_info){.type = info.type, .id = info.id, .program_id = info.prog_id};
    if (info.type == BPF_LINK_TYPE_CGROUP) {
        out->target = info.cgroup.cgroup_id;
        out->attach_type = info.cgroup.attach_type;
    } else if (info.type == BPF_LINK_TYPE_NETNS) {
        out->target = info.netns.netns_ino;
        out->attach_type = info.netns.attach_type;
    }
    return 0;
}

#define INSTRUCTION(CODE, DST, SRC, OFF, IMM)                                                                          \
    ((struct bpf_insn){.code = (CODE), .dst_reg = (DST), .src_reg = (SRC), .off = (OFF), .imm = (IMM)})

static int accepted(uint32_t program_type, uint32_t attach_type, const struct bpf_insn *code, size_t length)
{
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach_type);
    int fd = bpf_prog_load(program_type, "tg_probe", "Dual BSD/GPL", code, length, &options);
    if (fd >= 0) {
        close(fd);
        return 1;
    }
    int error = failed(fd);
    /* The verifier says EINVAL or EACCES; anything else is about the caller or the host. */
    return error == -EINVAL || error == -EACCES ? 0 : error;
}

int tg_helper_supported(uint32_t program_type, uint32_t attach_type, uint32_t helper)
{
    /* The first argument is the context on entry, which suits helpers that take one; others take a number. */
    const struct bpf_insn with_context[] = {
        INSTRUCTION(BPF_JMP | BPF_CALL, 0, 0, 0, (int)helper),
        INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1),
        INSTRUCTION(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    const struct bpf_insn with_number[] = {
        INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 0),
        with_context[0],
        with_context[1],
        with_context[2],
    };
    int result = accepted(program_type, attach_type, with_context, 3);
    return result ? result : accepted(program_type, attach_type, with_number, 4);
}

int tg_context_readable(uint32_t program_type, uint32_t attach_type, uint32_t offset)
{
    const struct bpf_insn code[] = {
        INSTRUCTION(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_1, (short)offset, 0),
        INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1),
        INSTRUCTION(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    return accepted(program_type, attach_type, code, 3);
}
