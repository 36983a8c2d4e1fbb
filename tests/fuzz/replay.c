/* Gives a fuzzer each file of its corpus, in builds without libFuzzer. usage: replay-NAME DIRECTORY
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"

enum { INPUT_MAX = 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(int directory_fd, const char *name)
{
    CLEANUP(buffer_release) struct buffer content = BUFFER_INIT(INPUT_MAX);
    uint8_t *exact;

    if (file_read(directory_fd, name, &content, NULL) < 0)
        abort();
    /* A block of this very size, so that a sanitizer sees a read past its end. */
    exact = malloc(content.length > 0 ? content.length : 1);
    if (!exact)
        abort();
    if (content.length > 0)
        memcpy(exact, content.data, content.length);
    (void)LLVMFuzzerTestOneInput(exact, content.length);
    free(exact);
}

int main(int argc, char **argv)
{
    DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    struct dirent *entry;
    int n = 0;

    if (!directory)
        return EXIT_FAILURE;
    while ((entry = readdir(directory))) {
        if (*entry->d_name == '.')
            continue;
        replay(dirfd(directory), entry->d_name);
        printf("ok %d - %s\n", ++n, entry->d_name);
    }
    printf("1..%d\n", n);
    (void)closedir(directory);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
