/* Attempts to get out of a VMM's jail: what a guest would try that has taken over its VMM. */
#ifndef HULL_TEST_JAIL_ESCAPE_H
#define HULL_TEST_JAIL_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is outside, as test-escape.c made it; a line "name value" each of the escape program's
 * input.
 */
struct outside {
    char file[256];      /* a file of the host */
    char disk[256];      /* the disk of another VM */
    char socket[256];    /* a unix socket by path */
    char abstract[256];  /* a unix socket in the abstract name space */
    char directory[256]; /* one where the control may make files; in the jail: "/run" */
    char setuid[256];    /* escape itself, set-user-id to user 1000; "" if there is none */
    long port;           /* a TCP port of 127.0.0.1 */
    long worker;         /* the process that started the VMM */
    long victim;         /* an ordinary process of the host */
    long other;          /* another VM's VMM */
    long address;        /* something readable in the victim */
    long memory_id;      /* System V shared memory */
    bool control;        /* not in a jail: attempts may go out of their way to be harmless */
};

/* 0: it worked. Else the errno value that refused it. For calls that would do harm if they worked,
 * and are therefore made with an argument that the kernel refuses after the permission, that other
 * refusal counts as "it worked". */
typedef int escape_function(const struct outside *outside);

struct escape {
    const char *name;
    escape_function *run;
    /* The control may fail: the host's root has not got this either, everywhere. */
    bool may_lack;
};

/* Three tables, each ended by a name of NULL. */
extern const struct escape escapes_files[];     /* files, mounts, devices */
extern const struct escape escapes_processes[]; /* processes, namespaces, identity, limits */
extern const struct escape escapes_kernel[];    /* sockets and the kernel's other doors */

/* errno of a call's result: 0 if it is not negative. */
int escape_result(long result);
/* Likewise; `reached` is the refusal that comes after the permission. */
int escape_reached(long result, int reached);

#endif
