/* A layer's tar, unpacked into a directory of its own. The canary beside that directory must stay
 * as it is. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "image/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    char scratch[] = "/tmp/hull-fuzz-unpack-XXXXXX";
    struct unpack_result result;
    if (!mkdtemp(scratch))
        abort();
    CLEANUP_FREE char *root = path_join(scratch, "root");
    CLEANUP_FREE char *canary = path_join(scratch, "canary");
    CLEANUP_CLOSE int file = open(canary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CLEANUP_CLOSE int input = memfd_create("layer", MFD_CLOEXEC);
    if (file < 0 || mkdir(root, 0755) < 0 || fd_write_full(input, data, size) < 0 ||
        lseek(input, 0, SEEK_SET) < 0)
        abort();
    CLEANUP_CLOSE int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct stream_options options = {
        .fd = input,
        .limits = {.bytes = 1 << 24, .allowance = 1 << 20, .ratio = 10},
    };
    unpack_layer(&options, root_fd, &result, NULL);
    check_canary(scratch);
    path_remove_tree(AT_FDCWD, scratch, NULL);
    return 0;
}
