/*
 * What the binding needs besides libbpf's own functions. Every function returns 0 or a non-negative result, or -errno.
 * File descriptors that are returned belong to the caller; those passed in stay the caller's. Safe to call from several
 * threads on different objects; the diagnostics are the calling thread's own.
 */
#ifndef TIDEGATE_LIBBPF_SHIM_H
#define TIDEGATE_LIBBPF_SHIM_H

/* cdef:begin */
/* Diagnostics that libbpf printed in this thread since the last call (verifier logs among them), NUL-terminated and
 * cut at `size`. */
void tg_take_log(char *out, size_t size);
void tg_quiet(void);

/* Owned by the caller until tg_object_close. The path names an object file; it is read here. */
int tg_object_open(const char *path, struct bpf_object **out);
void tg_object_close(struct bpf_object *object);
int tg_object_load(struct bpf_object *object);
/* Names in order; NULL past the end. They live as long as the object. */
const char *tg_object_map_name(struct bpf_object *object, int index);
const char *tg_object_program_name(struct bpf_object *object, int index);
/* Use an existing map (duplicated here) instead of making one. Before load. */
int tg_object_reuse_map(struct bpf_object *object, const char *name, int fd);
/* The read-only data's content, if there is any: -ENOENT otherwise. Before load. */
int tg_object_set_rodata(struct bpf_object *object, const void *data, size_t size);
/* Duplicates, close-on-exec. After load. */
int tg_object_map_fd(struct bpf_object *object, const char *name);
int tg_object_program_fd(struct bpf_object *object, const char *name);

int tg_map_create(uint32_t type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t max_entries,
                  uint32_t flags);
int tg_map_update(int fd, const void *key, const void *value, uint64_t flags);
/* `count` keys and values one after the other. Stops at the first failure; *done says how many are in. */
int tg_map_update_many(int fd, const void *keys, size_t key_size, const void *values, size_t value_size, uint32_t count,
                       uint32_t *done);
int tg_map_lookup(int fd, const void *key, void *value);
/* Up to *count entries of a hash. position: where to begin, and where the next call goes on; first: from the beginning.
 * Sets *count to how many there were. 1: there may be more, 0: these were the last. */
int tg_map_lookup_batch(int fd, uint32_t *position, int first, void *keys, void *values, uint32_t *count);
/* As tg_map_update_many, in one system call. -EOPNOTSUPP: this kind of map has none in this kernel. */
int tg_map_update_batch(int fd, const void *keys, const void *values, uint32_t count);
int tg_map_delete(int fd, const void *key);
/* Takes the first value out of a queue. -ENOENT: it is empty. */
int tg_map_pop(int fd, void *value);
/* key NULL: the first one. -ENOENT past the last. */
int tg_map_next_key(int fd, const void *key, void *next);

int tg_map_fd_by_id(uint32_t id);
int tg_pin(int fd, const char *path);
int tg_get_pinned(const char *path);
int tg_link_create(int program, int target, uint32_t attach_type);
int tg_link_update(int link, int program);
int tg_link_detach(int link);

struct tg_map_info {
    uint32_t type, id, key_size, value_size, max_entries, flags;
};
struct tg_program_info {
    uint32_t type, id;
    uint8_t tag[8];
};
struct tg_link_info {
    uint32_t type, id, program_id, attach_type;
    uint64_t target; /* cgroup id or network namespace inode; 0 when that is gone */
};
int tg_map_info(int fd, struct tg_map_info *out);
int tg_program_info(int fd, struct tg_program_info *out);
int tg_link_info(int fd, struct tg_link_info *out);
/* Tried with a program of a few instructions. 1: yes, 0: no, -errno: no program at all can be loaded. */
int tg_helper_supported(uint32_t program_type, uint32_t attach_type, uint32_t helper);
int tg_context_readable(uint32_t program_type, uint32_t attach_type, uint32_t offset);
/* cdef:end */

#endif
