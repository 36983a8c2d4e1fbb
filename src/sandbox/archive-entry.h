/* What one member of a tar archive says, as the writer (archive-writer.h) takes it and the reader
 * (archive-reader.h) gives it.
 *
 * The format is POSIX pax (pax(1), "pax Interchange Format"), with the keywords that others read
 * too: SCHILY.xattr.NAME (star, GNU tar, Go), SCHILY.devmajor and devminor (star), GNU.sparse 1.0
 * (GNU tar), LIBARCHIVE.xattr.NAME where an attribute's name cannot be a keyword, and one of our
 * own, `HULL.type=socket`: a reader that does not know it makes a fifo.
 *
 * Why not libarchive, which image/ uses: its writer refuses sockets and has no way to add a
 * keyword; it writes a time before 1970 with a fraction in a way that other readers take for
 * another one; and a worker of one container would map it together with libxml2 and ICU (2.5 MiB of
 * PSS, where all of hull-worker may have 2). In the static hull-init it would add 150 KiB. */
#ifndef HULL_SANDBOX_ARCHIVE_ENTRY_H
#define HULL_SANDBOX_ARCHIVE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct error;

enum {
    TAR_UNIT = 512,                /* tar's block */
    TAR_BUFFER_SIZE = 1024 * 1024, /* of a reader or a writer */
    TAR_NAME_MAX = 256 * 1024,     /* bytes of a path or link target */
    TAR_PAX_MAX = 4 * 1024 * 1024, /* bytes of all extended attributes and names of a member */
    TAR_XATTRS_MAX = 4096,         /* of a member */
    TAR_XATTR_NAME_MAX = 255,      /* XATTR_NAME_MAX of the kernel */
    TAR_XATTR_SIZE_MAX = 65536,    /* XATTR_SIZE_MAX */
    TAR_SEGMENTS_MAX = 1 << 20,    /* pieces of data in a sparse file */
};

enum tar_type {
    TAR_FILE,
    TAR_DIRECTORY,
    TAR_SYMLINK,
    TAR_HARDLINK, /* to a member of any type but directory */
    TAR_CHARACTER,
    TAR_BLOCK,
    TAR_FIFO,
    TAR_SOCKET,
    TAR_TYPE_MAX,
};

struct tar_xattr {
    char *name;
    void *value;
    size_t size;
};

/* A piece of a sparse file that is not hole. */
struct tar_segment {
    int64_t offset;
    int64_t size;
};

/* Owns all that its pointers point to. Zeroed is empty. */
struct tar_entry {
    enum tar_type type;
    char *path;     /* bytes; of a directory without a slash at its end */
    char *target;   /* of links */
    mode_t mode;    /* permission bits, set-uid, set-gid, sticky */
    uid_t uid;      /* never -1 */
    gid_t gid;      /* never -1 */
    int64_t size;   /* of a file's content, holes included; else 0 */
    unsigned major; /* of devices */
    unsigned minor;
    struct timespec mtime;
    struct timespec atime;
    bool has_atime;
    struct tar_xattr *xattrs;
    size_t n_xattrs;
    bool sparse; /* then only the segments are stored: rising, not overlapping, within size */
    struct tar_segment *segments;
    size_t n_segments;
};

/* Frees the content; the entry is empty and usable again. */
void tar_entry_clear(struct tar_entry *entry);

/* Copies; a second value for a name replaces the first. -ENOMEM, or -E2BIG above the maxima. */
int tar_entry_add_xattr(struct tar_entry *entry, const char *name, const void *value, size_t size);
/* NULL when it has no such attribute. */
const struct tar_xattr *tar_entry_find_xattr(const struct tar_entry *entry, const char *name);

/* Appends; -ENOMEM, -E2BIG above TAR_SEGMENTS_MAX, -EINVAL when it is out of order. */
int tar_entry_add_segment(struct tar_entry *entry, int64_t offset, int64_t size);
/* Bytes of content that are stored: the size, or the sum of a sparse file's segments. */
int64_t tar_entry_stored(const struct tar_entry *entry);

/* Where a writer's bytes go. 0 or -errno with err filled. */
struct tar_sink {
    int (*write)(void *data, const void *bytes, size_t length, struct error *err);
    void *data;
};
/* Where a reader's bytes come from: at most `size`; 0 at the end; -errno with err filled. */
struct tar_source {
    ssize_t (*read)(void *data, void *bytes, size_t size, struct error *err);
    void *data;
};

/* For blocking descriptors; *fd is borrowed and lives as long as the sink or source. */
struct tar_sink tar_sink_fd(int *fd);
struct tar_source tar_source_fd(int *fd);

#endif
