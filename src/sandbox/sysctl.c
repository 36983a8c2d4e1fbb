#include "sandbox/sysctl.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"

static const struct {
    const char *name; /* a '.' at the end: all that begins so */
    unsigned namespace;
} rows[] = {
    {"net.", CLONE_NEWNET},
    {"fs.mqueue.", CLONE_NEWIPC},
    {"kernel.msgmax", CLONE_NEWIPC},
    {"kernel.msgmnb", CLONE_NEWIPC},
    {"kernel.msgmni", CLONE_NEWIPC},
    {"kernel.sem", CLONE_NEWIPC},
    {"kernel.shmall", CLONE_NEWIPC},
    {"kernel.shmmax", CLONE_NEWIPC},
    {"kernel.shmmni", CLONE_NEWIPC},
    {"kernel.shm_rmid_forced", CLONE_NEWIPC},
    {"kernel.domainname", CLONE_NEWUTS},
};

static bool matches(const char *name, size_t length, const char *row)
{
    size_t wanted = strlen(row);

    if (row[wanted - 1] == '.')
        return length > wanted && strncmp(name, row, wanted) == 0;
    return length == wanted && strncmp(name, row, wanted) == 0;
}

static unsigned namespace_of(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (matches(name, length, rows[i].name))
            return rows[i].namespace;
    return 0;
}

int sysctl_check(char *const *sysctl, unsigned namespaces, struct error *err)
{
    for (; sysctl && *sysctl; sysctl++) {
        size_t length = strcspn(*sysctl, "=");

        if (memchr(*sysctl, '/', length) || memmem(*sysctl, length, "..", 2))
            return error_set_class(err, ERROR_INVALID, "invalid sysctl name \"%.*s\"", (int)length,
                                   *sysctl);
        if (!(namespace_of(*sysctl, length) & namespaces))
            return error_set_class(err, ERROR_INVALID,
                                   "sysctl \"%.*s\" is not in a separate kernel namespace",
                                   (int)length, *sysctl);
    }
    return 0;
}

int sysctl_apply(char *const *sysctl, struct error *err)
{
    for (; sysctl && *sysctl; sysctl++) {
        size_t length = strcspn(*sysctl, "=");
        CLEANUP_FREE char *path = string_format("/proc/sys/%.*s", (int)length, *sysctl);
        int r;

        if (!path)
            return error_oom(err);
        for (char *c = path; *c; c++)
            if (*c == '.')
                *c = '/';
        r = file_write(AT_FDCWD, path, *sysctl + length + 1, err);
        if (r < 0)
            return error_wrap(err, r, "sysctl");
    }
    return 0;
}
