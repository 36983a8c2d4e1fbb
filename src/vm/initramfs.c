#include "vm/initramfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"

enum {
    INITRAMFS_MAX = 128 * 1024 * 1024,
    INITRAMFS_MODULES_MAX = 256,
    INITRAMFS_LIST_MAX = 64 * 1024,
    ALIGNMENT = 4,
    BLOCK = 512,
};

/* The archive under construction. */
struct archive {
    struct buffer bytes;
    uint32_t inode;
};

static int pad(struct buffer *buffer, size_t alignment)
{
    int r = 0;

    while (r == 0 && buffer->length % alignment != 0)
        r = buffer_append_char(buffer, '\0');
    return r;
}

/* One entry: header, name, data; each of the latter two padded to 4 bytes. */
static int add(struct archive *archive, const char *name, unsigned mode, dev_t device,
               const void *data, size_t length)
{
    struct buffer *bytes = &archive->bytes;
    /* magic, ino, mode, uid, gid, nlink, mtime, filesize, maj, min, rmaj, rmin, namesize, chksum;
     * the time is 0, so that equal content makes equal archives. */
    int r = buffer_printf(bytes, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
                          archive->inode++, mode, 0, 0, S_ISDIR(mode) ? 2 : 1, 0, (unsigned)length,
                          0, 0, major(device), minor(device), (unsigned)strlen(name) + 1, 0);

    if (r == 0)
        r = buffer_append(bytes, name, strlen(name) + 1);
    if (r == 0)
        r = pad(bytes, ALIGNMENT);
    if (r == 0)
        r = buffer_append(bytes, data, length);
    return r == 0 ? pad(bytes, ALIGNMENT) : r;
}

static int add_file(struct archive *archive, const char *name, const char *path, unsigned mode,
                    struct error *err)
{
    CLEANUP(buffer_release) struct buffer content = BUFFER_INIT(INITRAMFS_MAX);
    int r = file_read(AT_FDCWD, path, &content, err);

    if (r < 0)
        return error_wrap(err, r, "initramfs");
    if (content.length == 0)
        return error_set(err, -EINVAL, "initramfs: %s is empty", path);
    r = add(archive, name, S_IFREG | mode, 0, content.data, content.length);
    return r < 0 ? error_set_errno(err, r, "initramfs: cannot add %s", path) : 0;
}

static int add_skeleton(struct archive *archive, struct error *err)
{
    static const char *const directories[] = {"dev", "proc", "sys", "run", "tmp", "etc"};
    int r = 0;

    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]) && r == 0; i++)
        r = add(archive, directories[i], S_IFDIR | 0755, 0, "", 0);
    /* The kernel opens /dev/console for pid 1 before anything is mounted. */
    if (r == 0)
        r = add(archive, "dev/console", S_IFCHR | 0600, makedev(5, 1), "", 0);
    if (r == 0)
        r = add(archive, "dev/null", S_IFCHR | 0666, makedev(1, 3), "", 0);
    return r < 0 ? error_set_errno(err, r, "initramfs") : 0;
}

/* malloc'd path of a module beside the list or in the folder `modules`; NULL: out of memory. */
static char *find_module(const char *directory, const char *name)
{
    char *path = path_join(directory, name);

    if (path && access(path, F_OK) < 0) {
        free(path);
        path = string_format("%s/modules/%s", directory, name);
    }
    return path;
}

/* modules.list: one file name a line, in load order; "#" begins a comment line. */
static int add_modules(struct archive *archive, const char *modules, struct error *err)
{
    CLEANUP(buffer_release) struct buffer list = BUFFER_INIT(INITRAMFS_LIST_MAX);
    CLEANUP_FREE char *path = path_join(modules, "modules.list");
    CLEANUP_STRV char **names = NULL;
    int r;

    if (!path)
        return error_oom(err);
    r = file_read(AT_FDCWD, path, &list, err);
    if (r < 0)
        return error_wrap(err, r, "initramfs");
    if (strv_split(buffer_string(&list), '\n', &names) < 0)
        return error_oom(err);
    if (strv_length(names) > INITRAMFS_MODULES_MAX)
        return error_set(err, -E2BIG, "initramfs: more than %d modules", INITRAMFS_MODULES_MAX);
    r = add(archive, "modules", S_IFDIR | 0755, 0, "", 0);
    if (r == 0)
        r = add(archive, "modules/modules.list", S_IFREG | 0644, 0, list.data, list.length);
    if (r < 0)
        return error_set_errno(err, r, "initramfs");
    for (size_t i = 0; i < strv_length(names); i++) {
        CLEANUP_FREE char *from = find_module(modules, names[i]);
        CLEANUP_FREE char *to = path_join("modules", names[i]);

        if (string_is_empty(names[i]) || names[i][0] == '#')
            continue;
        if (!from || !to)
            return error_oom(err);
        if (strchr(names[i], '/') || names[i][0] == '.')
            return error_set(err, -EINVAL, "initramfs: '%s' in %s is not a file's name", names[i],
                             path);
        r = add_file(archive, to, from, 0644, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* True if the file has exactly these bytes and can be read by all, as a VMM must. */
static bool is_current(const char *path, const struct buffer *bytes)
{
    CLEANUP(buffer_release) struct buffer content = BUFFER_INIT(INITRAMFS_MAX);
    struct stat st;

    if (stat(path, &st) < 0 || st.st_size != (off_t)bytes->length || (st.st_mode & 0444) != 0444 ||
        file_read(AT_FDCWD, path, &content, NULL) < 0)
        return false;
    return content.length == bytes->length && memcmp(content.data, bytes->data, bytes->length) == 0;
}

int vm_initramfs_write(const char *path, const char *init_program, const char *modules,
                       struct error *err)
{
    struct archive archive = {.bytes = BUFFER_INIT(INITRAMFS_MAX), .inode = 1};
    int r = add_skeleton(&archive, err);

    if (r == 0)
        r = add_file(&archive, "init", init_program, 0755, err);
    if (r == 0 && modules)
        r = add_modules(&archive, modules, err);
    if (r == 0) {
        r = add(&archive, "TRAILER!!!", 0, 0, "", 0);
        if (r == 0)
            r = pad(&archive.bytes, BLOCK);
        if (r < 0)
            error_set_errno(err, r, "initramfs");
    }
    if (r == 0 && !is_current(path, &archive.bytes))
        r = file_write_atomic(AT_FDCWD, path, archive.bytes.data, archive.bytes.length, 0644, err);
    buffer_release(&archive.bytes);
    return r;
}
