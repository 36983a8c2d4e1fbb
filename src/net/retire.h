/* Deleting the interfaces of endpoints that have ended, without anybody waiting for it. Private to
 * net/.
 *
 * Theory of operation. RTM_DELLINK lasts 10 to 20 ms, of which the kernel spends nearly all in
 * rcu_barrier(), and there is no way to ask for it without that. So net_endpoint_delete() only
 * makes the endpoint powerless: its port of the bridge is disabled (no frame passes, and the
 * bridge forgets the addresses it saw there, so that the next endpoint with the same address is
 * found at once), the filter takes nothing from it any more, its published ports are free. The
 * record goes to net->retired, and a thread deletes the interfaces by their index (never by name)
 * and then the elements that make the filter look at them: until the interface is gone, what came
 * from it would be dropped.
 *
 * What is left when a process ends in between are ports of the bridge without a record, which
 * net_adopt() deletes. An interface that cannot be deleted stays as it is, disabled and guarded
 * ("stuck"), for net_adopt(), net_close() or the next endpoint of the name. */
#ifndef HULL_NET_RETIRE_H
#define HULL_NET_RETIRE_H

#include <stdbool.h>

struct error;
struct net;
struct net_record;
struct retire;

enum { RETIRED_MAX = 64 };

int net_retire_new(struct net *net, struct retire **ret, struct error *err);
/* Finishes what is under way, ends the thread. The lock must not be held. Accepts NULL. */
void net_retire_free(struct retire *retire);

/* The rest is called with the lock held. */

/* Makes sure of the thread. -errno: the caller has to delete the links himself; -EAGAIN when
 * RETIRED_MAX others are still there: who deletes faster than the kernel can has to wait. */
int net_retire_start(struct net *net);
/* Hands over a record of net->records whose ports are released; `link`: the index of its host
 * interface. After net_retire_start(). */
void net_retire(struct net *net, struct net_record *record, int link);
/* Waits until the interface `host` (NULL: all of them) is gone or stuck. Gives up the lock
 * meanwhile. */
void net_retire_wait(struct net *net, const char *host);
/* True while the interface `host` is about to be deleted. */
bool net_retire_is_pending(struct net *net, const char *host);
/* Drops the records of stuck interfaces: of `host`, which is gone now (NULL: of all). */
void net_retire_forget(struct net *net, const char *host);

#endif
