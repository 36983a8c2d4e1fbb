/* Volumes of driver "local" with options: a file system mounted on the volume's directory (moby,
 * volume/local/local_unix.go). */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/volume.h"
#include "sandbox/mount-options.h"
#include "spec/runtime.h"

static const char *option(const json_t *options, const char *name)
{
    return json_string_value(json_object_get(options, name));
}

int volume_driver_check(const json_t *options, struct error *err)
{
    static const struct {
        const char *name;
        const char *needs;
    } pairs[] = {{"device", "type"}, {"type", "device"}, {"o", "device"}, {"o", "type"}};
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)options, name, value) {
        if (!json_is_string(value))
            return error_set_class(err, ERROR_INVALID, "option \"%s\" is no string", name);
        if (string_equal(name, "size"))
            return error_set_class(err, ERROR_INVALID, "quota size requested but no quota support");
        if (!string_equal(name, "type") && !string_equal(name, "o") &&
            !string_equal(name, "device"))
            return error_set_class(err, ERROR_INVALID, "invalid option: \"%s\"", name);
    }
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (option(options, pairs[i].name) && !option(options, pairs[i].needs))
            return error_set_class(err, ERROR_INVALID, "missing required option: \"%s\"",
                                   pairs[i].needs);
    return 0;
}

/* The kernel takes no names: "addr=SERVER" becomes its number, as mount.nfs(8) does. */
static int resolve_address(char **word, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char text[INET6_ADDRSTRLEN];
    struct addrinfo *found = NULL;
    const char *host = *word + strlen("addr=");
    struct in_addr number;
    if (inet_pton(AF_INET, host, &number) == 1)
        return 0;
    int failure = getaddrinfo(host, NULL, &hints, &found);
    if (failure)
        return error_set(err, -EHOSTUNREACH, "error resolving passed in network volume address: %s",
                         gai_strerror(failure));
    failure =
        getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    char *resolved = failure ? NULL : string_format("addr=%s", text);
    if (!resolved)
        return error_oom(err);
    free(*word);
    *word = resolved;
    return 0;
}

static int read_options(const json_t *options, char ***ret, struct error *err)
{
    CLEANUP_STRV char **words = NULL;
    const char *type = string_or(option(options, "type"), "");
    bool network = string_equal(type, "nfs") || string_equal(type, "cifs");
    if (strv_split(string_or(option(options, "o"), ""), ',', &words) < 0)
        return error_oom(err);
    for (char **word = words; network && *word; word++) {
        if (!string_starts_with(*word, "addr=") || !(*word)[strlen("addr=")])
            continue;
        int r = resolve_address(word, err);
        if (r < 0)
            return r;
        break;
    }
    *ret = TAKE_PTR(words);
    return 0;
}

static int mount_parsed(const char *device, const char *path, const char *type,
                        const struct mount_options *options)
{
    unsigned long bind = options->bind ? MS_BIND | (options->recursive ? MS_REC : 0) : 0;
    if (mount(device, path, type, options->flags | bind, options->data) < 0)
        return -errno;
    /* A bind takes its flags only when it is mounted once more. */
    unsigned long again = options->flags & ~(unsigned long)MS_REC;
    if ((bind && again && mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | again, NULL) < 0) ||
        (options->propagation && mount(NULL, path, NULL, options->propagation, NULL) < 0)) {
        int r = -errno;
        (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
        return r;
    }
    return 0;
}

int volume_driver_mount(const char *name, const char *path, const json_t *options,
                        struct error *err)
{
    CLEANUP_STRV char **words = NULL;
    const char *type = option(options, "type");
    const char *device = option(options, "device");
    struct mount_options parsed = {0};
    if (string_is_empty(device))
        return error_set_class(err, ERROR_INVALID,
                               "error while mounting volume '%s': missing device in volume options",
                               path);
    int r = read_options(options, &words, err);
    if (r < 0)
        return error_wrap(err, r, "error while mounting volume '%s'", path);
    const struct spec_mount mount = {.destination = (char *)(uintptr_t)path,
                                     .type = (char *)(uintptr_t)string_or(type, ""),
                                     .source = (char *)(uintptr_t)device,
                                     .options = words};
    r = mount_options_parse(&mount, &parsed, err);
    if (r < 0)
        return error_wrap(err, r, "error while mounting volume '%s'", name);
    CLEANUP_FREE char *data = parsed.data;
    r = mount_parsed(device, path, type, &parsed);
    if (r < 0)
        return error_set_errno(err, r,
                               "error while mounting volume '%s': failed to mount local volume: "
                               "mount %s:%s, flags: 0x%lx%s%s",
                               path, device, path, parsed.flags | (parsed.bind ? MS_BIND : 0),
                               *data ? ", data: " : "", data);
    return 0;
}

void volume_driver_unmount(const char *path)
{
    /* A crash may have left it mounted while another engine mounted it again. */
    enum { STACK_MAX = 16 };
    for (int i = 0; i < STACK_MAX && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0; i++)
        ;
}
