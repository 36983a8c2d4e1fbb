/* Names for the user ids of utility VMs, as libnss_hull reads them: <dir>/by-uid/<uid> is a
 * symbolic link to the name and <dir>/by-name/<name> one to the number. */
#ifndef HULL_VM_USER_H
#define HULL_VM_USER_H

#include <sys/types.h>

struct error;

enum { VM_USER_NAME_LENGTH = 32 }; /* first digits of the container id: ps shows at most 32 to 36 */

int vm_user_publish(const char *users_dir, uid_t uid, const char *container_id, struct error *err);
int vm_user_withdraw(const char *users_dir, uid_t uid, const char *container_id, struct error *err);

#endif
