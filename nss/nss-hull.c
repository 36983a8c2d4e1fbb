/* libnss_hull: names for the user ids of utility VMs, so that `ps -eo user:36,args` on the host
 * says whose VM a process is (nsswitch.conf(5): "passwd: files hull").
 *
 * The engine keeps two directories of symbolic links under /run/hull/users (HULL_USERS_DIR in the
 * environment, but not in set-user-id programs, says otherwise):
 *     by-uid/<uid>   -> <name>
 *     by-name/<name> -> <uid>
 * where <name> is the first 32 digits of the container's id. A group of the same name and number
 * goes with each user. An entry counts only if both links agree, so that one half-made or left over
 * names nobody.
 *
 * This runs inside every program of the host that looks a user up, with that program's rights: it
 * reads two links, uses nothing but libc, keeps no state, and takes nothing from them that is not
 * 32 hexadecimal digits or a number. The interface is glibc's (manual, "Extending NSS").
 * Enumeration (getpwent) is not offered: VMs are not accounts. */
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    NAME_LENGTH = 32,
    NAME_SIZE = NAME_LENGTH + 1,
    NUMBER_SIZE = sizeof("4294967295"),
    PATH_SIZE = 4096,
};

#define USERS_DIR "/run/hull/users"

enum nss_status _nss_hull_getpwuid_r(uid_t uid, struct passwd *result, char *buffer, size_t length,
                                     int *errnop);
enum nss_status _nss_hull_getpwnam_r(const char *name, struct passwd *result, char *buffer,
                                     size_t length, int *errnop);
enum nss_status _nss_hull_getgrgid_r(gid_t gid, struct group *result, char *buffer, size_t length,
                                     int *errnop);
enum nss_status _nss_hull_getgrnam_r(const char *name, struct group *result, char *buffer,
                                     size_t length, int *errnop);

static bool name_is_valid(const char *name)
{
    return strlen(name) == NAME_LENGTH && strspn(name, "0123456789abcdef") == NAME_LENGTH;
}

/* A decimal number without sign or leading zeros, neither 0 (root) nor 2^32 - 1 ("no id"). */
static bool parse_number(const char *text, uint32_t *ret)
{
    uint64_t value = 0;

    if (text[0] < '1' || text[0] > '9')
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value >= UINT32_MAX)
            return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* Content of <dir>/<kind>/<key>, terminated; false unless it fits. */
static bool read_link(const char *kind, const char *key, char *ret, size_t size)
{
    const char *dir = secure_getenv("HULL_USERS_DIR");
    char path[PATH_SIZE];
    ssize_t n;
    int length =
        snprintf(path, sizeof(path), "%s/%s/%s", dir && dir[0] == '/' ? dir : USERS_DIR, kind, key);

    if (length < 0 || (size_t)length >= sizeof(path))
        return false;
    n = readlink(path, ret, size);
    if (n < 0 || (size_t)n >= size)
        return false;
    ret[n] = '\0';
    return strlen(ret) == (size_t)n;
}

static bool find_by_name(const char *name, uint32_t *ret)
{
    char number[NUMBER_SIZE];
    char back[NAME_SIZE];

    return name_is_valid(name) && read_link("by-name", name, number, sizeof(number)) &&
           parse_number(number, ret) && read_link("by-uid", number, back, sizeof(back)) &&
           strcmp(back, name) == 0;
}

static bool find_by_number(uint32_t number, char ret[NAME_SIZE])
{
    char text[NUMBER_SIZE];
    char back[NUMBER_SIZE];

    if (number == 0 || number == UINT32_MAX)
        return false;
    (void)snprintf(text, sizeof(text), "%u", number);
    return read_link("by-uid", text, ret, NAME_SIZE) && name_is_valid(ret) &&
           read_link("by-name", ret, back, sizeof(back)) && strcmp(back, text) == 0;
}

/* Lookups must not disturb errno unless they fail in a way that is reported. */
static enum nss_status not_found(int saved_errno, int *errnop)
{
    errno = saved_errno;
    *errnop = ENOENT;
    return NSS_STATUS_NOTFOUND;
}

/* The caller's buffer is too small: it tries again with a larger one. */
static enum nss_status too_small(int saved_errno, int *errnop)
{
    errno = saved_errno;
    *errnop = ERANGE;
    return NSS_STATUS_TRYAGAIN;
}

/* Copies text to the caller's buffer and moves on; NULL when there is no room. */
static char *put(char **buffer, size_t *length, const char *text)
{
    size_t size = strlen(text) + 1;
    char *start = *buffer;

    if (size > *length)
        return NULL;
    memcpy(start, text, size);
    *buffer += size;
    *length -= size;
    return start;
}

static bool fill_passwd(const char *name, uint32_t number, struct passwd *result, char *buffer,
                        size_t length)
{
    char gecos[sizeof("hull utility VM of ") + NAME_LENGTH];
    struct passwd entry = {.pw_uid = number, .pw_gid = number};

    (void)snprintf(gecos, sizeof(gecos), "hull utility VM of %s", name);
    entry.pw_name = put(&buffer, &length, name);
    entry.pw_passwd = put(&buffer, &length, "*");
    entry.pw_gecos = put(&buffer, &length, gecos);
    entry.pw_dir = put(&buffer, &length, "/");
    entry.pw_shell = put(&buffer, &length, "/usr/sbin/nologin");
    if (!entry.pw_name || !entry.pw_passwd || !entry.pw_gecos || !entry.pw_dir || !entry.pw_shell)
        return false;
    *result = entry;
    return true;
}

/* The list of members is an array of pointers, so it comes first, aligned. */
static bool fill_group(const char *name, uint32_t number, struct group *result, char *buffer,
                       size_t length)
{
    struct group entry = {.gr_gid = number};
    size_t skip = -(uintptr_t)buffer % sizeof(char *);

    if (length < skip + sizeof(char *))
        return false;
    entry.gr_mem = (char **)(void *)(buffer + skip);
    buffer += skip + sizeof(char *);
    length -= skip + sizeof(char *);
    entry.gr_name = put(&buffer, &length, name);
    entry.gr_passwd = put(&buffer, &length, "*");
    if (!entry.gr_name || !entry.gr_passwd)
        return false;
    entry.gr_mem[0] = NULL;
    *result = entry;
    return true;
}

enum nss_status _nss_hull_getpwuid_r(uid_t uid, struct passwd *result, char *buffer, size_t length,
                                     int *errnop)
{
    char name[NAME_SIZE];
    int saved = errno;

    if (!find_by_number(uid, name))
        return not_found(saved, errnop);
    return fill_passwd(name, uid, result, buffer, length) ? NSS_STATUS_SUCCESS
                                                          : too_small(saved, errnop);
}

enum nss_status _nss_hull_getpwnam_r(const char *name, struct passwd *result, char *buffer,
                                     size_t length, int *errnop)
{
    uint32_t number;
    int saved = errno;

    if (!find_by_name(name, &number))
        return not_found(saved, errnop);
    return fill_passwd(name, number, result, buffer, length) ? NSS_STATUS_SUCCESS
                                                             : too_small(saved, errnop);
}

enum nss_status _nss_hull_getgrgid_r(gid_t gid, struct group *result, char *buffer, size_t length,
                                     int *errnop)
{
    char name[NAME_SIZE];
    int saved = errno;

    if (!find_by_number(gid, name))
        return not_found(saved, errnop);
    return fill_group(name, gid, result, buffer, length) ? NSS_STATUS_SUCCESS
                                                         : too_small(saved, errnop);
}

enum nss_status _nss_hull_getgrnam_r(const char *name, struct group *result, char *buffer,
                                     size_t length, int *errnop)
{
    uint32_t number;
    int saved = errno;

    if (!find_by_name(name, &number))
        return not_found(saved, errnop);
    return fill_group(name, number, result, buffer, length) ? NSS_STATUS_SUCCESS
                                                            : too_small(saved, errnop);
}
