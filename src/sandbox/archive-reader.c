#include "sandbox/archive-reader.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sandbox/archive-entry.h"
#include "sandbox/archive-header.h"
#include "sandbox/archive-pax.h"

enum {
    EXTENSIONS_MAX = 64, /* headers about one member */
    NUMBER_DIGITS_MAX = 19,
};

struct tar_reader {
    struct tar_source source;
    unsigned flags;
    bool ended;
    struct pax pax;
    struct tar_entry *entry; /* the caller's */
    size_t segment;          /* the one at hand of a sparse file */
    int64_t position;        /* in the file, of the next byte */
    int64_t left;            /* stored bytes of the member that were not read */
    size_t padding;          /* after them */
    uint64_t offset;         /* in the stream, of buffer[start] */
    size_t start;
    size_t end;
    char buffer[TAR_BUFFER_SIZE];
};

int tar_reader_new(const struct tar_source *source, unsigned flags, struct tar_reader **ret,
                   struct error *err)
{
    struct tar_reader *reader = malloc(sizeof(*reader));

    if (!reader)
        return error_oom(err);
    memset(reader, 0, offsetof(struct tar_reader, buffer));
    reader->source = *source;
    reader->flags = flags;
    pax_clear(&reader->pax);
    *ret = reader;
    return 0;
}

struct tar_reader *tar_reader_free(struct tar_reader *reader)
{
    if (reader)
        pax_clear(&reader->pax);
    free(reader);
    return NULL;
}

void tar_reader_cleanup(struct tar_reader **reader)
{
    *reader = tar_reader_free(*reader);
}

uint64_t tar_reader_offset(const struct tar_reader *reader)
{
    return reader->offset;
}

static int damaged(const struct tar_reader *reader, const char *what, struct error *err)
{
    return error_set_class(err, ERROR_INVALID, "archive is damaged at byte %llu: %s",
                           (unsigned long long)reader->offset, what);
}

static int cut(const struct tar_reader *reader, struct error *err)
{
    return error_set_class(err, ERROR_INVALID, "archive is cut off at byte %llu",
                           (unsigned long long)(reader->offset + reader->end - reader->start));
}

static int at_byte(const struct tar_reader *reader, int code, struct error *err)
{
    return error_wrap(err, code, "archive is damaged at byte %llu",
                      (unsigned long long)reader->offset);
}

static void consume(struct tar_reader *reader, size_t length)
{
    reader->start += length;
    reader->offset += length;
}

/* Tries to have `need` bytes at hand; fewer at the end of the stream. */
static ssize_t fill(struct tar_reader *reader, size_t need, struct error *err)
{
    if (reader->start == reader->end)
        reader->start = reader->end = 0;
    if (sizeof(reader->buffer) - reader->start < need) {
        memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    while (reader->end - reader->start < need) {
        ssize_t n = reader->source.read(reader->source.data, reader->buffer + reader->end,
                                        sizeof(reader->buffer) - reader->end, err);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        reader->end += (size_t)n;
    }
    return (ssize_t)(reader->end - reader->start);
}

/* Some bytes of what is left of the member, at most `max`; 0 when nothing is. */
static ssize_t take_some(struct tar_reader *reader, int64_t max, const char **ret,
                         struct error *err)
{
    ssize_t available;

    if (max > reader->left)
        max = reader->left;
    if (max == 0)
        return 0;
    available = fill(reader, 1, err);
    if (available < 0)
        return available;
    if (available == 0)
        return cut(reader, err);
    if (available > max)
        available = (ssize_t)max;
    *ret = reader->buffer + reader->start;
    consume(reader, (size_t)available);
    reader->left -= available;
    return available;
}

static int skip_rest(struct tar_reader *reader, struct error *err)
{
    const char *bytes;
    ssize_t n;

    reader->left += (int64_t)reader->padding;
    reader->padding = 0;
    while ((n = take_some(reader, reader->left, &bytes, err)) > 0)
        ;
    return (int)n;
}

/* The payload of an extension, with a NUL after it; *ret malloc'd. */
static int read_payload(struct tar_reader *reader, int64_t size, int64_t max, char **ret,
                        struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    const char *bytes;
    ssize_t n;

    if (size > max)
        return damaged(reader, "an extended header is too large", err);
    text = malloc((size_t)size + 1);
    if (!text)
        return error_oom(err);
    reader->left = size;
    reader->padding = header_padding(size);
    while ((n = take_some(reader, size, &bytes, err)) > 0) {
        memcpy(text + length, bytes, (size_t)n);
        length += (size_t)n;
    }
    if (n < 0)
        return (int)n;
    text[length] = '\0';
    *ret = TAKE_PTR(text);
    return skip_rest(reader, err);
}

static int read_block(struct tar_reader *reader, char block[TAR_UNIT], struct error *err)
{
    ssize_t n = fill(reader, TAR_UNIT, err);

    if (n < 0)
        return (int)n;
    if (n == 0)
        return 0;
    if (n < TAR_UNIT)
        return cut(reader, err);
    memcpy(block, reader->buffer + reader->start, TAR_UNIT);
    return 1;
}

/* After a block of zeros. */
static int read_end(struct tar_reader *reader, struct error *err)
{
    char block[TAR_UNIT];
    int r = read_block(reader, block, err);

    if (r < 0)
        return r;
    if (r == 0 && (reader->flags & TAR_READER_NEED_END))
        return cut(reader, err);
    if (r > 0 && !header_is_zero(block))
        return damaged(reader, "a lone block of zeros", err);
    consume(reader, r > 0 ? TAR_UNIT : 0);
    reader->ended = true;
    return 0;
}

/* 1, 0 at the end of the archive, -errno. */
static int read_header(struct tar_reader *reader, bool inside, char block[TAR_UNIT],
                       struct error *err)
{
    int r = read_block(reader, block, err);

    if (r < 0)
        return r;
    if (r == 0) {
        if (inside || (reader->flags & TAR_READER_NEED_END))
            return cut(reader, err);
        reader->ended = true;
        return 0;
    }
    if (header_is_zero(block)) {
        if (inside)
            return damaged(reader, "an extended header without a member", err);
        consume(reader, TAR_UNIT);
        return read_end(reader, err);
    }
    if (!header_is_sound(block))
        return damaged(reader, "this is no tar header", err);
    return 1;
}

/* GNU tar's long names: the text, with a NUL. They say the same as pax records. */
static int take_long_name(struct tar_reader *reader, enum pax_field field, char *text,
                          struct error *err)
{
    char **target = field == PAX_PATH ? &reader->pax.entry.path : &reader->pax.entry.target;

    if (!*text)
        return damaged(reader, "an empty name", err);
    free(*target);
    *target = strdup(text);
    if (!*target)
        return error_oom(err);
    reader->pax.set |= field;
    return 0;
}

/* 1 when the header was one about the member that follows, 0 when it is the member's own. */
static int read_extension(struct tar_reader *reader, const char block[TAR_UNIT], struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    char flag = header_flag(block);
    bool is_name = flag == 'L' || flag == 'K';
    int64_t size;
    int r;

    if (!strchr("xXgLKV", flag) || flag == '\0')
        return 0;
    r = header_size(block, &size, err);
    if (r < 0)
        return at_byte(reader, r, err);
    consume(reader, TAR_UNIT);
    r = read_payload(reader, size, is_name ? TAR_NAME_MAX : TAR_PAX_MAX, &text, err);
    if (r < 0)
        return r;
    if (is_name)
        r = take_long_name(reader, flag == 'L' ? PAX_PATH : PAX_TARGET, text, err);
    else if (flag == 'x' || flag == 'X') {
        r = pax_parse(&reader->pax, text, (size_t)size, err);
        if (r < 0)
            return at_byte(reader, r, err);
    }
    /* 'g' is about all members that follow: Go and docker do without it, so do we. 'V' is the
     * volume's name. */
    return r < 0 ? r : 1;
}

/* What the extended header said wins over the header. */
static void apply_pax(struct pax *pax, struct tar_entry *entry)
{
    struct tar_entry *said = &pax->entry;

    if (pax->set & PAX_PATH) {
        free(entry->path);
        entry->path = TAKE_PTR(said->path);
    }
    if (pax->set & PAX_TARGET) {
        free(entry->target);
        entry->target = TAKE_PTR(said->target);
    }
    if (pax->set & PAX_UID)
        entry->uid = said->uid;
    if (pax->set & PAX_GID)
        entry->gid = said->gid;
    if (pax->set & PAX_MTIME)
        entry->mtime = said->mtime;
    if (pax->set & PAX_MAJOR)
        entry->major = said->major;
    if (pax->set & PAX_MINOR)
        entry->minor = said->minor;
    entry->has_atime = pax->set & PAX_ATIME;
    entry->atime = said->atime;
    entry->xattrs = TAKE_PTR(said->xattrs);
    entry->n_xattrs = said->n_xattrs;
    said->n_xattrs = 0;
}

/* Type flags of POSIX and GNU; -1 for one that is none of ours. */
static int type_of(char flag, bool slash, bool is_socket)
{
    switch (flag) {
    case '\0':
    case '0':
        return slash ? TAR_DIRECTORY : TAR_FILE; /* as v7 wrote directories */
    case '7':                                    /* contiguous */
    case 'S':                                    /* sparse */
        return TAR_FILE;
    case '1':
        return TAR_HARDLINK;
    case '2':
        return TAR_SYMLINK;
    case '3':
        return TAR_CHARACTER;
    case '4':
        return TAR_BLOCK;
    case '5':
    case 'D': /* with a list of names as content, which is skipped */
        return TAR_DIRECTORY;
    case '6':
        return is_socket ? TAR_SOCKET : TAR_FIFO;
    default:
        return -1;
    }
}

/* One line of the map of format 1.0. */
static int read_map_number(struct tar_reader *reader, int64_t *taken, int64_t *ret,
                           struct error *err)
{
    int64_t value = 0;

    for (int digits = 0;; digits++) {
        const char *c = "";
        ssize_t n = take_some(reader, 1, &c, err);

        if (n < 0)
            return (int)n;
        *taken += n;
        if (n > 0 && *c == '\n' && digits > 0)
            break;
        if (n == 0 || *c < '0' || *c > '9' || digits == NUMBER_DIGITS_MAX ||
            __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *c - '0', &value))
            return damaged(reader, "invalid sparse map", err);
    }
    *ret = value;
    return 0;
}

static int add_segment(struct tar_reader *reader, int64_t offset, int64_t size, struct error *err)
{
    int r = tar_entry_add_segment(reader->entry, offset, size);

    if (r == -ENOMEM)
        return error_oom(err);
    return r < 0 ? damaged(reader, "invalid sparse map", err) : 0;
}

static int read_map(struct tar_reader *reader, struct error *err)
{
    int64_t taken = 0;
    int64_t count = 0;
    int64_t pad;
    const char *bytes;
    ssize_t n = 0;
    int r = read_map_number(reader, &taken, &count, err);

    for (int64_t i = 0; r == 0 && i < count; i++) {
        int64_t offset = 0;
        int64_t size = 0;

        r = read_map_number(reader, &taken, &offset, err);
        if (r == 0)
            r = read_map_number(reader, &taken, &size, err);
        if (r == 0)
            r = add_segment(reader, offset, size, err);
    }
    if (r < 0)
        return r;
    for (pad = (int64_t)header_padding(taken); pad > 0; pad -= n) {
        n = take_some(reader, pad, &bytes, err);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return damaged(reader, "invalid sparse map", err);
    }
    return 0;
}

static int read_old_map(struct tar_reader *reader, const char header[TAR_UNIT], struct error *err)
{
    bool more = false;
    int r = header_old_size(header, &reader->entry->size, err);

    if (r == 0)
        r = header_old_segments(header, true, reader->entry, &more, err);
    while (r == 0 && more) {
        char block[TAR_UNIT];

        r = read_block(reader, block, err);
        if (r < 0)
            return r;
        if (r == 0)
            return cut(reader, err);
        r = header_old_segments(block, false, reader->entry, &more, err);
        if (r == 0)
            consume(reader, TAR_UNIT);
    }
    return r < 0 ? at_byte(reader, r, err) : 0;
}

/* Content that is stored in pieces; the reader is at the first stored byte. */
static int prepare_sparse(struct tar_reader *reader, const char header[TAR_UNIT], struct error *err)
{
    struct pax *pax = &reader->pax;
    struct tar_entry *entry = reader->entry;
    int r = 0;

    entry->sparse = true;
    if (header_flag(header) == 'S') {
        r = read_old_map(reader, header, err);
    } else if (pax->set & PAX_SPARSE_MAP) {
        entry->segments = TAKE_PTR(pax->entry.segments);
        entry->n_segments = pax->entry.n_segments;
        pax->entry.n_segments = 0;
        entry->size = pax->real_size;
    } else if (pax->sparse_major == 1 && pax->sparse_minor == 0) {
        entry->size = pax->real_size;
        r = read_map(reader, err);
    } else {
        return damaged(reader, "a sparse file in a format that is not known", err);
    }
    if (r < 0)
        return r;
    if (entry->n_segments > 0) {
        const struct tar_segment *last = &entry->segments[entry->n_segments - 1];

        if (last->offset + last->size > entry->size)
            return damaged(reader, "invalid sparse map", err);
    }
    if (tar_entry_stored(entry) != reader->left)
        return damaged(reader, "a sparse file of another size than its map", err);
    return 0;
}

static int check_entry(const struct tar_reader *reader, struct error *err)
{
    const struct tar_entry *entry = reader->entry;
    bool is_link = entry->type == TAR_SYMLINK || entry->type == TAR_HARDLINK;

    if (!*entry->path)
        return damaged(reader, "a member has no name", err);
    if (is_link && !*entry->target)
        return damaged(reader, "a link to nothing", err);
    return 0;
}

static int read_member(struct tar_reader *reader, const char block[TAR_UNIT], struct error *err)
{
    struct tar_entry *entry = reader->entry;
    struct pax *pax = &reader->pax;
    char flag = header_flag(block);
    int64_t size = 0;
    size_t length;
    int type;
    int r = header_parse(block, entry, err);

    if (r == 0 && !(pax->set & PAX_SIZE))
        r = header_size(block, &size, err);
    if (r < 0)
        return at_byte(reader, r, err);
    if (pax->set & PAX_SIZE)
        size = pax->entry.size;
    apply_pax(pax, entry);
    length = strlen(entry->path);
    type = type_of(flag, length > 0 && entry->path[length - 1] == '/', pax->set & PAX_SOCKET);
    if (type < 0)
        return damaged(reader, "a member of an unknown type", err);
    entry->type = (enum tar_type)type;
    while (length > 1 && entry->path[length - 1] == '/')
        entry->path[--length] = '\0';
    r = check_entry(reader, err);
    if (r < 0)
        return r;
    consume(reader, TAR_UNIT);
    /* Of other types Go and GNU tar believe that nothing is stored, whatever the size says. */
    reader->left = type == TAR_FILE || flag == 'D' ? size : 0;
    reader->padding = header_padding(reader->left);
    reader->position = 0;
    reader->segment = 0;
    if (type != TAR_FILE)
        return 0;
    entry->size = size;
    if (flag == 'S' || (pax->set & PAX_SPARSE_MAP) || pax->sparse_major >= 0)
        return prepare_sparse(reader, block, err);
    return 0;
}

int tar_reader_next(struct tar_reader *reader, struct tar_entry *entry, struct error *err)
{
    char block[TAR_UNIT];
    int r;

    reader->entry = entry;
    r = reader->ended ? 0 : skip_rest(reader, err);
    tar_entry_clear(entry);
    pax_clear(&reader->pax);
    if (r < 0 || reader->ended)
        return r;
    for (int i = 0; i <= EXTENSIONS_MAX; i++) {
        r = read_header(reader, i > 0, block, err);
        if (r <= 0)
            return r;
        r = read_extension(reader, block, err);
        if (r < 0)
            return r;
        if (r == 0) {
            r = read_member(reader, block, err);
            return r < 0 ? r : 1;
        }
    }
    return damaged(reader, "too many extended headers", err);
}

int tar_reader_data(struct tar_reader *reader, const void **ret, size_t *ret_length,
                    int64_t *ret_offset, struct error *err)
{
    const struct tar_entry *entry = reader->entry;
    int64_t max = INT64_MAX;
    const char *bytes;
    ssize_t n;

    if (entry->type != TAR_FILE)
        return 0;
    if (entry->sparse) {
        const struct tar_segment *segment = NULL;

        for (; reader->segment < entry->n_segments; reader->segment++) {
            segment = &entry->segments[reader->segment];
            if (reader->position < segment->offset)
                reader->position = segment->offset;
            if (reader->position < segment->offset + segment->size)
                break;
        }
        if (!segment || reader->segment == entry->n_segments)
            return 0;
        max = segment->offset + segment->size - reader->position;
    }
    n = take_some(reader, max, &bytes, err);
    if (n <= 0)
        return (int)n;
    *ret = bytes;
    *ret_length = (size_t)n;
    *ret_offset = reader->position;
    reader->position += n;
    return 1;
}

int tar_reader_drain(struct tar_reader *reader, uint64_t max, struct error *err)
{
    while (max > 0) {
        ssize_t n = fill(reader, 1, err);

        if (n <= 0)
            return (int)n;
        if ((uint64_t)n > max)
            return 0;
        consume(reader, (size_t)n);
        max -= (uint64_t)n;
    }
    return 0;
}
