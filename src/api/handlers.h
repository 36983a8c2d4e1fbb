/* The functions behind the routes of the Docker Engine API; `context` is the struct engine. Each
 * file of handlers is one resource. */
#ifndef HULL_API_HANDLERS_H
#define HULL_API_HANDLERS_H

#include "api/route.h"

/* The whole API (routes.c). */
const struct route_table *api_routes(void);

/* containers.c */
route_handler api_container_create, api_container_list, api_container_inspect, api_container_remove,
    api_container_prune, api_container_rename, api_container_top;
/* containers_state.c */
route_handler api_container_start, api_container_stop, api_container_restart, api_container_kill,
    api_container_pause, api_container_unpause, api_container_resize;
/* containers_update.c */
route_handler api_container_update;
/* containers_streams.c */
route_handler api_container_attach, api_container_logs, api_container_wait;
/* archive.c */
route_handler api_archive_stat, api_archive_get, api_archive_put, api_container_export,
    api_container_changes;
route_begin api_archive_put_begin;
/* exec.c */
route_handler api_exec_create, api_exec_start, api_exec_resize, api_exec_inspect;
/* images.c */
route_handler api_image_list_all, api_image_inspect, api_image_history, api_image_tag_add,
    api_image_delete, api_image_prune_unused;
/* images_transfer.c */
route_handler api_image_create, api_image_load_archive;
route_begin api_image_create_begin, api_image_load_begin;
/* registry_login.c */
route_handler api_registry_login;
/* networks.c */
route_handler api_network_list, api_network_inspect, api_network_delete, api_network_prune;
/* volumes.c */
route_handler api_volume_list, api_volume_create, api_volume_inspect, api_volume_update,
    api_volume_remove, api_volume_prune;
/* system.c */
route_handler api_system_ping, api_system_version, api_system_info, api_system_usage,
    api_system_events;
/* hull.c */
route_handler api_hull_compute_list, api_hull_compute_kill, api_hull_vm_console, api_hull_vm_probe,
    api_hull_vm_trace;
/* refusals.c: what dockerd has and this engine does not */
route_handler api_refuse_swarm, api_refuse_swarm_leave, api_refuse_operation, api_plugin_list,
    api_plugin_missing, api_build_prune;

#endif
