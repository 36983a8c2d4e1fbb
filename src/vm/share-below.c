#include "vm/share-below.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"

enum { MOUNTINFO_MAX = 16 * 1024 * 1024, FIELD_POINT = 4 };

void vm_below_release(struct vm_below_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        fd_close(list->items[i].fd);
        free(list->items[i].path);
    }
    free(list->items);
    *list = (struct vm_below_list){.n = 0};
}

/* Undoes \040 and the like, in place. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)(((from[1] - '0') << 6) | ((from[2] - '0') << 3) | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* The guest's kernel has views of its own of these. */
static bool is_kernel_view(const char *type)
{
    static const char *const types[] = {
        "autofs",     "binfmt_misc", "bpf",        "cgroup",   "cgroup2", "configfs",
        "debugfs",    "devpts",      "devtmpfs",   "efivarfs", "fusectl", "hugetlbfs",
        "mqueue",     "nfsd",        "nsfs",       "proc",     "pstore",  "resctrl",
        "securityfs", "selinuxfs",   "rpc_pipefs", "sysfs",    "tracefs",
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (string_equal(types[i], type))
            return true;
    return false;
}

/* The mount that this line is about and no other: -ENOENT for one that is hidden, or was exchanged
 * since, and so is not found by its name. */
static int open_mount(const char *point, uint64_t id)
{
    struct statx status;
    CLEANUP_CLOSE int fd = open(point, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOTDIR ? -ENOENT : -errno;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &status) < 0)
        return -errno;
    if (!(status.stx_mask & STATX_MNT_ID))
        return -EOPNOTSUPP;
    if (status.stx_mnt_id != id || !(status.stx_attributes & STATX_ATTR_MOUNT_ROOT))
        return -ENOENT;
    return TAKE_FD(fd);
}

static int append(struct vm_below_list *list, int fd, const char *path, const char *name,
                  struct error *err)
{
    CLEANUP_CLOSE int owned = fd;

    if (list->n >= VM_BELOW_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "below %s are more than %d mounts; mount it without them "
                               "(bind-recursive=disabled)",
                               name, VM_BELOW_MAX);
    struct vm_below *items = realloc(list->items, (list->n + 1) * sizeof(*items));
    if (!items)
        return error_oom(err);
    list->items = items;
    items[list->n] = (struct vm_below){.fd = -EBADF, .path = strdup(path)};
    if (!items[list->n].path)
        return error_oom(err);
    items[list->n++].fd = owned < 0 ? owned : TAKE_FD(owned);
    return 0;
}

/* A line is: id, parent, device, root, mount point, options, optional fields, "-", type, ... */
static int look_at(char *line, const char *top, const char *name, struct vm_below_list *list,
                   char ***views, struct error *err)
{
    uint64_t id = strtoull(line, NULL, 10);
    char *type = strstr(line, " - ");
    char *point = line;
    size_t length = strlen(top);

    for (int i = 0; i < FIELD_POINT && point; i++) {
        point = strchr(point, ' ');
        if (point)
            point++;
    }
    if (!type || !point || point > type)
        return 0;
    type += strlen(" - ");
    type[strcspn(type, " ")] = '\0';
    point[strcspn(point, " ")] = '\0';
    unescape(point);
    if (strncmp(point, top, length) != 0 || !point[length])
        return 0;
    int fd = open_mount(point, id);
    if (fd == -ENOENT)
        return 0;
    if (!is_kernel_view(type))
        return append(list, fd, point + length, name, err);
    fd_close(fd);
    return strv_append(views, point + length) < 0 ? error_oom(err) : 0;
}

static bool is_in_one(const char *path, char **views)
{
    for (char **view = views; view && *view; view++)
        if (string_starts_with(path, *view) && path[strlen(*view)] == '/')
            return true;
    return false;
}

/* What is mounted in a view that is left out has no place to be. */
static void drop_hidden(struct vm_below_list *list, char **views)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->n; i++) {
        struct vm_below *item = &list->items[i];

        if (is_in_one(item->path, views)) {
            fd_close(item->fd);
            free(item->path);
        } else {
            list->items[kept++] = *item;
        }
    }
    list->n = kept;
}

/* What is mounted in another has the longer path. */
static int by_length(const void *a, const void *b)
{
    size_t first = strlen(((const struct vm_below *)a)->path);
    size_t second = strlen(((const struct vm_below *)b)->path);

    return (first > second) - (first < second);
}

/* The directory's path with a slash at its end; false: it has none here. */
static bool find_path(int fd, char path[PATH_MAX])
{
    char link[40];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 2);
    if (n <= 0 || n >= PATH_MAX - 2 || path[0] != '/')
        return false;
    if (path[n - 1] != '/')
        path[n++] = '/';
    path[n] = '\0';
    return true;
}

int vm_share_find_below(int fd, const char *name, struct vm_below_list *ret_list, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MOUNTINFO_MAX);
    CLEANUP_STRV char **lines = NULL;
    CLEANUP_STRV char **views = NULL;
    CLEANUP(vm_below_release) struct vm_below_list list = {.n = 0};
    char top[PATH_MAX];
    int r;

    *ret_list = (struct vm_below_list){.n = 0};
    if (!find_path(fd, top))
        return 0;
    r = file_read(AT_FDCWD, "/proc/self/mountinfo", &text, err);
    if (r < 0)
        return r;
    if (strv_split(buffer_string(&text), '\n', &lines) < 0)
        return error_oom(err);
    for (char **line = lines; *line; line++)
        if ((r = look_at(*line, top, name, &list, &views, err)) < 0)
            return r;
    drop_hidden(&list, views);
    if (list.n > 1)
        qsort(list.items, list.n, sizeof(*list.items), by_length);
    *ret_list = list;
    list = (struct vm_below_list){.n = 0};
    return 0;
}
