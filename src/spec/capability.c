#include "spec/capability.h"

#include <errno.h>
#include <strings.h>

#include "base/error.h"
#include "base/strings.h"

static const char *const names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == CAPABILITY_MAX, "a capability lacks its name");

const char *capability_to_string(int number)
{
    return number >= 0 && number < CAPABILITY_MAX ? names[number] : NULL;
}

int capability_from_string(const char *text)
{
    if (!text)
        return -EINVAL;
    if (strncasecmp(text, "CAP_", 4) == 0)
        text += 4;
    for (int i = 0; i < CAPABILITY_MAX; i++)
        if (string_equal_nocase(text, names[i] + 4))
            return i;
    return -EINVAL;
}

/* One of docker's lists: the mask of its names, and whether "ALL" is among them. */
static int read_list(char *const *list, const char *option, uint64_t *ret_mask, bool *ret_all,
                     struct error *err)
{
    *ret_mask = 0;
    *ret_all = false;
    for (; list && *list; list++) {
        int number;

        if (string_equal_nocase(*list, "ALL") || string_equal_nocase(*list, "CAP_ALL")) {
            *ret_all = true;
            continue;
        }
        number = capability_from_string(*list);
        if (number < 0)
            return error_set_class(err, ERROR_INVALID, "invalid %s: unknown capability: \"%s\"",
                                   option, *list);
        *ret_mask |= CAPABILITY_BIT(number);
    }
    return 0;
}

int capability_apply(uint64_t start, char *const *add, char *const *drop, uint64_t *ret,
                     struct error *err)
{
    uint64_t added;
    uint64_t dropped;
    bool add_all;
    bool drop_all;
    int r = read_list(add, "CapAdd", &added, &add_all, err);

    if (r < 0)
        return r;
    r = read_list(drop, "CapDrop", &dropped, &drop_all, err);
    if (r < 0)
        return r;
    /* The four cases of moby's caps.TweakCapabilities(). */
    if (add_all)
        *ret = CAPABILITY_ALL & ~dropped;
    else if (drop_all)
        *ret = added;
    else
        *ret = (start & ~dropped) | added;
    return 0;
}

json_t *capability_mask_to_json(uint64_t mask)
{
    json_t *array = json_array();

    for (int i = 0; array && i < CAPABILITY_MAX; i++) {
        if (!(mask & CAPABILITY_BIT(i)))
            continue;
        if (json_array_append_new(array, json_string(names[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

int capability_mask_from_json(const json_t *array, const char *what, uint64_t *ret,
                              struct error *err)
{
    uint64_t mask = 0;
    size_t i;
    json_t *item;

    if (array && !json_is_array(array) && !json_is_null(array))
        return error_set_class(err, ERROR_INVALID, "'%s' must be an array", what);
    json_array_foreach (array, i, item) {
        int number = capability_from_string(json_string_value(item));

        if (number < 0)
            return error_set_class(err, ERROR_INVALID, "'%s': unknown capability: \"%s\"", what,
                                   string_or(json_string_value(item), ""));
        mask |= CAPABILITY_BIT(number);
    }
    *ret = mask;
    return 0;
}
