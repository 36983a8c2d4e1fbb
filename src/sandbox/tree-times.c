#include "sandbox/tree-times.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "sandbox/archive-entry.h"
#include "sandbox/tree-inode.h"
#include "sandbox/tree-path.h"

/* Followed by the path and a NUL, not aligned. */
struct record {
    struct timespec mtime;
    struct timespec atime;
    bool has_atime;
};

void tree_times_release(struct tree_times *times)
{
    buffer_release(&times->records);
}

int tree_times_add(struct tree_times *times, const char *path, const struct tar_entry *entry)
{
    const struct record record = {
        .mtime = entry->mtime,
        .atime = entry->atime,
        .has_atime = entry->has_atime,
    };
    size_t length = strlen(path) + 1;
    char *at = buffer_reserve(&times->records, sizeof(record) + length);

    if (!at)
        return times->records.max - times->records.length < sizeof(record) + length ? -E2BIG
                                                                                    : -ENOMEM;
    memcpy(mempcpy(at, &record, sizeof(record)), path, length);
    buffer_commit(&times->records, sizeof(record) + length);
    return 0;
}

int tree_times_apply(const struct tree_times *times, int root_fd, struct error *err)
{
    const char *at = times->records.data;
    const char *end = at ? at + times->records.length : NULL;

    while (at < end) {
        CLEANUP_CLOSE int fd = -EBADF;
        struct tar_entry entry = {.type = TAR_DIRECTORY};
        struct record record;
        const char *path;
        int r;

        memcpy(&record, at, sizeof(record));
        path = at + sizeof(record);
        at = path + strlen(path) + 1;
        entry.mtime = record.mtime;
        entry.atime = record.atime;
        entry.has_atime = record.has_atime;
        fd = tree_path_open(root_fd, path, false, O_PATH | O_DIRECTORY);
        if (fd < 0)
            continue;
        r = tree_inode_set_times(fd, &entry);
        if (r < 0)
            return error_set_errno(err, r, "'%.1024s': cannot set times", path);
    }
    return 0;
}
