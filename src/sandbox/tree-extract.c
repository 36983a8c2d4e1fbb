#include "sandbox/tree-extract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/archive-entry.h"
#include "sandbox/archive-reader.h"
#include "sandbox/tree-inode.h"
#include "sandbox/tree-path.h"
#include "sandbox/tree-times.h"

struct extraction {
    const struct tree_extract_options *options;
    int root_fd;
    bool raw;
    enum tree_xattrs xattrs;
    char *top; /* where the archive goes, clean; "" for the root */
    struct tar_reader *tar;
    struct tree_times times;
    struct tree_extract_result result;
    uint64_t charged; /* against max_bytes */
    bool has_acls;    /* a directory may hand ACLs down to what is made in it */
    bool refused;     /* with docker's own words, which say where */
    /* The directory of the last member: the next is mostly in the same. It is inside the root
     * wherever it may have been moved since. */
    int parent_fd;
    char *parent;
};

/* The member at hand. */
struct place {
    const char *name; /* clean, for messages */
    int parent;       /* the extraction's */
    const char *base;
};

static void forget_parent(struct extraction *extraction)
{
    extraction->parent_fd = fd_close(extraction->parent_fd);
    free(extraction->parent);
    extraction->parent = NULL;
}

static void extraction_release(struct extraction *extraction)
{
    forget_parent(extraction);
    tar_reader_free(extraction->tar);
    tree_times_release(&extraction->times);
    free(extraction->top);
}

static int cannot(struct error *err, int code, const char *what)
{
    return error_set_errno(err, code, "cannot %s", what);
}

/* --- finding the place --- */

static char *full_path(const struct extraction *extraction, const char *name)
{
    if (!*name)
        return strdup(*extraction->top ? extraction->top : "/");
    return string_format("%s/%s", extraction->top, name);
}

/* Inside the root, made if missing; most of the time it exists. */
static int open_parent(int root_fd, const char *path, const char **ret_base)
{
    int fd = tree_path_open_parent(root_fd, path, false, ret_base);

    return fd == -ENOENT ? tree_path_open_parent(root_fd, path, true, ret_base) : fd;
}

static int find_place(struct extraction *extraction, const char *path, struct place *ret,
                      struct error *err)
{
    const char *slash = strrchr(path, '/');
    size_t length = (size_t)(slash - path);
    int fd;

    ret->base = slash + 1;
    if (!extraction->parent || strncmp(extraction->parent, path, length) != 0 ||
        extraction->parent[length] != '\0') {
        CLEANUP_FREE char *parent = strndup(path, length);

        if (!parent)
            return error_oom(err);
        fd = open_parent(extraction->root_fd, path, &ret->base);
        if (fd < 0)
            return cannot(err, fd, "open its directory");
        forget_parent(extraction);
        extraction->parent_fd = fd;
        extraction->parent = TAKE_PTR(parent);
    }
    ret->parent = extraction->parent_fd;
    return 0;
}

static int refuse_types(struct extraction *extraction, const struct place *place, bool is_directory,
                        struct error *err)
{
    extraction->refused = true;
    return error_set(err, -EEXIST, "cannot overwrite %s \"%s/%s\" with %s \"%s\"",
                     is_directory ? "non-directory" : "directory", extraction->top, place->name,
                     is_directory ? "directory" : "non-directory",
                     *extraction->top ? extraction->top : "/");
}

/* Takes away what is there, which is not a directory where the member is one. */
static int clear_way(struct extraction *extraction, const struct place *place, bool is_directory,
                     struct error *err)
{
    struct stat st;
    int r;

    if (fstatat(place->parent, place->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : cannot(err, -errno, "look at what is there");
    if ((extraction->options->flags & TREE_EXTRACT_KEEP_TYPES) &&
        is_directory != S_ISDIR(st.st_mode))
        return refuse_types(extraction, place, is_directory, err);
    if (S_ISDIR(st.st_mode))
        return is_directory ? 0 : path_remove_tree(place->parent, place->base, err);
    r = unlinkat(place->parent, place->base, 0) < 0 && errno != ENOENT ? -errno : 0;
    return r < 0 ? cannot(err, r, "replace what is there") : 0;
}

/* --- making --- */

static int charge(struct extraction *extraction, uint64_t bytes, struct error *err)
{
    uint64_t max = extraction->options->max_bytes;

    if (max > 0 && bytes > max - extraction->charged)
        return error_set_class(err, ERROR_INVALID, "archive has more than %llu bytes",
                               (unsigned long long)max);
    extraction->charged += bytes;
    return 0;
}

static int charge_entry(struct extraction *extraction, const struct tar_entry *entry,
                        struct error *err)
{
    uint64_t bytes = entry->type == TAR_HARDLINK ? strlen(entry->path) : TREE_ENTRY_COST;

    if (!extraction->raw)
        return 0;
    if (entry->target)
        bytes += strlen(entry->target);
    for (size_t i = 0; i < entry->n_xattrs; i++)
        if (!string_equal(entry->xattrs[i].name, TREE_CONTENT_XATTR))
            bytes += strlen(entry->xattrs[i].name) + entry->xattrs[i].size;
    return charge(extraction, bytes, err);
}

static int write_at(int fd, const char *bytes, size_t length, int64_t offset)
{
    while (length > 0) {
        ssize_t n = pwrite(fd, bytes, length, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        length -= (size_t)n;
        offset += n;
    }
    return 0;
}

/* What is in the file that the member refers to: 1; 0 when the archive has it. */
static int fetch_content(struct extraction *extraction, int fd, struct tar_entry *entry,
                         struct error *err)
{
    const struct tree_extract_options *options = extraction->options;
    uint64_t rest = options->max_bytes ? options->max_bytes - extraction->charged : UINT64_MAX;
    uint64_t bytes = 0;
    int r;

    if (!extraction->raw)
        return 0;
    r = tree_content_fetch(fd, &options->content, entry, rest, &bytes, err);
    extraction->result.bytes += bytes;
    if (r >= 0)
        extraction->charged += bytes;
    return r;
}

static int write_content(struct extraction *extraction, int fd, struct tar_entry *entry,
                         struct error *err)
{
    const void *bytes;
    size_t length;
    int64_t offset;
    int r = fetch_content(extraction, fd, entry, err);

    if (r < 0)
        return r;
    while ((r = tar_reader_data(extraction->tar, &bytes, &length, &offset, err)) > 0) {
        r = charge(extraction, length, err);
        if (r < 0)
            return r;
        extraction->result.bytes += length;
        r = write_at(fd, bytes, length, offset);
        if (r < 0)
            return cannot(err, r, "write");
    }
    if (r < 0)
        return r;
    if (entry->sparse && ftruncate(fd, entry->size) < 0)
        return cannot(err, -errno, "write");
    return 0;
}

static int make_file(struct extraction *extraction, const struct place *place,
                     struct tar_entry *entry, struct error *err)
{
    CLEANUP_CLOSE int fd = openat(place->parent, place->base,
                                  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return errno == EEXIST ? -EEXIST : cannot(err, -errno, "make the file");
    r = write_content(extraction, fd, entry, err);
    if (r == 0)
        r = tree_inode_apply(fd, TREE_FD_OPEN, entry, extraction->xattrs, extraction->has_acls,
                             err);
    if (r < 0)
        return r;
    r = tree_inode_set_times(fd, entry);
    return r < 0 ? cannot(err, r, "set times") : 0;
}

static int make_directory(struct extraction *extraction, const struct place *place,
                          const char *path, const struct tar_entry *entry, bool kept,
                          struct error *err)
{
    CLEANUP_CLOSE int fd = -EBADF;
    int r;

    if (!kept && mkdirat(place->parent, place->base, 0700) < 0)
        return cannot(err, -errno, "make the directory");
    fd = openat(place->parent, place->base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return cannot(err, -errno, "open the directory");
    r = tree_inode_apply(fd, TREE_FD_OPEN, entry, extraction->xattrs, !kept && extraction->has_acls,
                         err);
    if (r < 0)
        return r;
    r = tree_times_add(&extraction->times, path, entry);
    if (r == -E2BIG)
        return error_set_class(err, ERROR_INVALID, "archive has too many directories");
    return r < 0 ? error_oom(err) : 0;
}

static mode_t format_of(enum tar_type type)
{
    switch (type) {
    case TAR_SYMLINK:
        return S_IFLNK;
    case TAR_CHARACTER:
        return S_IFCHR;
    case TAR_BLOCK:
        return S_IFBLK;
    case TAR_FIFO:
        return S_IFIFO;
    default:
        return S_IFSOCK;
    }
}

/* Somebody may have replaced what we made by something that was there before and is none of ours to
 * change the owner and mode of: it must be new, of one name, and of the right kind. */
static int check_made(int fd, mode_t format, dev_t device)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if ((st.st_mode & S_IFMT) != format || st.st_nlink != 1 || st.st_uid != geteuid() ||
        ((format == S_IFCHR || format == S_IFBLK) && st.st_rdev != device))
        return -EBUSY;
    return 0;
}

static int make_special(struct extraction *extraction, const struct place *place,
                        const struct tar_entry *entry, struct error *err)
{
    CLEANUP_CLOSE int fd = -EBADF;
    bool is_device = entry->type == TAR_CHARACTER || entry->type == TAR_BLOCK;
    dev_t device = is_device ? makedev(entry->major, entry->minor) : 0;
    mode_t format = format_of(entry->type);
    int r;

    if (is_device && !(extraction->options->flags & (TREE_EXTRACT_RAW | TREE_EXTRACT_DEVICES)))
        return error_set_class(err, ERROR_INVALID, "it is a device");
    r = format == S_IFLNK ? symlinkat(entry->target, place->parent, place->base)
                          : mknodat(place->parent, place->base, format | 0600, device);
    if (r < 0)
        return errno == EEXIST ? -EEXIST : cannot(err, -errno, "make it");
    fd = openat(place->parent, place->base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    r = fd < 0 ? -errno : check_made(fd, format, device);
    if (r < 0)
        return cannot(err, r, "find what was made");
    r = tree_inode_apply(fd, TREE_FD_PATH, entry, extraction->xattrs, extraction->has_acls, err);
    if (r < 0)
        return r;
    r = tree_inode_set_times(fd, entry);
    return r < 0 ? cannot(err, r, "set times") : 0;
}

/* Another file system may allow fewer links than the one where these were made. Whiteouts, which
 * the kernel links to each other, need not be the same inode. */
static int make_again(const struct place *place, int target_parent, const char *target_base)
{
    struct stat st;

    if (fstatat(target_parent, target_base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISCHR(st.st_mode) || st.st_rdev != 0)
        return -EMLINK;
    return mknodat(place->parent, place->base, S_IFCHR | (st.st_mode & 07777), 0) < 0 ? -errno : 0;
}

static int make_hardlink(struct extraction *extraction, const struct place *place,
                         const char *target, struct error *err)
{
    CLEANUP_CLOSE int parent = -EBADF;
    CLEANUP_FREE char *path = full_path(extraction, target);
    const char *base;
    int r = 0;

    if (!path)
        return error_oom(err);
    parent = tree_path_open_parent(extraction->root_fd, path, false, &base);
    if (parent < 0)
        return error_set_errno(err, parent, "cannot link to '%.1024s'", target);
    if (linkat(parent, base, place->parent, place->base, 0) < 0)
        r = errno == EMLINK && extraction->raw ? make_again(place, parent, base) : -errno;
    if (r == -EEXIST)
        return r;
    return r < 0 ? error_set_errno(err, r, "cannot link to '%.1024s'", target) : 0;
}

/* --- members --- */

static int rename_member(const struct tree_extract_options *options, char **name)
{
    const char *from = options->rename_from;
    size_t length = from ? strlen(from) : 0;
    char *renamed;

    if (!from || strncmp(*name, from, length) != 0 ||
        (length > 0 && (*name)[length] != '/' && (*name)[length] != '\0'))
        return 0;
    renamed =
        string_format(length == 0 && **name ? "%s/%s" : "%s%s", options->rename_to, *name + length);
    if (!renamed)
        return -ENOMEM;
    free(*name);
    *name = renamed;
    return 0;
}

/* The clean name of what a member calls `text`; a message in docker's words if it climbs out. */
static int clean_name(const struct extraction *extraction, const char *member, const char *text,
                      bool is_target, char **ret, struct error *err)
{
    int r = tree_path_clean_member(text, ret);

    if (r == 0)
        r = rename_member(extraction->options, ret);
    if (r == -ENOMEM)
        return error_oom(err);
    if (r == -EINVAL && is_target)
        return error_set_class(err, ERROR_INVALID, "invalid hardlink \"%.512s\" -> \"%.512s\"",
                               member, text);
    if (r == -EINVAL)
        return error_set_class(err, ERROR_INVALID, "\"%.512s\" is outside of \"%.512s\"", text,
                               *extraction->top ? extraction->top : "/");
    if (r < 0)
        return error_set_class(err, ERROR_INVALID, "the name \"%.64s...\" is too %s", text,
                               r == -ELOOP ? "deep" : "long");
    return 0;
}

/* The member that is the top itself. */
static int apply_top(struct extraction *extraction, const struct tar_entry *entry,
                     struct error *err)
{
    CLEANUP_FREE char *path = full_path(extraction, "");
    CLEANUP_CLOSE int fd = -EBADF;
    const struct place place = {.name = ".", .base = "."};
    struct place here = place;

    if (entry->type != TAR_DIRECTORY)
        return error_set_class(err, ERROR_INVALID, "the top of the archive is no directory");
    if (!extraction->raw)
        return 0; /* docker leaves what is there as it is */
    if (!path)
        return error_oom(err);
    fd = tree_path_open(extraction->root_fd, path, false, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return cannot(err, fd, "open");
    here.parent = fd;
    return make_directory(extraction, &here, path, entry, true, err);
}

/* -EEXIST, without a message, when something is there. `kept`: that is a directory, as the member.
 */
static int make_kind(struct extraction *extraction, const struct place *place, const char *path,
                     const char *target, struct tar_entry *entry, bool kept, struct error *err)
{
    if (entry->type == TAR_DIRECTORY)
        return make_directory(extraction, place, path, entry, kept, err);
    if (entry->type == TAR_FILE)
        return make_file(extraction, place, entry, err);
    if (entry->type == TAR_HARDLINK)
        return make_hardlink(extraction, place, target, err);
    return make_special(extraction, place, entry, err);
}

/* Most of the time nothing is there. */
static int make_member(struct extraction *extraction, const char *name, const char *target,
                       struct tar_entry *entry, struct error *err)
{
    CLEANUP_FREE char *path = full_path(extraction, name);
    struct place place = {.name = name};
    bool is_directory = entry->type == TAR_DIRECTORY;
    int r;

    if (!path)
        return error_oom(err);
    r = find_place(extraction, path, &place, err);
    if (r < 0)
        return r;
    r = make_kind(extraction, &place, path, target, entry, false, err);
    if (r != -EEXIST)
        return r;
    r = clear_way(extraction, &place, is_directory, err);
    if (r < 0)
        return r;
    r = make_kind(extraction, &place, path, target, entry, false, err);
    if (r == -EEXIST && is_directory)
        r = make_kind(extraction, &place, path, target, entry, true, err);
    return r == -EEXIST ? cannot(err, r, "replace what is there") : r;
}

static int extract_entry(struct extraction *extraction, struct tar_entry *entry, struct error *err)
{
    CLEANUP_FREE char *name = NULL;
    CLEANUP_FREE char *target = NULL;
    int r = clean_name(extraction, entry->path, entry->path, false, &name, err);

    if (r == 0 && entry->type == TAR_HARDLINK) {
        r = clean_name(extraction, entry->path, entry->target, true, &target, err);
        /* It would be removed to make way for itself. */
        if (r == 0 && (!*target || string_equal(name, target)))
            r = error_set_class(err, ERROR_INVALID, "'%.1024s' is a link to itself", name);
    }
    if (r < 0)
        return r;
    if (extraction->options->owner) {
        entry->uid = extraction->options->owner->uid;
        entry->gid = extraction->options->owner->gid;
    }
    extraction->has_acls |= extraction->raw && tree_inode_hands_down(entry);
    r = *name ? make_member(extraction, name, target, entry, err)
              : apply_top(extraction, entry, err);
    return r < 0 && !extraction->refused ? error_wrap(err, r, "'%.1024s'", name) : r;
}

static int extract_all(struct extraction *extraction, struct error *err)
{
    CLEANUP(tar_entry_clear) struct tar_entry entry = {.type = TAR_FILE};
    uint64_t max = extraction->options->max_entries;
    int r;

    if (max == 0)
        max = TREE_ENTRIES_MAX;
    while ((r = tar_reader_next(extraction->tar, &entry, err)) > 0) {
        if (++extraction->result.entries > max)
            return error_set_class(err, ERROR_INVALID,
                                   "archive has more than %llu members, '%.512s' is one too many",
                                   (unsigned long long)max, entry.path);
        r = charge_entry(extraction, &entry, err);
        if (r == 0)
            r = extract_entry(extraction, &entry, err);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = tree_times_apply(&extraction->times, extraction->root_fd, err);
    return r < 0 ? r : tar_reader_drain(extraction->tar, TREE_TRAILER_MAX, err);
}

static int find_top(struct extraction *extraction, const char *path, struct error *err)
{
    CLEANUP_CLOSE int fd = -EBADF;
    int r = tree_path_follow(extraction->root_fd, path, &extraction->top);

    if (r < 0)
        return error_set_errno(err, r, "cannot resolve %s", path);
    fd = tree_path_open(extraction->root_fd, extraction->top, true, O_PATH);
    if (fd == -ENOENT)
        return error_set_class(err, ERROR_NOT_FOUND, "no such file or directory: %s", path);
    if (fd >= 0) {
        struct stat st;

        if (fstat(fd, &st) < 0)
            return error_set_errno(err, -errno, "cannot open %s", path);
        if (!S_ISDIR(st.st_mode))
            return error_set_class(err, ERROR_INVALID, "extraction point is not a directory");
        extraction->has_acls = extraction->raw && tree_inode_has_default_acl(fd);
    }
    if (fd < 0)
        return error_set_errno(err, fd, "cannot open %s", path);
    if (string_equal(extraction->top, "/"))
        extraction->top[0] = '\0';
    return 0;
}

int tree_extract(int root_fd, const char *path, const struct tree_extract_options *options,
                 const struct tar_source *source, struct tree_extract_result *ret,
                 struct error *err)
{
    bool raw = options->flags & TREE_EXTRACT_RAW;
    CLEANUP(extraction_release)
    struct extraction extraction = {
        .options = options,
        .root_fd = root_fd,
        .raw = raw,
        .xattrs = raw ? TREE_XATTRS_RAW : TREE_XATTRS_PUBLIC,
        .times = TREE_TIMES_INIT,
        .parent_fd = -EBADF,
    };
    int r = find_top(&extraction, path, err);

    if (r == 0)
        r = tar_reader_new(source, raw ? TAR_READER_NEED_END : 0, &extraction.tar, err);
    if (r == 0)
        r = extract_all(&extraction, err);
    if (r == 0 && ret)
        *ret = extraction.result;
    return r;
}
