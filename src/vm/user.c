#include "vm/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "base/strings.h"

enum { UID_TEXT_SIZE = 16, TARGET_MAX = 128 };

struct names {
    int by_uid; /* directories */
    int by_name;
    char uid[UID_TEXT_SIZE];
    char name[VM_USER_NAME_LENGTH + 1];
};

static void names_release(struct names *names)
{
    if (names->by_uid >= 0)
        close(names->by_uid);
    if (names->by_name >= 0)
        close(names->by_name);
}

static int open_directory(const char *users_dir, const char *name, struct error *err)
{
    CLEANUP_FREE char *path = path_join(users_dir, name);
    int fd;
    int r;

    if (!path)
        return error_oom(err);
    r = path_make_dirs(path, 0755, err);
    if (r < 0)
        return r;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set_errno(err, -errno, "cannot open %s", path) : fd;
}

static int names_open(struct names *names, const char *users_dir, uid_t uid, const char *id,
                      struct error *err)
{
    *names = (struct names){.by_uid = -EBADF, .by_name = -EBADF};
    if (strlen(id) < VM_USER_NAME_LENGTH || strspn(id, "0123456789abcdef") < VM_USER_NAME_LENGTH)
        return error_set(err, -EINVAL, "'%s' is not a container id", id);
    snprintf(names->uid, sizeof(names->uid), "%u", uid);
    memcpy(names->name, id, VM_USER_NAME_LENGTH);
    names->by_uid = open_directory(users_dir, "by-uid", err);
    if (names->by_uid < 0)
        return names->by_uid;
    names->by_name = open_directory(users_dir, "by-name", err);
    return names->by_name < 0 ? names->by_name : 0;
}

/* A new link in the place of whatever is there, at once: readers see the old or the new. */
static int replace_link(int dirfd, const char *target, const char *name, struct error *err)
{
    CLEANUP_FREE char *temporary = string_format(".%s.new", name);
    int r;

    if (!temporary)
        return error_oom(err);
    (void)unlinkat(dirfd, temporary, 0); /* of a process that died here */
    if (symlinkat(target, dirfd, temporary) == 0 && renameat(dirfd, temporary, dirfd, name) == 0)
        return 0;
    r = -errno;
    (void)unlinkat(dirfd, temporary, 0);
    return error_set_errno(err, r, "cannot publish the user name %s", name);
}

/* A worker that was killed left its link: the name that had the uid before us goes. */
static void forget_predecessor(const struct names *names)
{
    char name[TARGET_MAX];
    char uid[TARGET_MAX];
    ssize_t n = readlinkat(names->by_uid, names->uid, name, sizeof(name) - 1);

    if (n <= 0)
        return;
    name[n] = '\0';
    if (string_equal(name, names->name) || strchr(name, '/'))
        return;
    n = readlinkat(names->by_name, name, uid, sizeof(uid) - 1);
    if (n <= 0)
        return;
    uid[n] = '\0';
    if (string_equal(uid, names->uid))
        (void)unlinkat(names->by_name, name, 0);
}

int vm_user_publish(const char *users_dir, uid_t uid, const char *container_id, struct error *err)
{
    CLEANUP(names_release) struct names names;
    int r = names_open(&names, users_dir, uid, container_id, err);

    if (r == 0) {
        forget_predecessor(&names);
        r = replace_link(names.by_uid, names.name, names.uid, err);
    }
    if (r == 0)
        r = replace_link(names.by_name, names.uid, names.name, err);
    return r;
}

/* Removes a link only if it still says what we said: the uid may have been given away since. */
static int remove_link(int dirfd, const char *target, const char *name, struct error *err)
{
    char found[TARGET_MAX];
    ssize_t n = readlinkat(dirfd, name, found, sizeof(found) - 1);

    if (n < 0)
        return errno == ENOENT ? 0 : error_set_errno(err, -errno, "cannot read %s", name);
    found[n] = '\0';
    if (!string_equal(found, target))
        return 0;
    if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
        return error_set_errno(err, -errno, "cannot withdraw the user name %s", name);
    return 0;
}

int vm_user_withdraw(const char *users_dir, uid_t uid, const char *container_id, struct error *err)
{
    CLEANUP(names_release) struct names names;
    int r = names_open(&names, users_dir, uid, container_id, err);
    int second;

    if (r < 0)
        return r;
    r = remove_link(names.by_uid, names.name, names.uid, err);
    second = remove_link(names.by_name, names.uid, names.name, r < 0 ? NULL : err);
    return r < 0 ? r : second;
}
