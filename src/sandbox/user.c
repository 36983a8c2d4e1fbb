#include "sandbox/user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "spec/runtime.h"

enum { FIELDS_MAX = 7, PASSWD_FIELDS = 6, GROUP_FIELDS = 3, READ_CHUNK = 4096 };

/* A missing or odd file has no entries, as for runc; one that is too large is an error. */
static int read_database(int root_fd, const char *path, struct buffer *text, struct error *err)
{
    /* Never block on a fifo or touch a device that the image put there. */
    CLEANUP_CLOSE int fd = path_open_in_root(root_fd, path, O_PATH, 0);
    CLEANUP_CLOSE int readable = -EBADF;
    struct stat st;

    if (fd < 0)
        return 0;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (st.st_size > USER_FILE_MAX)
        return error_set_class(err, ERROR_INVALID, "%s is larger than %d bytes", path,
                               USER_FILE_MAX);
    readable = path_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (readable < 0)
        return 0;
    /* The file could have been exchanged in between by an exec'd program's container. */
    if (fstat(readable, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    while (true) {
        void *space = buffer_reserve(text, READ_CHUNK);
        ssize_t n = space ? read(readable, space, READ_CHUNK) : -1;

        if (!space)
            return error_set_class(err, ERROR_INVALID, "%s is larger than %d bytes", path,
                                   USER_FILE_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        buffer_commit(text, (size_t)n);
    }
}

/* Splits a line at ':' in place; the last field keeps the rest. Returns the number of fields. */
static size_t split_line(char *line, char *fields[FIELDS_MAX])
{
    size_t n = 0;

    while (line && n < FIELDS_MAX)
        fields[n++] = strsep(&line, ":");
    return n;
}

static bool to_id(const char *text, uint32_t *ret)
{
    int id;

    if (!text || string_to_int(text, 0, INT_MAX, &id) < 0)
        return false;
    *ret = (uint32_t)id;
    return true;
}

static int add_group(struct user *user, uint32_t gid, struct error *err)
{
    uint32_t *grown;

    for (size_t i = 0; i < user->n_groups; i++)
        if (user->groups[i] == gid)
            return 0;
    if (user->n_groups >= USER_GROUPS_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d groups", USER_GROUPS_MAX);
    grown = realloc(user->groups, (user->n_groups + 1) * sizeof(*grown));
    if (!grown)
        return error_oom(err);
    user->groups = grown;
    user->groups[user->n_groups++] = gid;
    return 0;
}

struct passwd_entry {
    bool found;
    char *name; /* in the text of the file */
    uint32_t uid;
    uint32_t gid;
    char *home;
};

/* The first entry of a name, or, with name NULL, of a uid. */
static void find_passwd(char *text, const char *name, uint32_t uid, struct passwd_entry *ret)
{
    char *line;

    for (size_t i = 0; i < USER_LINES_MAX && (line = strsep(&text, "\n")); i++) {
        char *fields[FIELDS_MAX];
        uint32_t entry_uid;
        uint32_t entry_gid;

        if (split_line(line, fields) < PASSWD_FIELDS || !to_id(fields[2], &entry_uid) ||
            !to_id(fields[3], &entry_gid))
            continue;
        if (name ? !string_equal(fields[0], name) : entry_uid != uid)
            continue;
        *ret = (struct passwd_entry){true, fields[0], entry_uid, entry_gid, fields[5]};
        return;
    }
}

static int resolve_user(int root_fd, const char *name, struct buffer *text,
                        struct passwd_entry *entry, struct user *user, struct error *err)
{
    uint32_t uid = user->uid;
    bool is_number = !name || to_id(name, &uid);
    int r = read_database(root_fd, "etc/passwd", text, err);

    if (r < 0)
        return r;
    if (text->data)
        find_passwd(text->data, is_number ? NULL : name, uid, entry);
    if (!entry->found && !is_number)
        return error_set_class(err, ERROR_INVALID,
                               "unable to find user %s: no matching entries in passwd file", name);
    user->uid = entry->found ? entry->uid : uid;
    /* runc: a number without an entry has group 0; numbers of the configuration keep theirs. */
    if (name)
        user->gid = entry->found ? entry->gid : 0;
    if (entry->found && entry->home && entry->home[0] == '/' &&
        string_replace(&user->home, entry->home) < 0)
        return error_oom(err);
    return 0;
}

static bool is_member(char *members, const char *name)
{
    char *member;

    while ((member = strsep(&members, ",")))
        if (string_equal(member, name))
            return true;
    return false;
}

struct group_search {
    const char *wanted; /* name or number; NULL: */
    const char *member; /* all groups of this user */
    uint32_t gid;       /* of the first that matched `wanted` */
    bool found;
};

static int search_groups(const char *database, struct group_search *search, struct user *user,
                         struct error *err)
{
    CLEANUP_FREE char *copy = strdup(database);
    char *rest = copy;
    char *line;
    uint32_t wanted_gid = 0;
    bool is_number = search->wanted && to_id(search->wanted, &wanted_gid);

    if (!copy)
        return error_oom(err);
    for (size_t i = 0; i < USER_LINES_MAX && (line = strsep(&rest, "\n")); i++) {
        char *fields[FIELDS_MAX];
        uint32_t gid;
        size_t n = split_line(line, fields);
        int r;

        if (n < GROUP_FIELDS || !to_id(fields[2], &gid))
            continue;
        if (search->wanted) {
            if (is_number ? gid != wanted_gid : !string_equal(fields[0], search->wanted))
                continue;
            search->gid = gid;
            search->found = true;
            return 0;
        }
        if (n <= GROUP_FIELDS || !is_member(fields[3], search->member))
            continue;
        r = add_group(user, gid, err);
        if (r < 0)
            return r;
    }
    if (!is_number)
        return 0;
    search->gid = wanted_gid;
    search->found = true;
    return 0;
}

static int resolve_group(const char *database, const char *wanted, struct user *user, uint32_t *ret,
                         struct error *err)
{
    struct group_search search = {.wanted = wanted};
    int r = search_groups(database, &search, user, err);

    if (r < 0)
        return r;
    if (!search.found)
        return error_set_class(err, ERROR_INVALID,
                               "unable to find group %s: no matching entries in group file",
                               wanted);
    *ret = search.gid;
    return 0;
}

static int resolve_groups(int root_fd, const struct spec_user *spec, const char *group,
                          const char *member, struct user *user, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(USER_FILE_MAX + 8192);
    struct group_search memberships = {.member = member};
    int r = read_database(root_fd, "etc/group", &text, err);

    if (r < 0)
        return r;
    if (group)
        r = resolve_group(buffer_string(&text), group, user, &user->gid, err);
    if (r >= 0)
        r = add_group(user, user->gid, err);
    if (r >= 0 && !group && member)
        r = search_groups(buffer_string(&text), &memberships, user, err);
    for (size_t i = 0; r >= 0 && i < spec->n_additional_gids; i++)
        r = add_group(user, spec->additional_gids[i], err);
    for (char *const *name = spec->additional_groups; r >= 0 && name && *name; name++) {
        uint32_t gid = 0;

        r = resolve_group(buffer_string(&text), *name, user, &gid, err);
        if (r >= 0)
            r = add_group(user, gid, err);
    }
    return r;
}

static int resolve(int root_fd, const struct spec_user *spec, struct user *user, struct error *err)
{
    CLEANUP(buffer_release) struct buffer passwd = BUFFER_INIT(USER_FILE_MAX + 8192);
    CLEANUP_FREE char *name = NULL;
    struct passwd_entry entry = {.found = false};
    char *group = NULL;
    int r;

    user->uid = spec->uid;
    user->gid = spec->gid;
    if (!string_is_empty(spec->username)) {
        name = strdup(spec->username);
        if (!name)
            return error_oom(err);
        group = strchr(name, ':');
        if (group)
            *group++ = '\0';
        if (!*name) /* ":group" */
            user->uid = 0;
    }
    r = resolve_user(root_fd, string_is_empty(name) ? NULL : name, &passwd, &entry, user, err);
    if (r < 0)
        return r;
    return resolve_groups(root_fd, spec, string_is_empty(group) ? NULL : group,
                          name && entry.found ? entry.name : NULL, user, err);
}

int user_resolve(int root_fd, const struct spec_user *spec, struct user *ret, struct error *err)
{
    struct user user = {.home = strdup("/")};
    int r = user.home ? resolve(root_fd, spec, &user, err) : error_oom(err);

    if (r < 0) {
        user_release(&user);
        return r;
    }
    *ret = user;
    return 0;
}

void user_release(struct user *user)
{
    free(user->groups);
    free(user->home);
    *user = (struct user){0};
}
