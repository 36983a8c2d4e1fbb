/* The warm pool: utility VMs that are booted, with nothing of any container in them, and each of
 * which will serve one container. See pool.c. */
#ifndef HULL_ENGINE_POOL_H
#define HULL_ENGINE_POOL_H

#include <jansson.h>
#include <sys/types.h>

struct compute_client;
struct container;
struct engine;
struct engine_pool;
struct error;
struct pooled_vm;

/* Takes away what the pool of an earlier hulld left, and starts filling. */
int engine_pool_open(struct engine *engine, struct engine_pool **ret, struct error *err);
/* Ends all VMs of the pool and waits for that; engine_pool_take() finds none from then on. NULL is
 * fine. */
void engine_pool_stop(struct engine_pool *pool);
/* When nobody can ask it any more. NULL is fine. Returns NULL. */
struct engine_pool *engine_pool_free(struct engine_pool *pool);

/* A VM that fits the container, or NULL: none is ready, or the container needs another. Its user id
 * is the container's from now on. [operation] */
struct pooled_vm *engine_pool_take(struct container *container);
/* The same for work on the container's disk alone, which gets the memory that the pool's VMs have
 * (config.memory_default), whatever the container asks for, and no shares. [operation] */
struct pooled_vm *engine_pool_take_plain(struct container *container);
/* The VM's worker becomes that of the container, or of its files, whose worker.json is written in
 * this directory. *ret is a connection to it. On failure the VM is good for nothing but
 * pooled_vm_end(). */
int pooled_vm_adopt(struct pooled_vm *vm, const char *directory, struct compute_client **ret,
                    struct error *err);
/* The worker's process, and the network namespace for the VM's end of a veth pair, a descriptor
 * that is the VM's; 0: the host's. */
pid_t pooled_vm_worker(const struct pooled_vm *vm);
int pooled_vm_netns(const struct pooled_vm *vm);
/* After pooled_vm_adopt(): forgets what is the container's now. */
void pooled_vm_free(struct pooled_vm *vm);
/* Ends the VM and waits until nothing of it is left. */
void pooled_vm_end(struct pooled_vm *vm);

/* A start is over: now is the time to fill the pool again. */
void engine_pool_refill(struct engine_pool *pool);

/* "1 of 1 ready", for GET /info. NULL when out of memory. */
json_t *engine_pool_describe(struct engine_pool *pool);

#endif
