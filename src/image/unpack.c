#include "image/unpack.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "image/store.h"
#include "image/unpack-meta.h"

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META_PREFIX ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* A directory's time is set when all is in it. */
struct pending_time {
    char *name;
    struct timespec times[2];
};

struct unpack {
    int root_fd;
    struct stream *stream;
    struct archive *tar;
    struct pending_time *pending;
    size_t n_pending;
    size_t pending_capacity;
    size_t pending_bytes;
    struct unpack_result result;
};

int unpack_clean_name(const char *name, char **ret, struct error *err)
{
    size_t length = strnlen(name, UNPACK_NAME_MAX + 1);
    if (length > UNPACK_NAME_MAX)
        return error_set_class(err, ERROR_INVALID, "name of an entry is longer than %d bytes",
                               (int)UNPACK_NAME_MAX);
    CLEANUP_FREE char *clean = malloc(length + 1);
    if (!clean)
        return error_oom(err);
    size_t used = 0, depth = 0;
    for (const char *p = name; *p;) {
        size_t part = strcspn(p, "/");
        if (part == 2 && p[0] == '.' && p[1] == '.') {
            if (depth == 0)
                return error_set_class(err, ERROR_INVALID, "entry '%s' points out of the root",
                                       name);
            while (used > 0 && clean[--used] != '/')
                ;
            depth--;
        } else if (part > 0 && !(part == 1 && p[0] == '.')) {
            if (used > 0)
                clean[used++] = '/';
            memcpy(clean + used, p, part);
            used += part;
            depth++;
        }
        p += part + (p[part] == '/');
    }
    clean[used] = '\0';
    if (depth > UNPACK_DEPTH_MAX)
        return error_set_class(err, ERROR_INVALID, "an entry is more than %d directories deep",
                               (int)UNPACK_DEPTH_MAX);
    *ret = TAKE_PTR(clean);
    return 0;
}

/* A failed system call on an entry: a full disk is the host's trouble, what is left is the
 * archive's. */
static int entry_error(struct error *err, int code, const char *name)
{
    if (code == -ENOSPC || code == -EDQUOT || code == -EIO || code == -EROFS || code == -EMFILE ||
        code == -ENFILE || code == -ENOMEM || code == -EPERM)
        return store_write_error(err, code, name);
    error_set_errno(err, code, "entry '%s'", name);
    return error_classify(err, code, ERROR_INVALID);
}

/* Makes way for a new entry. A directory stays when the new one is a directory, too; *ret_kept. */
static int clear_way(int parent, const char *base, bool directory, bool *ret_kept,
                     bool *ret_whiteout)
{
    struct stat st;
    *ret_kept = *ret_whiteout = false;
    if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISDIR(st.st_mode)) {
        if (directory) {
            *ret_kept = true;
            return 0;
        }
        return path_remove_tree(parent, base, NULL);
    }
    *ret_whiteout = S_ISCHR(st.st_mode) && st.st_rdev == 0;
    return unlinkat(parent, base, 0) < 0 ? -errno : 0;
}

static int remember_time(struct unpack *unpack, const char *name,
                         const struct unpack_metadata *metadata, struct error *err)
{
    size_t cost = strlen(name) + sizeof(struct pending_time);
    if (unpack->pending_bytes + cost > UNPACK_TIMES_MAX)
        return error_set_class(err, ERROR_INVALID, "archive has too many directories");
    if (unpack->n_pending == unpack->pending_capacity) {
        size_t capacity = unpack->pending_capacity ? 2 * unpack->pending_capacity : 64;
        struct pending_time *grown = reallocarray(unpack->pending, capacity, sizeof(*grown));
        if (!grown)
            return error_oom(err);
        unpack->pending = grown;
        unpack->pending_capacity = capacity;
    }
    struct pending_time *pending = &unpack->pending[unpack->n_pending];
    pending->name = strdup(name);
    if (!pending->name)
        return error_oom(err);
    memcpy(pending->times, metadata->times, sizeof(pending->times));
    unpack->n_pending++;
    unpack->pending_bytes += cost;
    return 0;
}

static int set_opaque(int dir_fd)
{
    return fsetxattr(dir_fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

static int unpack_directory(struct unpack *unpack, int parent, const char *base, const char *name,
                            const struct unpack_metadata *metadata, struct error *err)
{
    bool kept = false, whiteout = false;
    int r = *base ? clear_way(parent, base, true, &kept, &whiteout) : 0;
    if (r < 0)
        return entry_error(err, r, name);
    if (*base && !kept && mkdirat(parent, base, 0700) < 0)
        return entry_error(err, -errno, name);
    CLEANUP_CLOSE int fd =
        openat(parent, *base ? base : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return entry_error(err, -errno, name);
    if ((whiteout && (r = set_opaque(fd)) < 0) || (r = metadata_apply_fd(metadata, fd)) < 0)
        return entry_error(err, r, name);
    return remember_time(unpack, name, metadata, err);
}

static int write_content(struct unpack *unpack, int fd, int64_t size, const char *name,
                         struct error *err)
{
    const void *block;
    size_t length;
    int64_t offset, written = 0;
    int r;
    while ((r = archive_read_data_block(unpack->tar, &block, &length, &offset)) != ARCHIVE_EOF) {
        if (r < ARCHIVE_WARN)
            return stream_error(unpack->stream, unpack->tar, err);
        if (offset < 0 || offset > size || (int64_t)length > size - offset)
            return error_set_class(err, ERROR_INVALID, "entry '%s' has more data than it says",
                                   name);
        written += (int64_t)length;
        while (length > 0) {
            ssize_t n = pwrite(fd, block, length, offset);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return entry_error(err, -errno, name);
            block = (const char *)block + n;
            length -= (size_t)n;
            offset += n;
        }
    }
    /* A sparse file claims more than the stream has; what is in the stream was counted there. */
    if (written < size && (r = stream_charge(unpack->stream, size - written, err)) < 0)
        return error_wrap(err, r, "entry '%s'", name);
    return ftruncate(fd, size) < 0 ? entry_error(err, -errno, name) : 0;
}

static int unpack_regular(struct unpack *unpack, int parent, const char *base, const char *name,
                          const struct unpack_metadata *metadata, struct error *err)
{
    int64_t size = archive_entry_size(metadata->entry);
    if (size < 0)
        return error_set_class(err, ERROR_INVALID, "entry '%s' has a negative size", name);
    CLEANUP_CLOSE int fd =
        openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return entry_error(err, -errno, name);
    int r = write_content(unpack, fd, size, name, err);
    if (r < 0)
        return r;
    r = metadata_apply_fd(metadata, fd);
    if (r == 0 && futimens(fd, metadata->times) < 0)
        r = -errno;
    if (r < 0)
        return entry_error(err, r, name);
    unpack->result.size += size;
    return 0;
}

/* The target is a name from the archive's root, as tar has it; a link to a link is one to the link
 * itself. */
static int unpack_hardlink(struct unpack *unpack, int parent, const char *base, const char *name,
                           const char *target, struct error *err)
{
    CLEANUP_FREE char *clean = NULL;
    const char *target_base = NULL;
    int r = unpack_clean_name(target, &clean, err);
    if (r < 0)
        return error_wrap(err, r, "entry '%s': hard link", name);
    CLEANUP_CLOSE int target_parent =
        path_open_parent_in_root(unpack->root_fd, clean, false, &target_base);
    if (target_parent < 0)
        return entry_error(err, target_parent, name);
    if (linkat(target_parent, target_base, parent, base, 0) < 0)
        return entry_error(err, -errno, name);
    return 0;
}

static int unpack_other(int parent, const char *base, const char *name,
                        const struct unpack_metadata *metadata, struct error *err)
{
    mode_t type = archive_entry_filetype(metadata->entry);
    const char *target = archive_entry_symlink(metadata->entry);
    if (type == AE_IFLNK) {
        if (!target || !*target || strnlen(target, UNPACK_NAME_MAX + 1) > UNPACK_NAME_MAX)
            return error_set_class(err, ERROR_INVALID, "entry '%s' is a link to nothing", name);
        if (symlinkat(target, parent, base) < 0)
            return entry_error(err, -errno, name);
    } else if (type == AE_IFCHR || type == AE_IFBLK || type == AE_IFIFO) {
        dev_t device = type == AE_IFIFO ? 0
                                        : makedev(archive_entry_rdevmajor(metadata->entry),
                                                  archive_entry_rdevminor(metadata->entry));
        if (mknodat(parent, base, type | 0600, device) < 0)
            return entry_error(err, -errno, name);
    } else {
        return error_set_class(err, ERROR_INVALID, "entry '%s' is of an unknown type", name);
    }
    int r = metadata_apply_at(metadata, parent, base, type == AE_IFLNK);
    return r < 0 ? entry_error(err, r, name) : 0;
}

/* Returns 0 when `base` was a whiteout and is dealt with, 1 when it is an ordinary name. */
static int unpack_whiteout(int parent, const char *base, const char *name,
                           const struct unpack_metadata *metadata, struct error *err)
{
    struct stat st;
    int r = 0;
    if (!string_starts_with(base, WHITEOUT_PREFIX))
        return 1;
    if (strcmp(base, WHITEOUT_OPAQUE) == 0) {
        CLEANUP_CLOSE int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd < 0 ? -errno : set_opaque(fd);
        return r < 0 ? entry_error(err, r, name) : 0;
    }
    if (string_starts_with(base, WHITEOUT_META_PREFIX))
        return 0;
    const char *hidden = base + strlen(WHITEOUT_PREFIX);
    if (!*hidden || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
        return error_set_class(err, ERROR_INVALID, "invalid whiteout '%s'", name);
    if (fstatat(parent, hidden, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        /* This layer has the name itself: only what lies below is hidden. */
        if (!S_ISDIR(st.st_mode))
            return 0;
        CLEANUP_CLOSE int fd =
            openat(parent, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 ? -errno : set_opaque(fd);
        return r < 0 ? entry_error(err, r, name) : 0;
    }
    if (mknodat(parent, hidden, S_IFCHR, makedev(0, 0)) < 0 ||
        fchownat(parent, hidden, metadata->uid, metadata->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return entry_error(err, -errno, name);
    return 0;
}

static int unpack_named(struct unpack *unpack, int parent, const char *base, const char *name,
                        const struct unpack_metadata *metadata, struct error *err)
{
    const char *hardlink = archive_entry_hardlink(metadata->entry);
    mode_t type = archive_entry_filetype(metadata->entry);
    bool kept, whiteout;
    int r = unpack_whiteout(parent, base, name, metadata, err);
    if (r <= 0)
        return r;
    if (!hardlink && type == AE_IFDIR)
        return unpack_directory(unpack, parent, base, name, metadata, err);
    /* A link onto its own name would remove what it is to be linked to. */
    if (hardlink) {
        CLEANUP_FREE char *clean = NULL;
        if (unpack_clean_name(hardlink, &clean, NULL) == 0 && strcmp(clean, name) == 0)
            return error_set_class(err, ERROR_INVALID, "entry '%s' is a link to itself", name);
    }
    r = clear_way(parent, base, false, &kept, &whiteout);
    if (r < 0)
        return entry_error(err, r, name);
    if (hardlink)
        return unpack_hardlink(unpack, parent, base, name, hardlink, err);
    if (type == AE_IFREG)
        return unpack_regular(unpack, parent, base, name, metadata, err);
    return unpack_other(parent, base, name, metadata, err);
}

static int unpack_entry(struct unpack *unpack, struct archive_entry *entry, struct error *err)
{
    CLEANUP_FREE char *name = NULL;
    const char *base = NULL;
    struct unpack_metadata metadata;
    const char *raw = archive_entry_pathname(entry);
    if (!raw)
        return error_set_class(err, ERROR_INVALID, "an entry has no name");
    int r = unpack_clean_name(raw, &name, err);
    if (r < 0)
        return r;
    metadata_read(entry, &metadata);
    if (!*name) {
        if (archive_entry_filetype(entry) != AE_IFDIR || archive_entry_hardlink(entry))
            return error_set_class(err, ERROR_INVALID, "the root is not a directory");
        return unpack_directory(unpack, unpack->root_fd, "", "", &metadata, err);
    }
    CLEANUP_CLOSE int parent = path_open_parent_in_root(unpack->root_fd, name, true, &base);
    if (parent < 0)
        return entry_error(err, parent, name);
    return unpack_named(unpack, parent, base, name, &metadata, err);
}

static int unpack_entries(struct unpack *unpack, struct error *err)
{
    struct archive_entry *entry;
    int r;
    while ((r = archive_read_next_header(unpack->tar, &entry)) != ARCHIVE_EOF) {
        /* A warning is about character sets; names are bytes here. */
        if (r < ARCHIVE_WARN)
            return stream_error(unpack->stream, unpack->tar, err);
        if (++unpack->result.entries > UNPACK_ENTRIES_MAX)
            return error_set_class(err, ERROR_INVALID, "archive has more than %d entries",
                                   (int)UNPACK_ENTRIES_MAX);
        r = unpack_entry(unpack, entry, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int apply_times(struct unpack *unpack, struct error *err)
{
    for (size_t i = 0; i < unpack->n_pending; i++) {
        const struct pending_time *pending = &unpack->pending[i];
        CLEANUP_CLOSE int fd =
            path_open_in_root(unpack->root_fd, *pending->name ? pending->name : ".",
                              O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
        /* Gone or replaced by a later entry: nothing to set. */
        if (fd < 0)
            continue;
        if (futimens(fd, pending->times) < 0)
            return entry_error(err, -errno, pending->name);
    }
    return 0;
}

static void unpack_release(struct unpack *unpack)
{
    for (size_t i = 0; i < unpack->n_pending; i++)
        free(unpack->pending[i].name);
    free(unpack->pending);
    if (unpack->tar)
        archive_read_free(unpack->tar);
    stream_free(unpack->stream);
}

int unpack_layer(const struct stream_options *options, int root_fd, struct unpack_result *ret,
                 struct error *err)
{
    CLEANUP(unpack_release) struct unpack unpack = {.root_fd = root_fd};
    int r = stream_open(options, &unpack.stream, err);
    if (r < 0 || (r = stream_open_tar(unpack.stream, &unpack.tar, err)) < 0 ||
        (r = unpack_entries(&unpack, err)) < 0 || (r = apply_times(&unpack, err)) < 0 ||
        (r = stream_finish(unpack.stream, unpack.result.diff_id, err)) < 0)
        return r;
    *ret = unpack.result;
    return 0;
}
