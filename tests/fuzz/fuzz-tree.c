/* A tar stream, read, and made into files below a root of its own. The first byte chooses options.
 * The canary beside that root must stay as it is. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "sandbox/archive-entry.h"
#include "sandbox/archive-reader.h"
#include "sandbox/tree-extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
    size_t piece;
};

static ssize_t read_input(void *data, void *bytes, size_t size, struct error *err)
{
    struct input *input = data;
    size_t n = input->size < size ? input->size : size;

    (void)err;
    if (input->piece && n > input->piece)
        n = input->piece;
    if (n > 0)
        memcpy(bytes, input->data, n);
    input->data += n;
    input->size -= n;
    return (ssize_t)n;
}

/* What the reader promises: pieces of content rise and are within the size. */
static void read_all(struct input input)
{
    CLEANUP(tar_reader_cleanup) struct tar_reader *reader = NULL;
    CLEANUP(tar_entry_clear) struct tar_entry entry = {.type = TAR_FILE};
    const struct tar_source source = {.read = read_input, .data = &input};
    const void *bytes;
    size_t length;
    int64_t offset;

    if (tar_reader_new(&source, 0, &reader, NULL) < 0)
        abort();
    while (tar_reader_next(reader, &entry, NULL) > 0) {
        int64_t end = 0;

        if (!entry.path || entry.uid == (uid_t)-1 || entry.mtime.tv_nsec < 0 ||
            entry.mtime.tv_nsec > 999999999)
            abort();
        while (tar_reader_data(reader, &bytes, &length, &offset, NULL) > 0) {
            if (length == 0 || offset < end || (int64_t)length > entry.size - offset)
                abort();
            end = offset + (int64_t)length;
        }
    }
}

static void check_canary(const char *scratch)
{
    struct stat st;
    CLEANUP_FREE char *canary = path_join(scratch, "canary");

    if (lstat(canary, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0 || st.st_nlink != 1 ||
        (st.st_mode & 07777) != 0600)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char scratch[] = "/tmp/hull-fuzz-tree-XXXXXX";
    struct input input = {.data = data + 1, .size = size - 1};
    const struct tar_source source = {.read = read_input, .data = &input};
    struct tree_extract_options options = {.max_entries = 64, .max_bytes = 1 << 20};

    if (size == 0)
        return 0;
    options.flags = data[0] & 7;
    input.piece = data[0] & 8 ? 100 : 0;
    read_all(input);
    if (!mkdtemp(scratch))
        abort();
    CLEANUP_FREE char *root = path_join(scratch, "root");
    CLEANUP_FREE char *canary = path_join(scratch, "canary");
    CLEANUP_CLOSE int file = open(canary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || mkdir(root, 0755) < 0)
        abort();
    CLEANUP_CLOSE int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)tree_extract(root_fd, data[0] & 16 ? "/d" : "/", &options, &source, NULL, NULL);
    check_canary(scratch);
    path_remove_tree(AT_FDCWD, scratch, NULL);
    return 0;
}
