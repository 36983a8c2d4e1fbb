/* Options: virtiofsd(1) of QEMU 7.2; `virtiofsd --help` of 1.13.
 *
 * What a guest sees has to be what the host has, at once and both ways, also of files that either
 * maps. The one in C does that with cache=auto and a time of 0 for which the guest may believe what
 * it was told: names and attributes are asked for each time, and pages dropped when a file has
 * changed. The one in Rust has no such option, but cache=never and, for the guests' kernels since
 * 6.6 that allow it, shared mappings nevertheless.
 *
 * Both put themselves into a root directory (chroot) and drop capabilities; two that they would
 * have, CAP_MKNOD and CAP_SETFCAP, are not theirs to have in the jail, which they must be told.
 * Without announced mounts the files of different shares would be of one file system to the guest,
 * with the same inode numbers. */
#include "vm/virtiofsd.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "vm/engine.h"

#define PACKAGE                                                                         \
    "shares of a QEMU guest need it: install the package virtiofsd (on Debian 12 "      \
    "qemu-system-common) and start the engine again, or use engine 'uml' or isolation " \
    "'process'"

int virtiofsd_check(const struct vm_files *files, struct error *err)
{
    return vm_engine_need_file(files->virtiofsd, "virtiofsd", PACKAGE, err);
}

/* QEMU's own is in QEMU's folder; a link there is not it. */
static bool is_written_in_c(const char *program)
{
    CLEANUP_FREE char *real = realpath(program, NULL);
    const char *path = real ? real : program;
    const char *end = "/qemu/virtiofsd";
    size_t length = strlen(path);

    return length >= strlen(end) && string_equal(path + length - strlen(end), end);
}

static int append_c(char ***argv, const char *directory)
{
    static const char *const options[] = {
        "-f",
        "-o",
        "sandbox=chroot",
        "-o",
        "cache=auto",
        "-o",
        "timeout=0",
        "-o",
        "xattr",
        "-o",
        "announce_submounts",
        "-o",
        "modcaps=-mknod:-setfcap",
        "-o",
        "log_level=err",
        NULL,
    };
    int r = 0;

    for (size_t i = 0; options[i] && r == 0; i++)
        r = strv_append(argv, options[i]);
    if (r == 0)
        r = strv_append(argv, "-o");
    return r < 0 ? r : strv_appendf(argv, "source=%s", directory);
}

static int append_rust(char ***argv, const char *directory)
{
    static const char *const options[] = {
        "--sandbox=chroot",     "--cache=never",
        "--allow-mmap",         "--xattr",
        "--announce-submounts", "--modcaps=-mknod:-setfcap",
        "--log-level=error",    NULL,
    };
    int r = 0;

    for (size_t i = 0; options[i] && r == 0; i++)
        r = strv_append(argv, options[i]);
    return r < 0 ? r : strv_appendf(argv, "--shared-dir=%s", directory);
}

int virtiofsd_command(const struct vm_files *files, const char *directory, int fd, char ***ret_argv,
                      struct error *err)
{
    CLEANUP_STRV char **argv = NULL;
    int r = strv_append(&argv, "virtiofsd");

    if (r == 0)
        r = is_written_in_c(files->virtiofsd) ? append_c(&argv, directory)
                                              : append_rust(&argv, directory);
    /* The jail has set the limit. */
    if (r == 0)
        r = strv_append(&argv, "--rlimit-nofile=0");
    if (r == 0)
        r = strv_appendf(&argv, "--fd=%d", fd);
    if (r < 0)
        return error_oom(err);
    *ret_argv = TAKE_PTR(argv);
    return 0;
}
