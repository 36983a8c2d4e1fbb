/* A container's place in the default network: address, endpoint, published ports and the files in
 * /etc that name them. Private to engine/. All calls under the operation lock. */
#ifndef HULL_ENGINE_ATTACH_NETWORK_H
#define HULL_ENGINE_ATTACH_NETWORK_H

#include <jansson.h>
#include <stdbool.h>

struct compute_job;
struct container;
struct engine;
struct error;

/* Takes an address (kept until the container is removed), fills the job's interfaces and NIC and,
 * unless that must be later, connects. */
int container_network_attach(struct container *container, struct compute_job *job,
                             struct error *err);

/* Is the endpoint made when the worker is there? So it is for a VM whose NIC is a packet socket: by
 * such a socket one can send wherever its network namespace can (packet(7), sll_ifindex), so it has
 * one of its own, the worker's, with the VM's end of the veth pair in it and nothing else. */
bool container_network_is_late(const struct container *container);
/* Makes the endpoint, its far end in `netns` (a descriptor; 0: the host's), and publishes ports. */
int container_network_connect(struct container *container, int netns, struct error *err);

/* Removes endpoint and published ports. */
void container_network_detach(struct container *container);

/* Writes hosts, hostname and resolv.conf into the container's directory. */
int container_network_files(struct container *container, struct error *err);

/* Takes over the endpoints of the containers that run, after a restart of the engine. */
int engine_network_adopt(struct engine *engine, struct error *err);

/* NetworkSettings of inspect, and the summary of the list. NULL when out of memory. */
json_t *container_network_settings(const struct container *container);

#endif
