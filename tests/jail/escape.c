/* A program that takes the place of a VMM, in its jail, and tries to get out: what a guest does
 * that has taken over its VMM. test-escape.c starts it, and the same program outside of a jail as
 * the control, and compares.
 *
 *     escape                  in the jail: input on VM_FD_INITRAMFS, waits for a byte on VM_FD_LINK
 *     escape, called virtiofsd  in the jail of a file server: input in its first share, where it
 * waits for the fifo `go` to be opened escape --control FILE   outside: each attempt in a process
 * of its own with its own mounts escape (set-user-id)    exit status 1 if the bit had an effect
 *
 * Prints a line for each attempt, "NAME: worked" or "NAME: refused: WHY", and "done". */
#include "escape.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/engine.h"

enum { INPUT_MAX = 4096, SET_USER_ID = 1000, LEAKED_FILE = 500, LEAKED_DIRECTORY = 501 };

int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);

int escape_result(long result)
{
    return result < 0 ? errno : 0;
}

int escape_reached(long result, int reached)
{
    return result < 0 && errno != reached ? errno : 0;
}

static void take(struct outside *outside, const char *name, const char *value)
{
    const struct {
        const char *name;
        char *text; /* 256 bytes */
        long *number;
    } members[] = {
        {"file", outside->file, NULL},           {"disk", outside->disk, NULL},
        {"socket", outside->socket, NULL},       {"abstract", outside->abstract, NULL},
        {"directory", outside->directory, NULL}, {"setuid", outside->setuid, NULL},
        {"port", NULL, &outside->port},          {"worker", NULL, &outside->worker},
        {"victim", NULL, &outside->victim},      {"other", NULL, &outside->other},
        {"address", NULL, &outside->address},    {"memory", NULL, &outside->memory_id},
    };

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (strcmp(members[i].name, name) != 0)
            continue;
        if (members[i].number)
            *members[i].number = strtol(value, NULL, 10);
        else
            snprintf(members[i].text, sizeof(outside->file), "%s", value);
    }
}

static int read_input(int fd, struct outside *outside)
{
    char text[INPUT_MAX + 1];
    ssize_t n = pread(fd, text, INPUT_MAX, 0);
    char *rest = text;
    char *line;

    if (n <= 0)
        return -1;
    text[n] = '\0';
    while ((line = strsep(&rest, "\n"))) {
        char *value = line;
        char *name = strsep(&value, " ");

        if (value)
            take(outside, name, value);
    }
    return 0;
}

static void report(const struct escape *escape, int result)
{
    char line[512];
    int length;

    if (result == 0)
        length = snprintf(line, sizeof(line), "%s: worked\n", escape->name);
    else
        length = snprintf(line, sizeof(line), "%s: refused: %s%s\n", escape->name, strerror(result),
                          escape->may_lack ? " (optional)" : "");
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(90);
}

/* In a process of its own, so that a control that works leaves nothing. */
static int run_apart(const struct escape *escape, const struct outside *outside)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (unshare(CLONE_NEWNS | CLONE_NEWUTS) < 0 ||
            mount(NULL, "/", NULL, (1UL << 14 | 1UL << 18) /* private, all */, NULL) < 0)
            _exit(errno);
        _exit(escape->run(outside));
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static void run_all(const struct escape *escapes, const struct outside *outside)
{
    for (; escapes->name; escapes++) {
        errno = 0;
        report(escapes, outside->control ? run_apart(escapes, outside) : escapes->run(outside));
    }
}

/* The control's descriptors are those of a program that was started carelessly. */
static void leak(const struct outside *outside)
{
    if (dup2(open(outside->file, O_RDONLY | O_CLOEXEC), LEAKED_FILE) < 0 ||
        dup2(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), LEAKED_DIRECTORY) < 0)
        _exit(94);
}

int main(int argc, char **argv)
{
    struct outside outside = {.control = argc == 3 && strcmp(argv[1], "--control") == 0};
    bool server = strcmp(argv[0], "virtiofsd") == 0;
    int fd = VM_FD_INITRAMFS;
    char go;

    if (argc <= 1) /* a VMM has arguments */
        return geteuid() == SET_USER_ID ? 1 : 2;
    if (outside.control)
        fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (server)
        fd = open("/shares/0/input", O_RDONLY | O_CLOEXEC);
    if (read_input(fd, &outside) < 0)
        return 91;
    if (server ? open("/shares/0/go", O_RDONLY | O_CLOEXEC) < 0
               : !outside.control && read(VM_FD_LINK, &go, 1) != 1)
        return 92;
    if (outside.control)
        leak(&outside);
    run_all(escapes_files, &outside);
    run_all(escapes_processes, &outside);
    run_all(escapes_kernel, &outside);
    if (write(STDOUT_FILENO, "done\n", 5) != 5)
        return 93;
    return 0;
}
