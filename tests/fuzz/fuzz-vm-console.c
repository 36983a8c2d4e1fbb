/* The guest's console: the file keeps its bound, and what is told of it is printable. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/console.h"

enum { FILE_MAX = 4096, PIECE = 700 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line)
{
    for (const char *c = line; c && *c; c++)
        if (*c < ' ' || *c > '~')
            abort();
    if (line && strlen(line) >= VM_CONSOLE_LINE_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/hull-fuzz-console-XXXXXX";
    struct vm_console *console = NULL;
    struct stat status;
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd < 0 || vm_console_new(path, FILE_MAX, &console, NULL) < 0)
        abort();
    for (size_t at = 0; at < size; at += PIECE) {
        vm_console_feed(console, data + at, size - at < PIECE ? size - at : PIECE);
        if (fstat(fd, &status) < 0 || status.st_size > FILE_MAX)
            abort();
    }
    check_line(vm_console_panic(console));
    check_line(vm_console_disk_error(console));
    check_line(vm_console_last_line(console));
    (void)vm_console_free(console);
    (void)close(fd);
    (void)unlink(path);
    return 0;
}
