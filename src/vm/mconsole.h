/* A client of User-Mode Linux's management console (mconsole; Documentation/virt/uml/
 * user_mode_linux_howto_v2.rst and arch/um/drivers/mconsole.h of the kernel): hot plug into a
 * running guest. The console is a unix datagram socket of the VMM's, which is on the guest's side
 * of the jail, so what it answers is hostile.
 *
 *     mconsole_new(console, pidfd, loop, &mconsole, err)
 *     mconsole_ask(mconsole, "config ubd0=/disks/0", answered, data, err)
 *     ... answered(NULL or what it says is wrong, data), from the loop, exactly once ...
 *     mconsole_free(mconsole) */
#ifndef HULL_VM_MCONSOLE_H
#define HULL_VM_MCONSOLE_H

struct error;
struct loop;
struct mconsole;

enum {
    MCONSOLE_REQUEST_MAX = 511, /* bytes of a command */
    MCONSOLE_PIECES_MAX = 64,   /* datagrams of one answer */
};

/* May ask again, or free the client. */
typedef void mconsole_answered(const struct error *error, void *data);

/* `console`: what vm_open_management() gave, `pidfd`: the VMM, in whose network namespace the
 * answer finds this client; both borrowed, used during the call only. */
int mconsole_new(int console, int pidfd, struct loop *loop, struct mconsole **ret,
                 struct error *err);
struct mconsole *mconsole_free(struct mconsole *mconsole);

/* One command at a time: -EBUSY. An answer that does not come within timeout_ms is an error. */
int mconsole_ask(struct mconsole *mconsole, const char *command, unsigned timeout_ms,
                 mconsole_answered *answered, void *data, struct error *err);

#endif
