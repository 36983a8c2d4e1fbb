#include "image/unpack-meta.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/cleanup.h"
#include "base/strings.h"

void metadata_read(struct archive_entry *entry, struct unpack_metadata *ret)
{
    ret->entry = entry;
    ret->uid = (uid_t)archive_entry_uid(entry);
    ret->gid = (gid_t)archive_entry_gid(entry);
    ret->mode = archive_entry_perm(entry) & 07777;
    ret->times[1] = (struct timespec){archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
    ret->times[0] = ret->times[1];
    if (archive_entry_atime_is_set(entry))
        ret->times[0] =
            (struct timespec){archive_entry_atime(entry), archive_entry_atime_nsec(entry)};
    for (int i = 0; i < 2; i++)
        if (ret->times[i].tv_nsec < 0 || ret->times[i].tv_nsec > 999999999)
            ret->times[i].tv_nsec = 0;
}

/* Attributes that steer overlay are ours to set, not the archive's. */
static bool attribute_is_wanted(const char *name)
{
    return !string_starts_with(name, "trusted.overlay.") &&
           !string_starts_with(name, "user.overlay.") && strlen(name) <= 255;
}

/* A label or acl that this file system or kernel does not know is no reason to refuse an image. A
 * capability that was lost would be: the program would not work and nobody would know why. */
static bool failure_is_fatal(const char *name, int error)
{
    if (error == ENOTSUP || error == EPERM || error == EINVAL)
        return strcmp(name, "security.capability") == 0;
    return true;
}

static int apply_attributes(const struct unpack_metadata *metadata, int fd, const char *path)
{
    const char *name;
    const void *value;
    size_t size;
    archive_entry_xattr_reset(metadata->entry);
    while (archive_entry_xattr_next(metadata->entry, &name, &value, &size) == ARCHIVE_OK) {
        if (!name || !attribute_is_wanted(name))
            continue;
        int r = path ? lsetxattr(path, name, value, size, 0) : fsetxattr(fd, name, value, size, 0);
        if (r < 0 && failure_is_fatal(name, errno))
            return -errno;
    }
    return 0;
}

int metadata_apply_fd(const struct unpack_metadata *metadata, int fd)
{
    if (fchown(fd, metadata->uid, metadata->gid) < 0 || fchmod(fd, metadata->mode) < 0)
        return -errno;
    return apply_attributes(metadata, fd, NULL);
}

int metadata_apply_at(const struct unpack_metadata *metadata, int parent, const char *base,
                      bool is_link)
{
    CLEANUP_FREE char *path = string_format("/proc/self/fd/%d/%s", parent, base);
    if (!path)
        return -ENOMEM;
    if (fchownat(parent, base, metadata->uid, metadata->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    /* Made by us a moment ago and not a link, so following is safe. */
    if (!is_link && fchmodat(parent, base, metadata->mode, 0) < 0)
        return -errno;
    int r = apply_attributes(metadata, -EBADF, path);
    if (r < 0)
        return r;
    return utimensat(parent, base, metadata->times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}
