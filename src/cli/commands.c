#include "cli/commands.h"

#include "cli/command.h"

#include <stddef.h>

/* In the order of `hull help`. */
const struct command *const cli_commands[] = {
    &command_run,
    &command_exec,
    &command_ps,
    &command_create,
    &command_start,
    &command_stop,
    &command_restart,
    &command_kill,
    &command_wait,
    &command_attach,
    &command_logs,
    &command_top,
    &command_inspect,
    &command_container_inspect,
    &command_cp,
    &command_diff,
    &command_export,
    &command_rename,
    &command_update,
    &command_rm,
    &command_prune,
    &command_images,
    &command_pull,
    &command_load,
    &command_import,
    &command_tag,
    &command_rmi,
    &command_image_inspect,
    &command_image_prune,
    &command_network_ls,
    &command_network_inspect,
    &command_volume_create,
    &command_volume_ls,
    &command_volume_inspect,
    &command_volume_rm,
    &command_volume_prune,
    &command_compute_ls,
    &command_compute_kill,
    &command_vm_console,
    &command_vm_probe,
    &command_events,
    &command_info,
    &command_version,
    NULL,
};

const struct command_group cli_groups[] = {
    {"container", "Manage containers"},
    {"image", "Manage images"},
    {"network", "Look at networks"},
    {"volume", "Manage volumes"},
    {"compute", "Look at and end what the containers run in: workers and virtual machines"},
    {"vm", "Look into utility virtual machines"},
    {"system", "Manage hull"},
    {NULL, NULL},
};
