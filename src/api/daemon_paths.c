#include "api/daemon_paths.h"

#include "api/daemon_config.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QEMU_PROGRAM "/usr/bin/qemu-system-x86_64"
/* The one in C has the second place, and a link to the one in Rust where that is installed. */
#define VIRTIOFSD_PROGRAM "/usr/libexec/virtiofsd"
#define VIRTIOFSD_PROGRAM_C "/usr/lib/qemu/virtiofsd"

char *daemon_paths_self(struct error *err)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char *folder = NULL;

    if (length < 0) {
        error_set_errno(err, -errno, "cannot read /proc/self/exe");
        return NULL;
    }
    path[length] = '\0';
    folder = strdup(dirname(path));
    if (!folder)
        error_oom(err);
    return folder;
}

/* Sets *slot to the first of the folders' `name` that exists; leaves a given one alone. */
static int find(char **slot, const char *const folders[2], const char *name, int mode,
                struct error *err)
{
    for (size_t i = 0; i < 2 && !*slot; i++) {
        CLEANUP_FREE char *path = path_join(folders[i], name);

        if (!path)
            return error_oom(err);
        if (access(path, mode) == 0)
            *slot = TAKE_PTR(path);
    }
    return 0;
}

static int need_program(char **slot, const char *const folders[2], const char *name,
                        const char *flag, struct error *err)
{
    int r = find(slot, folders, name, X_OK, err);

    if (r < 0)
        return r;
    if (!*slot)
        return error_set_class(err, ERROR_INVALID,
                               "%s is neither in %s nor in %s; say where with %s", name, folders[0],
                               folders[1], flag);
    if (access(*slot, X_OK) < 0)
        return error_set_errno(err, -errno, "%s %s", flag, *slot);
    return 0;
}

/* Sets *slot, unless it is set, to the program if that is there. */
static int find_installed(char **slot, const char *program, struct error *err)
{
    if (*slot || access(program, X_OK) < 0)
        return 0;
    *slot = strdup(program);
    return *slot ? 0 : error_oom(err);
}

int daemon_paths_find(struct daemon_config *config, const char *libexecdir, struct error *err)
{
    CLEANUP_FREE char *self = daemon_paths_self(err);
    const char *const folders[2] = {self, libexecdir};
    /* The modules that are installed fit the kernel that is installed, and no other. */
    bool own_kernel = config->x86_kernel;
    int r = 0;

    if (!self)
        return -ENOENT;
    r = need_program(&config->worker, folders, "hull-worker", "--worker", err);
    if (r == 0)
        r = need_program(&config->init, folders, "hull-init", "--init", err);
    if (r == 0)
        r = find(&config->uml_kernel, folders, "linux-um", X_OK, err);
    if (r == 0)
        r = find(&config->x86_kernel, folders, "vmlinux-x86_64", R_OK, err);
    if (r == 0 && !own_kernel)
        r = find(&config->vm_modules, folders, "modules-x86_64", X_OK, err);
    if (r == 0)
        r = find_installed(&config->qemu, QEMU_PROGRAM, err);
    if (r == 0)
        r = find_installed(&config->virtiofsd, VIRTIOFSD_PROGRAM, err);
    if (r == 0)
        r = find_installed(&config->virtiofsd, VIRTIOFSD_PROGRAM_C, err);
    return r;
}
