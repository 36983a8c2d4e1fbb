#include "sandbox/archive-entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"

void tar_entry_clear(struct tar_entry *entry)
{
    for (size_t i = 0; i < entry->n_xattrs; i++) {
        free(entry->xattrs[i].name);
        free(entry->xattrs[i].value);
    }
    free(entry->xattrs);
    free(entry->segments);
    free(entry->path);
    free(entry->target);
    *entry = (struct tar_entry){.type = TAR_FILE};
}

static struct tar_xattr *find_xattr(const struct tar_entry *entry, const char *name)
{
    for (size_t i = 0; i < entry->n_xattrs; i++)
        if (strcmp(entry->xattrs[i].name, name) == 0)
            return &entry->xattrs[i];
    return NULL;
}

const struct tar_xattr *tar_entry_find_xattr(const struct tar_entry *entry, const char *name)
{
    return find_xattr(entry, name);
}

/* Room for one more, doubled at each power of two. */
static int grow(void **array, size_t n, size_t size)
{
    void *more;

    if ((n & (n - 1)) != 0)
        return 0;
    more = reallocarray(*array, n ? 2 * n : 1, size);
    if (!more)
        return -ENOMEM;
    *array = more;
    return 0;
}

int tar_entry_add_xattr(struct tar_entry *entry, const char *name, const void *value, size_t size)
{
    CLEANUP_FREE char *name_copy = strdup(name);
    CLEANUP_FREE void *value_copy = malloc(size ? size : 1);
    struct tar_xattr *old = find_xattr(entry, name);

    if (size > TAR_XATTR_SIZE_MAX || strlen(name) > TAR_XATTR_NAME_MAX ||
        (!old && entry->n_xattrs == TAR_XATTRS_MAX))
        return -E2BIG;
    if (!name_copy || !value_copy)
        return -ENOMEM;
    if (size > 0)
        memcpy(value_copy, value, size);
    if (old) {
        free(old->value);
        old->value = TAKE_PTR(value_copy);
        old->size = size;
        return 0;
    }
    if (grow((void **)&entry->xattrs, entry->n_xattrs, sizeof(*entry->xattrs)) < 0)
        return -ENOMEM;
    entry->xattrs[entry->n_xattrs++] = (struct tar_xattr){
        .name = TAKE_PTR(name_copy),
        .value = TAKE_PTR(value_copy),
        .size = size,
    };
    return 0;
}

int tar_entry_add_segment(struct tar_entry *entry, int64_t offset, int64_t size)
{
    const struct tar_segment *last =
        entry->n_segments ? &entry->segments[entry->n_segments - 1] : NULL;
    int64_t end;

    if (offset < 0 || size < 0 || __builtin_add_overflow(offset, size, &end) ||
        (last && offset < last->offset + last->size))
        return -EINVAL;
    if (entry->n_segments == TAR_SEGMENTS_MAX)
        return -E2BIG;
    if (grow((void **)&entry->segments, entry->n_segments, sizeof(*entry->segments)) < 0)
        return -ENOMEM;
    entry->segments[entry->n_segments++] = (struct tar_segment){.offset = offset, .size = size};
    return 0;
}

int64_t tar_entry_stored(const struct tar_entry *entry)
{
    int64_t total = 0;

    if (entry->type != TAR_FILE)
        return 0;
    if (!entry->sparse)
        return entry->size;
    for (size_t i = 0; i < entry->n_segments; i++)
        total += entry->segments[i].size;
    return total;
}

static int write_fd(void *data, const void *bytes, size_t length, struct error *err)
{
    const int *fd = data;
    int r = fd_write_full(*fd, bytes, length);

    return r < 0 ? error_set_errno(err, r, "cannot write the archive") : 0;
}

static ssize_t read_fd(void *data, void *bytes, size_t size, struct error *err)
{
    const int *fd = data;
    ssize_t n;

    do
        n = read(*fd, bytes, size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? error_set_errno(err, -errno, "cannot read the archive") : n;
}

struct tar_sink tar_sink_fd(int *fd)
{
    return (struct tar_sink){.write = write_fd, .data = fd};
}

struct tar_source tar_source_fd(int *fd)
{
    return (struct tar_source){.read = read_fd, .data = fd};
}
