/* Content of files by reference: an archive between two who can both reach where the bytes are need
 * not carry them.
 *
 * A large file is then sent as one hole, with an attribute that no file system has:
 * TREE_CONTENT_XATTR, an array of struct tree_piece. What it says comes from the sender, which may
 * be hostile: it can only name bytes of the one file, or of the files below the one directory, that
 * the receiver was given as their source. */
#ifndef HULL_SANDBOX_TREE_CONTENT_H
#define HULL_SANDBOX_TREE_CONTENT_H

#include <stdint.h>

struct error;
struct tar_entry;

#define TREE_CONTENT_XATTR "hull.content"

enum {
    TREE_CONTENT_MIN = 64 * 1024, /* size of a file from which it is worth it */
    TREE_PIECES_MAX = 2048,       /* of a file; as many as an attribute holds */
};

/* Where the bytes are. */
enum tree_content {
    TREE_CONTENT_HERE, /* in the archive */
    TREE_CONTENT_DISK, /* in the disk image with the file system: by physical offset (FIEMAP) */
    TREE_CONTENT_PATH, /* in the file of the same path */
};

/* Little-endian. */
struct tree_piece {
    uint64_t offset; /* in the file */
    uint64_t length;
    uint64_t source; /* offset in the image, or in the other file */
};

/* How a receiver comes by it. */
struct tree_content_way {
    enum tree_content how;
    int source_fd; /* the image (TREE_CONTENT_DISK), or the directory that the path is below */
    int disk_fd;   /* the image whose file system the receiver fills, and that no VM has had;
                    * -EBADF: none. Its page cache is the one that is kept. */
};

/* Sender: makes the file's entry one by reference, if its content can be told so: 1, else 0. `fd`
 * is the file, open for reading; the entry has its size, and with TREE_CONTENT_PATH its segments if
 * it is sparse. */
int tree_content_refer(int fd, enum tree_content how, struct tar_entry *entry, struct error *err);

/* Receiver: fills the new, empty file `fd` with what the entry refers to, and takes the attribute
 * off the entry. 1; 0 when it refers to nothing; -EINVAL (ERROR_INVALID) when that cannot be, or is
 * more than `max` bytes. The disk has begun to write it, and no more than that, when it returns. */
int tree_content_fetch(int fd, const struct tree_content_way *way, struct tar_entry *entry,
                       uint64_t max, uint64_t *ret_bytes, struct error *err);

#endif
