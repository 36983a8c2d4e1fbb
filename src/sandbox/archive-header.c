#include "sandbox/archive-header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "sandbox/archive-entry.h"

/* POSIX.1-1988; GNU tar has other things in place of prefix. */
struct ustar {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char flag;
    char target[100];
    char magic[6];
    char version[2];
    char user[32];
    char group[32];
    char major[8];
    char minor[8];
    char prefix[155];
    char rest[12];
};

enum {
    OLD_SEGMENTS_OFFSET = 386,
    OLD_MORE_OFFSET = 482,
    OLD_SIZE_OFFSET = 483,
    CONTINUED_MORE_OFFSET = 504,
    NUMBER_SIZE = 12,
};

_Static_assert(sizeof(struct ustar) == TAR_UNIT, "a header is one block");

size_t header_padding(int64_t length)
{
    return (size_t)(-(uint64_t)length % TAR_UNIT);
}

/* Octal digits and a NUL; a value that does not fit is left 0 for the extended header to say. By
 * hand: this is done twenty times a file. */
static void put_number(char *field, size_t size, int64_t value)
{
    if (value < 0 || (uint64_t)value >> (3 * (size - 1)) != 0)
        value = 0;
    field[size - 1] = '\0';
    for (size_t i = size - 1; i > 0; i--, value >>= 3)
        field[i - 1] = (char)('0' + (value & 7));
}

/* The sum of all bytes with blanks in place of the checksum. */
static int64_t sum_block(const char block[])
{
    const unsigned char *bytes = (const void *)block;
    const size_t offset = offsetof(struct ustar, checksum);
    const size_t size = sizeof(((struct ustar *)NULL)->checksum);
    unsigned sum = (unsigned)(' ' * size);

    for (size_t i = 0; i < TAR_UNIT; i++)
        sum += bytes[i];
    for (size_t i = offset; i < offset + size; i++)
        sum -= bytes[i];
    return sum;
}

/* Some old tars took bytes for signed: each above 127 counts 256 less. */
static int64_t sum_block_signed(const char block[])
{
    int64_t sum = sum_block(block);

    for (size_t i = 0; i < TAR_UNIT; i++) {
        size_t offset = offsetof(struct ustar, checksum);

        if (((unsigned char)block[i] & 0x80) && (i < offset || i >= offset + 8))
            sum -= 256;
    }
    return sum;
}

static void finish(struct ustar *header)
{
    memcpy(header->magic, "ustar", 6);
    memcpy(header->version, "00", 2);
    /* Six digits, a NUL, a blank. */
    put_number(header->checksum, 7, sum_block((const char *)header));
    header->checksum[7] = ' ';
}

static char flag_of(enum tar_type type)
{
    static const char flags[TAR_TYPE_MAX] = {
        [TAR_FILE] = '0',      [TAR_DIRECTORY] = '5', [TAR_SYMLINK] = '2', [TAR_HARDLINK] = '1',
        [TAR_CHARACTER] = '3', [TAR_BLOCK] = '4',     [TAR_FIFO] = '6',    [TAR_SOCKET] = '6',
    };

    return flags[type];
}

/* As much as there is room for: the field needs no NUL. */
static void put_text(char *field, size_t size, const char *text)
{
    memcpy(field, text, strnlen(text, size));
}

void header_make(char block[], const struct tar_entry *entry, int64_t stored)
{
    struct ustar header = {.name = {0}};
    size_t length = strlen(entry->path);

    put_text(header.name, sizeof(header.name), entry->path);
    /* Without the slash an old tar would make a file of a directory. */
    if (entry->type == TAR_DIRECTORY && length > 0 && length < sizeof(header.name) &&
        entry->path[length - 1] != '/')
        header.name[length] = '/';
    put_text(header.target, sizeof(header.target), string_or(entry->target, ""));
    put_number(header.mode, sizeof(header.mode), entry->mode & 07777);
    put_number(header.uid, sizeof(header.uid), entry->uid);
    put_number(header.gid, sizeof(header.gid), entry->gid);
    put_number(header.size, sizeof(header.size), stored);
    put_number(header.mtime, sizeof(header.mtime), entry->mtime.tv_sec);
    put_number(header.major, sizeof(header.major), entry->major);
    put_number(header.minor, sizeof(header.minor), entry->minor);
    header.flag = flag_of(entry->type);
    finish(&header);
    memcpy(block, &header, sizeof(header));
}

void header_make_extended(char block[], int64_t length)
{
    struct ustar header = {.flag = 'x'};

    put_text(header.name, sizeof(header.name), "PaxHeaders/x");
    put_number(header.mode, sizeof(header.mode), 0644);
    put_number(header.uid, sizeof(header.uid), 0);
    put_number(header.gid, sizeof(header.gid), 0);
    put_number(header.size, sizeof(header.size), length);
    put_number(header.mtime, sizeof(header.mtime), 0);
    finish(&header);
    memcpy(block, &header, sizeof(header));
}

bool header_is_zero(const char block[])
{
    for (size_t i = 0; i < TAR_UNIT; i++)
        if (block[i])
            return false;
    return true;
}

/* Big-endian two's complement with the first bit as a mark (GNU tar, star). */
static int read_binary(const char *field, size_t size, int64_t *ret)
{
    bool negative = field[0] & 0x40;
    uint64_t value = negative ? UINT64_MAX : 0;

    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)field[i];

        if (i == 0)
            byte = negative ? byte | 0x80 : byte & 0x7f;
        /* What is pushed out at the top must be sign only. */
        if ((value >> 55) != (negative ? 0x1ff : 0))
            return -EINVAL;
        value = value << 8 | byte;
    }
    *ret = (int64_t)value;
    return 0;
}

/* Octal with blanks before and a blank or NUL after; an empty field is 0. */
static int read_number(const char *field, size_t size, int64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;

    if (field[0] & 0x80)
        return read_binary(field, size, ret);
    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
        if (value >> 60)
            return -EINVAL;
        value = value << 3 | (uint64_t)(field[i] - '0');
    }
    for (; i < size; i++)
        if (field[i] != ' ' && field[i] != '\0')
            return -EINVAL;
    *ret = (int64_t)value;
    return 0;
}

static int need_number(const char *field, size_t size, int64_t max, const char *name, int64_t *ret,
                       struct error *err)
{
    int64_t value;

    if (read_number(field, size, &value) < 0 || value < 0 || value > max)
        return error_set_class(err, ERROR_INVALID, "invalid %s", name);
    *ret = value;
    return 0;
}

bool header_is_sound(const char block[])
{
    const struct ustar *header = (const void *)block;
    int64_t said;

    if (read_number(header->checksum, sizeof(header->checksum), &said) < 0)
        return false;
    return said == sum_block(block) || said == sum_block_signed(block);
}

char header_flag(const char block[])
{
    const struct ustar *header = (const void *)block;

    return header->flag;
}

int header_size(const char block[], int64_t *ret, struct error *err)
{
    const struct ustar *header = (const void *)block;

    return need_number(header->size, sizeof(header->size), INT64_MAX - TAR_UNIT, "size", ret, err);
}

static char *read_text(const char *field, size_t size)
{
    return strndup(field, size);
}

static int parse_names(const struct ustar *header, struct tar_entry *ret, struct error *err)
{
    bool posix = memcmp(header->magic, "ustar", 6) == 0;

    free(ret->path);
    free(ret->target);
    ret->target = read_text(header->target, sizeof(header->target));
    if (posix && header->prefix[0])
        ret->path = string_format("%.*s/%.*s", (int)sizeof(header->prefix), header->prefix,
                                  (int)sizeof(header->name), header->name);
    else
        ret->path = read_text(header->name, sizeof(header->name));
    return ret->path && ret->target ? 0 : error_oom(err);
}

int header_parse(const char block[], struct tar_entry *ret, struct error *err)
{
    const struct ustar *header = (const void *)block;
    int64_t mode = 0, uid = 0, gid = 0, mtime = 0, major = 0, minor = 0;
    char flag = header->flag;
    int r;

    if ((r = need_number(header->mode, sizeof(header->mode), INT64_MAX, "mode", &mode, err)) < 0 ||
        (r = need_number(header->uid, sizeof(header->uid), UINT32_MAX - 1, "uid", &uid, err)) < 0 ||
        (r = need_number(header->gid, sizeof(header->gid), UINT32_MAX - 1, "gid", &gid, err)) < 0)
        return r;
    if (read_number(header->mtime, sizeof(header->mtime), &mtime) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid mtime");
    /* Of other types the fields may hold anything. */
    if ((flag == '3' || flag == '4') &&
        ((r = need_number(header->major, sizeof(header->major), UINT32_MAX, "device number", &major,
                          err)) < 0 ||
         (r = need_number(header->minor, sizeof(header->minor), UINT32_MAX, "device number", &minor,
                          err)) < 0))
        return r;
    ret->mode = (mode_t)mode & 07777;
    ret->uid = (uid_t)uid;
    ret->gid = (gid_t)gid;
    ret->mtime = (struct timespec){.tv_sec = mtime};
    ret->major = (unsigned)major;
    ret->minor = (unsigned)minor;
    return parse_names(header, ret, err);
}

int header_old_size(const char block[], int64_t *ret, struct error *err)
{
    return need_number(block + OLD_SIZE_OFFSET, NUMBER_SIZE, INT64_MAX - TAR_UNIT, "size", ret,
                       err);
}

int header_old_segments(const char block[], bool first, struct tar_entry *ret, bool *ret_more,
                        struct error *err)
{
    const char *at = block + (first ? OLD_SEGMENTS_OFFSET : 0);
    size_t n = first ? HEADER_OLD_SEGMENTS : HEADER_MORE_SEGMENTS;

    for (size_t i = 0; i < n && at[0] != '\0'; i++, at += 2 * NUMBER_SIZE) {
        int64_t offset, size;
        int r;

        if (read_number(at, NUMBER_SIZE, &offset) < 0 ||
            read_number(at + NUMBER_SIZE, NUMBER_SIZE, &size) < 0)
            return error_set_class(err, ERROR_INVALID, "invalid sparse map");
        r = tar_entry_add_segment(ret, offset, size);
        if (r < 0)
            return r == -ENOMEM ? error_oom(err)
                                : error_set_class(err, ERROR_INVALID, "invalid sparse map");
    }
    *ret_more = block[first ? OLD_MORE_OFFSET : CONTINUED_MORE_OFFSET] != 0;
    return 0;
}
