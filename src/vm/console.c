#include "vm/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"

static const char panic_text[] = "Kernel panic - not syncing: ";

struct vm_console {
    int fd;
    size_t max;
    size_t size;                    /* of the file */
    char line[VM_CONSOLE_LINE_MAX]; /* being read; longer ones are cut */
    size_t line_length;
    char last[VM_CONSOLE_LINE_MAX];
    char panic[VM_CONSOLE_LINE_MAX];
    char disk_error[VM_CONSOLE_LINE_MAX];
};

int vm_console_new(const char *path, size_t max, struct vm_console **ret, struct error *err)
{
    struct vm_console *console;
    int r;

    CLEANUP_CLOSE int fd =
        open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, 0600) < 0) {
        r = -errno;
        return error_set_errno(err, r, "cannot make the console file %s", path);
    }
    console = calloc(1, sizeof(*console));
    if (!console)
        return error_oom(err);
    console->fd = TAKE_FD(fd);
    console->max = max;
    *ret = console;
    return 0;
}

int vm_console_move(struct vm_console *console, const char *path, struct error *err)
{
    CLEANUP_CLOSE int fd =
        open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    int64_t n;

    if (fd < 0 || fchmod(fd, 0600) < 0)
        return error_set_errno(err, -errno, "cannot make the console file %s", path);
    if (lseek(console->fd, 0, SEEK_SET) < 0 || (n = fd_copy_all(console->fd, fd)) < 0)
        return error_set(err, -EIO, "cannot copy the console's file to %s", path);
    fd_close(console->fd);
    console->fd = TAKE_FD(fd);
    console->size = (size_t)n;
    return 0;
}

struct vm_console *vm_console_free(struct vm_console *console)
{
    if (console) {
        fd_close(console->fd);
        free(console);
    }
    return NULL;
}

/* --- the file --- */

/* Moves the newer half to the front. In place, since readers know the file by its name and may hold
 * it open; one that reads meanwhile sees some lines twice. */
static void drop_older_half(struct vm_console *console)
{
    enum { CHUNK = 16 * 1024 };
    char chunk[CHUNK];
    size_t from = console->size - console->max / 2;
    size_t to = 0;
    bool at_line = false;

    while (from < console->size) {
        ssize_t n = pread(console->fd, chunk, sizeof(chunk), (off_t)from);
        char *start = chunk;

        if (n <= 0)
            break;
        from += (size_t)n;
        if (!at_line) { /* begin with a whole line if one begins soon */
            char *newline = memchr(chunk, '\n', (size_t)n);

            if (newline && newline + 1 < chunk + n)
                start = newline + 1;
            at_line = true;
        }
        n -= start - chunk;
        if (pwrite(console->fd, start, (size_t)n, (off_t)to) != n)
            break;
        to += (size_t)n;
    }
    console->size = ftruncate(console->fd, (off_t)to) == 0 ? to : console->size;
}

static void store(struct vm_console *console, const char *data, size_t length)
{
    if (length > console->max / 2) {
        data += length - console->max / 2;
        length = console->max / 2;
    }
    if (console->size + length > console->max)
        drop_older_half(console);
    while (length > 0) {
        ssize_t n = pwrite(console->fd, data, length, (off_t)console->size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        data += n;
        length -= (size_t)n;
        console->size += (size_t)n;
    }
}

/* --- the lines --- */

/* block/blk-core.c, fs/buffer.c and fs/ext4/super.c of the kernel. */
static bool is_disk_error(const char *line)
{
    static const char *const texts[] = {"error, dev ubd", "error, dev vd", "error, dev sd",
                                        "Buffer I/O error on dev", "EXT4-fs error"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strstr(line, texts[i]))
            return true;
    return false;
}

static void end_line(struct vm_console *console)
{
    const char *found;

    console->line[console->line_length] = '\0';
    console->line_length = 0;
    if (console->line[strspn(console->line, " ")] == '\0')
        return;
    string_copy(console->last, sizeof(console->last), console->line);
    if (!*console->disk_error && is_disk_error(console->line))
        string_copy(console->disk_error, sizeof(console->disk_error), console->line);
    found = strstr(console->line, panic_text);
    if (found && !*console->panic)
        string_copy(console->panic, sizeof(console->panic), found + sizeof(panic_text) - 1);
}

void vm_console_feed(struct vm_console *console, const void *data, size_t length)
{
    const char *bytes = data;

    store(console, bytes, length);
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r')
            end_line(console);
        else if (console->line_length < sizeof(console->line) - 1)
            console->line[console->line_length++] =
                bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : ' ';
    }
}

const char *vm_console_panic(const struct vm_console *console)
{
    return *console->panic ? console->panic : NULL;
}

const char *vm_console_disk_error(const struct vm_console *console)
{
    return *console->disk_error ? console->disk_error : NULL;
}

const char *vm_console_last_line(struct vm_console *console)
{
    if (console->line_length > 0)
        end_line(console);
    return console->last;
}
