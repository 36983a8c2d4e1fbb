/* Blocks of 512 bytes at the head of each member of a tar archive: ustar (POSIX.1-1988), v7, and
 * what GNU tar writes there. */
#ifndef HULL_SANDBOX_ARCHIVE_HEADER_H
#define HULL_SANDBOX_ARCHIVE_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct tar_entry;

enum {
    HEADER_NAME_MAX = 100, /* longer names go into the extended header */
    HEADER_OLD_SEGMENTS = 4,
    HEADER_MORE_SEGMENTS = 21,
};

/* Largest values that the octal fields hold; larger ones go into the extended header. */
#define HEADER_ID_MAX 07777777LL
#define HEADER_SIZE_MAX 077777777777LL

/* Bytes from `length` to the next block. */
size_t header_padding(int64_t length);

/* The header of a member with `stored` bytes after it. What does not fit is cut: the extended
 * header before it says it in full. */
void header_make(char block[], const struct tar_entry *entry, int64_t stored);
/* That of an extended header of `length` bytes. */
void header_make_extended(char block[], int64_t length);

bool header_is_zero(const char block[]);
/* The checksum is right. */
bool header_is_sound(const char block[]);

/* Type flag, and bytes that are stored after the block. -EINVAL with the field's name. */
char header_flag(const char block[]);
int header_size(const char block[], int64_t *ret, struct error *err);

/* Path, target, mode, owner, time and device of the entry, replacing what it has; not its type. */
int header_parse(const char block[], struct tar_entry *ret, struct error *err);

/* GNU tar's old sparse format (type flag 'S'). header_old_segments() adds those of the header, or
 * of a block that continues it, to the entry; *ret_more: another block follows. */
int header_old_size(const char block[], int64_t *ret, struct error *err);
int header_old_segments(const char block[], bool first, struct tar_entry *ret, bool *ret_more,
                        struct error *err);

#endif
