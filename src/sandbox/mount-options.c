#include "sandbox/mount-options.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "sandbox/root.h"
#include "spec/runtime.h"

enum { DATA_MAX = 4095 }; /* a page with its NUL, mount(2) */

static const struct {
    const char *name;
    unsigned long flag; /* MS_* */
    uint64_t attribute; /* MOUNT_ATTR_*, 0: mount(2) only */
    bool clear;
} rows[] = {
    {"ro", MS_RDONLY, MOUNT_ATTR_RDONLY, false},
    {"rw", MS_RDONLY, MOUNT_ATTR_RDONLY, true},
    {"nosuid", MS_NOSUID, MOUNT_ATTR_NOSUID, false},
    {"suid", MS_NOSUID, MOUNT_ATTR_NOSUID, true},
    {"nodev", MS_NODEV, MOUNT_ATTR_NODEV, false},
    {"dev", MS_NODEV, MOUNT_ATTR_NODEV, true},
    {"noexec", MS_NOEXEC, MOUNT_ATTR_NOEXEC, false},
    {"exec", MS_NOEXEC, MOUNT_ATTR_NOEXEC, true},
    {"sync", MS_SYNCHRONOUS, 0, false},
    {"async", MS_SYNCHRONOUS, 0, true},
    {"dirsync", MS_DIRSYNC, 0, false},
    {"mand", MS_MANDLOCK, 0, false},
    {"nomand", MS_MANDLOCK, 0, true},
    {"silent", MS_SILENT, 0, false},
    {"loud", MS_SILENT, 0, true},
    {"iversion", MS_I_VERSION, 0, false},
    {"noiversion", MS_I_VERSION, 0, true},
    {"nodiratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, false},
    {"diratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, true},
    {"nosymfollow", 256 /* MS_NOSYMFOLLOW */, MOUNT_ATTR_NOSYMFOLLOW, false},
    {"symfollow", 256, MOUNT_ATTR_NOSYMFOLLOW, true},
    {"remount", 0, 0, false},
    {"defaults", 0, 0, false},
};

/* The three ways to keep access times exclude each other, in one field of mount_setattr(2). */
static const struct {
    const char *name;
    unsigned long flag;
    uint64_t attribute;
} times[] = {
    {"noatime", MS_NOATIME, MOUNT_ATTR_NOATIME},
    {"strictatime", MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
    {"relatime", MS_RELATIME, MOUNT_ATTR_RELATIME},
    {"atime", 0, MOUNT_ATTR_RELATIME},
    {"norelatime", 0, MOUNT_ATTR_STRICTATIME},
    {"nostrictatime", 0, MOUNT_ATTR_RELATIME},
};

static bool take_time(struct mount_options *options, const char *word, bool recursive)
{
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        uint64_t *set = recursive ? &options->set_recursive : &options->set;
        uint64_t *clear = recursive ? &options->clear_recursive : &options->clear;

        if (!string_equal(word, times[i].name))
            continue;
        if (!recursive)
            options->flags =
                (options->flags & ~(MS_NOATIME | MS_STRICTATIME | MS_RELATIME)) | times[i].flag;
        *set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | times[i].attribute;
        *clear |= MOUNT_ATTR__ATIME;
        return true;
    }
    return false;
}

static bool take_flag(struct mount_options *options, const char *word, bool recursive)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t *set = recursive ? &options->set_recursive : &options->set;
        uint64_t *clear = recursive ? &options->clear_recursive : &options->clear;

        if (!string_equal(word, rows[i].name) || (recursive && !rows[i].attribute))
            continue;
        if (!recursive && rows[i].clear)
            options->flags &= ~rows[i].flag;
        else if (!recursive)
            options->flags |= rows[i].flag;
        *(rows[i].clear ? clear : set) |= rows[i].attribute;
        *(rows[i].clear ? set : clear) &= ~rows[i].attribute;
        return true;
    }
    return take_time(options, word, recursive);
}

static bool take_word(struct mount_options *options, const char *word)
{
    unsigned long propagation = root_propagation_flags(word);

    if (string_equal(word, "bind") || string_equal(word, "rbind")) {
        options->bind = true;
        options->recursive = options->recursive || word[0] == 'r';
        return true;
    }
    if (propagation) {
        options->propagation = propagation;
        return true;
    }
    if (take_flag(options, word, false))
        return true;
    return word[0] == 'r' && take_flag(options, word + 1, true);
}

int mount_options_parse(const struct spec_mount *mount, struct mount_options *ret,
                        struct error *err)
{
    CLEANUP(buffer_release) struct buffer data = BUFFER_INIT(DATA_MAX);
    struct mount_options options = {.bind = string_equal(mount->type, "bind")};
    int r = 0;

    for (char *const *word = mount->options; r == 0 && word && *word; word++) {
        if (!**word || take_word(&options, *word))
            continue;
        if (string_equal(*word, "idmap") || string_equal(*word, "ridmap"))
            return error_set_class(err, ERROR_INVALID, "mount option '%s' is not supported for %s",
                                   *word, mount->destination);
        if (data.length > 0)
            r = buffer_append_char(&data, ',');
        if (r == 0)
            r = buffer_append_string(&data, *word);
    }
    if (r == -EOVERFLOW)
        return error_set_class(err, ERROR_INVALID, "the options of the mount on %s are too long",
                               mount->destination);
    options.data = r == 0 ? buffer_take(&data) : NULL;
    if (!options.data)
        return error_oom(err);
    *ret = options;
    return 0;
}
