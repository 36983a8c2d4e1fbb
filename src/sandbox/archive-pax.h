/* Extended headers of the pax format: records "LENGTH KEYWORD=VALUE\n". */
#ifndef HULL_SANDBOX_ARCHIVE_PAX_H
#define HULL_SANDBOX_ARCHIVE_PAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/archive-entry.h"

struct buffer;
struct error;

/* Appends the records that a member with `stored` bytes after its header needs; none when all fits
 * into the header. -EOVERFLOW when they pass the buffer's maximum, -ENOMEM. */
int pax_make(struct buffer *buffer, const struct tar_entry *entry, int64_t stored);

/* What records said about the member that follows. */
struct pax {
    struct tar_entry entry; /* members as far as `set` has their bit; attributes; sparse map 0.x */
    unsigned set;           /* enum pax_field */
    int64_t real_size;      /* GNU.sparse.size, GNU.sparse.realsize */
    int sparse_major;       /* -1: not sparse in formats 0.1 and 1.0 */
    int sparse_minor;
    int64_t pending_offset; /* GNU.sparse.offset waiting for its numbytes; -1: none */
};

enum pax_field {
    PAX_PATH = 1 << 0,
    PAX_TARGET = 1 << 1,
    PAX_SIZE = 1 << 2,
    PAX_UID = 1 << 3,
    PAX_GID = 1 << 4,
    PAX_MTIME = 1 << 5,
    PAX_ATIME = 1 << 6,
    PAX_MAJOR = 1 << 7,
    PAX_MINOR = 1 << 8,
    PAX_SOCKET = 1 << 9,
    PAX_REAL_SIZE = 1 << 10,
    PAX_SPARSE_NAME = 1 << 11, /* wins over the path, whichever comes first */
    PAX_SPARSE_MAP = 1 << 12,  /* formats 0.0 and 0.1: the map is in the records */
};

void pax_clear(struct pax *pax);
/* Reads the records; a later one wins. Keywords that are not known are ignored. -EINVAL
 * (ERROR_INVALID) with what is wrong. */
int pax_parse(struct pax *pax, const char *text, size_t length, struct error *err);

#endif
