/* The image's passwd and group: who a container's program runs as, and the names in its list of
 * processes. Input: "user[:group]", a line feed, passwd, a NUL, group. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "sandbox/process_list.h"
#include "sandbox/user.h"
#include "spec/runtime.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/hull-fuzz-passwd-XXXXXX";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void clear_up(void)
{
    (void)path_remove_tree(AT_FDCWD, directory, NULL);
}

static int open_root(void)
{
    static int root_fd = -EBADF;

    if (root_fd >= 0)
        return root_fd;
    if (!mkdtemp(directory))
        abort();
    (void)atexit(clear_up);
    root_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || mkdirat(root_fd, "etc", 0755) < 0)
        abort();
    return root_fd;
}

static void put(int root_fd, const char *name, const uint8_t *data, size_t size)
{
    CLEANUP_CLOSE int fd = openat(root_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || fd_write_full(fd, data, size) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = memchr(data, '\n', size);
    const uint8_t *zero = line ? memchr(line, '\0', (size_t)(data + size - line)) : NULL;
    CLEANUP_FREE char *name = NULL;
    CLEANUP_JSON json_t *list = NULL;
    struct spec_user wanted = {.uid = 0};
    struct user user = {0};
    const pid_t self = getpid();
    int root_fd = open_root();

    if (!zero)
        return 0;
    name = strndup((const char *)data, (size_t)(line - data));
    wanted.username = name;
    put(root_fd, "etc/passwd", line + 1, (size_t)(zero - line - 1));
    put(root_fd, "etc/group", zero + 1, (size_t)(data + size - zero - 1));
    if (user_resolve(root_fd, &wanted, &user, NULL) >= 0)
        user_release(&user);
    if (process_list_read(&self, 1, root_fd, &list, NULL) < 0)
        abort();
    return 0;
}
