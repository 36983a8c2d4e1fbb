#include "sandbox/guest_shares.h"

#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/guest_internal.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>

static int mount_one(const json_t *share, size_t index, struct error *err)
{
    const char *type = NULL;
    const char *source = NULL;
    bool read_only = true;
    char target[sizeof(GUEST_SHARES_DIR) + 24];
    int r;

    if ((r = json_need_string(share, "type", &type, err)) < 0 ||
        (r = json_need_string(share, "source", &source, err)) < 0 ||
        (r = json_get_bool(share, "read_only", &read_only, err)) < 0)
        return r;
    if (!string_equal(type, "hostfs"))
        return error_set_class(err, ERROR_INVALID, "unknown type '%s'", type);
    (void)snprintf(target, sizeof(target), GUEST_SHARES_DIR "/%zu", index);
    /* hostfs takes its directory as the mount's options. */
    return guest_mount_checked("share", target, type, MS_NODEV | (read_only ? MS_RDONLY : 0),
                               source, err);
}

/* The tag of the one file system that has them all; NULL: they are not served in such a way. */
static const char *find_tag(const json_t *shares)
{
    const json_t *first = json_array_get(shares, 0);

    return string_equal(json_string_value(json_object_get(first, "type")), "virtiofs")
               ? json_string_value(json_object_get(first, "source"))
               : NULL;
}

int guest_shares_mount(const json_t *request, struct error *err)
{
    json_t *shares = NULL;
    json_t *share;
    size_t i;
    int r = json_get_array(request, "shares", &shares, err);

    if (r <= 0 || json_array_size(shares) == 0)
        return r < 0 ? r : 0;
    if (json_array_size(shares) > GUEST_SHARES_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d shares", GUEST_SHARES_MAX);
    r = path_make_dirs(GUEST_SHARES_DIR, 0700, err);
    const char *tag = find_tag(shares);
    if (tag)
        return r < 0 ? r
                     : guest_mount_checked(tag, GUEST_SHARES_DIR, "virtiofs", MS_NODEV, NULL, err);
    json_array_foreach (shares, i, share) {
        if (r < 0 || (r = mount_one(share, i, err)) < 0)
            return error_wrap(err, r, "share %zu", i);
    }
    return 0;
}
