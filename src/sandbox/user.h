/* The user of a program, resolved in the container's own /etc/passwd and /etc/group, which are
 * read as hostile text: no NSS, sizes bounded, links stay inside the root. */
#ifndef HULL_SANDBOX_USER_H
#define HULL_SANDBOX_USER_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct spec_user;

enum {
    USER_FILE_MAX = 8 * 1024 * 1024, /* bytes of passwd or group */
    USER_LINES_MAX = 100000,
    USER_GROUPS_MAX = 65536, /* NGROUPS_MAX */
};

struct user {
    uint32_t uid;
    uint32_t gid;
    uint32_t *groups; /* supplementary; starts with gid, as docker's */
    size_t n_groups;
    char *home; /* "/" when passwd has none */
};

/* Errors are runc's and docker's: "unable to find user X: no matching entries in passwd file",
 * "unable to find group X: no matching entries in group file", class ERROR_INVALID. */
int user_resolve(int root_fd, const struct spec_user *spec, struct user *ret, struct error *err);
void user_release(struct user *user);

#endif
