/* Content of a file by reference (sandbox/tree-content.h), as a guest that is converted says it.
 * Whatever it says, the new file holds nothing but zeros and bytes of its source, and no more than
 * was said to be allowed.
 *
 *     1 byte   bit 0: the source is an image, else a directory
 *     1 byte   KiB that are allowed
 *     4 bytes  KiB of the file's size, little-endian, of which 22 bits count
 *     1 byte   length of the path, which follows
 *     rest     the attribute */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "sandbox/archive-entry.h"
#include "sandbox/tree-content.h"

enum { SOURCE_SIZE = 96 * 1024, HEAD = 7, OWN = 's', FOREIGN = 'x' };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(int fd, char byte, size_t size)
{
    char block[1024];

    memset(block, byte, sizeof(block));
    for (size_t done = 0; done < size; done += sizeof(block))
        if (fd_write_full(fd, block, sizeof(block)) < 0)
            abort();
}

static void make(const char *scratch, const char *name, char byte)
{
    CLEANUP_FREE char *path = path_join(scratch, name);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        abort();
    fill(fd, byte, SOURCE_SIZE);
}

/* scratch/source/file and scratch/source/d/file may be read, scratch/secret must not be. */
static int make_directory(const char *scratch)
{
    CLEANUP_FREE char *source = path_join(scratch, "source");
    CLEANUP_FREE char *below = path_join(scratch, "source/d");
    CLEANUP_FREE char *link = path_join(scratch, "source/link");

    if (mkdir(source, 0700) < 0 || mkdir(below, 0700) < 0 || symlink("../secret", link) < 0)
        abort();
    make(scratch, "secret", FOREIGN);
    make(scratch, "source/file", OWN);
    make(scratch, "source/d/file", OWN);
    return open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int make_image(void)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    if (fd < 0)
        abort();
    fill(fd, OWN, SOURCE_SIZE);
    return fd;
}

static void check(int fd, uint64_t size, uint64_t bytes)
{
    struct stat st;
    uint64_t found = 0;
    char block[4096];
    ssize_t n;

    if (fstat(fd, &st) < 0 || st.st_size < 0 || (uint64_t)st.st_size > size)
        abort();
    for (off_t at = 0; (n = pread(fd, block, sizeof(block), at)) > 0; at += n)
        for (ssize_t i = 0; i < n; i++) {
            if (block[i] != OWN && block[i] != '\0')
                abort();
            found += block[i] == OWN;
        }
    if (found > bytes)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char scratch[] = "/tmp/hull-fuzz-content-XXXXXX";
    CLEANUP(tar_entry_clear) struct tar_entry entry = {.type = TAR_FILE};
    uint64_t bytes = 0;
    uint32_t kib;

    if (size < HEAD || size - HEAD < data[HEAD - 1] || data[0] & ~1)
        return 0;
    const size_t path_length = data[HEAD - 1];
    const bool image = data[0] & 1;
    const uint64_t max = data[1] * 1024ULL;
    memcpy(&kib, data + 2, sizeof(kib));
    entry.size = (int64_t)(le32toh(kib) & 0x3fffff) * 1024;
    entry.path = strndup((const char *)data + HEAD, path_length);
    if (!entry.path || tar_entry_add_xattr(&entry, TREE_CONTENT_XATTR, data + HEAD + path_length,
                                           size - HEAD - path_length) < 0)
        return 0;
    if (!mkdtemp(scratch))
        abort();
    CLEANUP_CLOSE int source = image ? make_image() : make_directory(scratch);
    CLEANUP_CLOSE int target = memfd_create("target", MFD_CLOEXEC);
    const struct tree_content_way way = {.how = image ? TREE_CONTENT_DISK : TREE_CONTENT_PATH,
                                         .source_fd = source,
                                         .disk_fd = -EBADF};
    int r = tree_content_fetch(target, &way, &entry, max, &bytes, NULL);
    if (r == 0 || entry.n_xattrs != 0 || (r > 0 && bytes > max))
        abort();
    check(target, (uint64_t)entry.size, r > 0 ? bytes : 0);
    path_remove_tree(AT_FDCWD, scratch, NULL);
    return 0;
}
