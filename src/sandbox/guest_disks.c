/* Disks and files: what a create request brings into the VM. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/agent.h"
#include "sandbox/guest.h"
#include "sandbox/guest_identity.h"
#include "sandbox/guest_internal.h"
#include "sandbox/guest_shares.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum {
    DISKS_MAX = 144, /* as many as User-Mode Linux takes */
    FILE_NAME_MAX = 64,
};

#define LAYERS_DIR "/run/hull/layers"
#define SCRATCH_DIR "/run/hull/scratch"
#define TARGET_DIR "/run/hull/rootfs"
#define EMPTY_DIR "/run/hull/empty"

void guest_disk_letters(int index, char *text, size_t size)
{
    if (index < 26)
        (void)snprintf(text, size, "%c", 'a' + index);
    else
        (void)snprintf(text, size, "%c%c", 'a' + index / 26 - 1, 'a' + index % 26);
}

/* --- one disk --- */

struct disk_search {
    int index;
    char path[32];
};

static bool find_disk(void *data)
{
    static const char *const families[] = {"ubd", "vd"};
    struct disk_search *search = data;
    char letters[4];
    struct stat status;

    guest_disk_letters(search->index, letters, sizeof(letters));
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        (void)snprintf(search->path, sizeof(search->path), "/dev/%s%s", families[i], letters);
        if (stat(search->path, &status) == 0 && S_ISBLK(status.st_mode))
            return true;
    }
    return guest_find_scsi_disk(search->index, search->path, sizeof(search->path));
}

static int await_disk(json_int_t index, struct disk_search *ret, struct error *err)
{
    char what[32];

    ret->index = (int)index;
    if (index < 0 || index >= DISKS_MAX)
        return error_set_class(err, ERROR_INVALID, "there is no disk %lld", (long long)index);
    (void)snprintf(what, sizeof(what), "disk %d", (int)index);
    if (!find_disk(ret))
        guest_scan_disk((int)index);
    return guest_wait_for(find_disk, ret, what, err);
}

static int mount_disk(json_int_t index, const char *target, const char *type, unsigned long flags,
                      const char *options, struct error *err)
{
    struct disk_search search;
    int r = await_disk(index, &search, err);

    return r < 0 ? r : guest_mount_checked(search.path, target, type, flags, options, err);
}

/* --- the root --- */

static int mount_layers(const json_t *rootfs, struct sandbox_root *root, struct error *err)
{
    json_t *lower = NULL;
    json_t *index;
    size_t i;
    int r = json_get_array(rootfs, "lower", &lower, err);

    if (r < 0)
        return r;
    if (json_array_size(lower) > AGENT_LAYERS_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d layers", AGENT_LAYERS_MAX);
    json_array_foreach (lower, i, index) {
        char target[64];

        if (!json_is_integer(index))
            return error_set_class(err, ERROR_INVALID, "'rootfs.lower' must hold disk numbers");
        (void)snprintf(target, sizeof(target), LAYERS_DIR "/%zu", i);
        r = mount_disk(json_integer_value(index), target, "erofs", MS_RDONLY, NULL, err);
        if (r < 0)
            return error_wrap(err, r, "layer %zu", i);
        if (strv_append(&root->lower, target) < 0)
            return error_oom(err);
    }
    return 0;
}

/* --- the writable layer --- */

static char scratch_device[32]; /* "": none was mounted */

/* What the kernel says of a damaged file system: EFSCORRUPTED, EFSBADCRC, and EINVAL where it finds
 * none at all. A journal that cannot be replayed is EIO. */
static bool is_damage(int code)
{
    return code == -EUCLEAN || code == -EBADMSG || code == -EINVAL || code == -EIO;
}

/* errors=remount-ro: what is found damaged is not written to any more.
 * discard: what the container deletes gives its blocks back to the host's file. */
static int mount_ext4(json_int_t index, unsigned long flags, struct error *err)
{
    struct disk_search search;
    int r = await_disk(index, &search, err);

    if (r < 0)
        return r;
    (void)string_copy(scratch_device, sizeof(scratch_device), search.path);
    r = guest_mount_checked(search.path, SCRATCH_DIR, "ext4", flags | MS_NOATIME,
                            "discard,errors=remount-ro", err);
    return is_damage(r) ? error_wrap(err, r, "its file system is damaged") : r;
}

/* Documentation/filesystems/ext4/super.rst of the kernel. The block device's cache is the file
 * system's own, so this is what ext4 knows, written or not. */
char *guest_damage(void *data)
{
    enum { AT = 1024, SIZE = 1024, MAGIC_AT = 0x38, STATE_AT = 0x3a, COUNT_AT = 0x194, ERRORS = 2 };
    CLEANUP_CLOSE int fd = *scratch_device ? open(scratch_device, O_RDONLY | O_CLOEXEC) : -EBADF;
    uint8_t block[SIZE];

    (void)data;
    if (fd < 0 || pread(fd, block, SIZE, AT) != SIZE || block[MAGIC_AT] != 0x53 ||
        block[MAGIC_AT + 1] != 0xef)
        return NULL;
    uint32_t errors = (uint32_t)block[COUNT_AT] | (uint32_t)block[COUNT_AT + 1] << 8 |
                      (uint32_t)block[COUNT_AT + 2] << 16 | (uint32_t)block[COUNT_AT + 3] << 24;
    if (!(block[STATE_AT] & ERRORS) && errors == 0)
        return NULL;
    return string_format("the file system of the writable layer is damaged (%" PRIu32
                         " errors so far): copy out what you need and make the container anew",
                         errors);
}

static int mount_scratch(const json_t *rootfs, struct sandbox_root *root, struct error *err)
{
    int64_t index = 0;
    int r = json_need_i64(rootfs, "scratch", &index, err);

    if (r < 0)
        return r;
    r = mount_ext4(index, 0, err);
    if (r < 0)
        return error_wrap(err, r, "the writable layer");
    if ((r = path_make_dirs(SCRATCH_DIR "/upper", 0755, err)) < 0 ||
        (r = path_make_dirs(SCRATCH_DIR "/work", 0755, err)) < 0)
        return r;
    if (string_replace(&root->upper, SCRATCH_DIR "/upper") < 0 ||
        string_replace(&root->work, SCRATCH_DIR "/work") < 0 ||
        string_replace(&root->target, TARGET_DIR) < 0)
        return error_oom(err);
    return 0;
}

static int mount_root(const json_t *rootfs, struct sandbox_root *ret, struct error *err)
{
    struct sandbox_root root = {.lower = NULL};
    const char *type = NULL;
    int r = json_need_string(rootfs, "type", &type, err);

    if (r >= 0 && !string_equal(type, "disks"))
        r = error_set_class(err, ERROR_INVALID, "a root of type '%s' cannot be made in a VM", type);
    if (r < 0 || (r = path_make_dirs(LAYERS_DIR, 0755, err)) < 0 ||
        (r = path_make_dirs(TARGET_DIR, 0755, err)) < 0)
        return r;
    if ((r = mount_layers(rootfs, &root, err)) < 0 || (r = mount_scratch(rootfs, &root, err)) < 0) {
        agent_root_release(&root);
        return r;
    }
    *ret = root;
    return 0;
}

void guest_unmount_disks(void)
{
    (void)umount2(TARGET_DIR, UMOUNT_NOFOLLOW);
    if (umount2(SCRATCH_DIR, UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
        /* Something holds it: what is written so far is made safe, and nothing more is. */
        (void)mount(NULL, SCRATCH_DIR, NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

/* --- the rest --- */

static bool file_name_is_valid(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length <= FILE_NAME_MAX && *name != '.' && !strchr(name, '/');
}

static int write_file(const json_t *file, struct error *err)
{
    const char *name = NULL;
    const char *content = NULL;
    int r;

    if ((r = json_need_string(file, "name", &name, err)) < 0 ||
        (r = json_need_string(file, "content", &content, err)) < 0)
        return r;
    if (!file_name_is_valid(name) || strlen(content) > GUEST_FILE_SIZE_MAX)
        return error_set_class(err, ERROR_INVALID, "'files' holds a wrong name or too much");
    CLEANUP_FREE char *path = path_join(GUEST_FILES_DIR, name);
    if (!path)
        return error_oom(err);
    return file_replace(AT_FDCWD, path, content, strlen(content), 0644, err);
}

static int write_files(const json_t *request, struct error *err)
{
    json_t *files = NULL;
    json_t *file;
    size_t i;
    int r = json_get_array(request, "files", &files, err);

    if (r <= 0)
        return r;
    if (json_array_size(files) > GUEST_FILES_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d files", GUEST_FILES_MAX);
    r = path_make_dirs(GUEST_FILES_DIR, 0755, err);
    json_array_foreach (files, i, file) {
        if (r >= 0)
            r = write_file(file, err);
    }
    return r;
}

int guest_prepare(const json_t *request, struct sandbox_root *ret, void *data, struct error *err)
{
    json_t *rootfs = NULL;
    int r;

    (void)data;
    if ((r = guest_take_identity(request, err)) < 0 || (r = write_files(request, err)) < 0 ||
        (r = guest_shares_mount(request, err)) < 0 || (r = guest_wait_links(request, err)) < 0 ||
        (r = json_get_object(request, "rootfs", &rootfs, err)) < 0)
        return r;
    if (r == 0)
        return error_set_class(err, ERROR_INVALID, "'rootfs' is missing");
    return mount_root(rootfs, ret, err);
}

/* Only to be read: nothing is written but what the journal has, if the last VM was killed, and the
 * VM may end at any moment. What damage has taken away, the copy would not have either; there would
 * be nothing to tell it by. */
static int mount_layer(const json_t *request, char **ret_upper, struct error *err)
{
    CLEANUP_FREE char *damage = NULL;
    int64_t index = 0;
    int r = json_need_i64(request, "scratch", &index, err);

    if (r >= 0)
        r = mount_ext4(index, MS_RDONLY, err);
    if (r < 0)
        return error_wrap(err, r, "the writable layer");
    if ((damage = guest_damage(NULL)))
        return error_set_class(err, ERROR_CONFLICT, "%s", damage);
    /* One that no VM has had has nothing in it. */
    bool empty = access(SCRATCH_DIR "/upper", F_OK) < 0;
    if (empty && (r = path_make_dirs(EMPTY_DIR, 0755, err)) < 0)
        return r;
    return string_replace(ret_upper, empty ? EMPTY_DIR : SCRATCH_DIR "/upper") < 0 ? error_oom(err)
                                                                                   : 0;
}

int guest_prepare_layer(const json_t *request, char **ret_directory, char **ret_ring, void *data,
                        struct error *err)
{
    struct sandbox_root root = {.lower = NULL};
    struct disk_search ring;
    int64_t index = 0;
    bool receive = false;
    int r;

    (void)data;
    if ((r = json_get_bool(request, "receive", &receive, err)) < 0 ||
        (r = json_need_i64(request, "ring", &index, err)) < 0 ||
        (r = await_disk(index, &ring, err)) < 0 || (r = guest_take_identity(request, err)) < 0 ||
        (r = path_make_dirs(SCRATCH_DIR, 0755, err)) < 0)
        return r;
    r = receive ? mount_scratch(request, &root, err) : mount_layer(request, &root.upper, err);
    if (r >= 0 &&
        (string_replace(ret_directory, root.upper) < 0 || string_replace(ret_ring, ring.path) < 0))
        r = error_oom(err);
    agent_root_release(&root);
    return r;
}
