/* The rows of the command table, one per file (small families share one). */
#ifndef HULL_CLI_COMMANDS_H
#define HULL_CLI_COMMANDS_H

struct cli;
struct command;
struct error;

extern const struct command command_attach;
extern const struct command command_compute_kill;
extern const struct command command_compute_ls;
extern const struct command command_convert;
extern const struct command command_cp;
extern const struct command command_create;
extern const struct command command_diff;
extern const struct command command_events;
extern const struct command command_exec;
extern const struct command command_export;
extern const struct command command_image_inspect;
extern const struct command command_image_prune;
extern const struct command command_images;
extern const struct command command_import;
extern const struct command command_info;
extern const struct command command_inspect;
extern const struct command command_kill;
extern const struct command command_load;
extern const struct command command_logs;
extern const struct command command_container_inspect;
extern const struct command command_network_inspect;
extern const struct command command_network_ls;
extern const struct command command_prune;
extern const struct command command_ps;
extern const struct command command_pull;
extern const struct command command_pause;
extern const struct command command_unpause;
extern const struct command command_rename;
extern const struct command command_restart;
extern const struct command command_rm;
extern const struct command command_rmi;
extern const struct command command_run;
extern const struct command command_start;
extern const struct command command_stop;
extern const struct command command_tag;
extern const struct command command_top;
extern const struct command command_update;
extern const struct command command_version;
extern const struct command command_vm_console;
extern const struct command command_vm_trace;
extern const struct command command_vm_probe;
extern const struct command command_volume_create;
extern const struct command command_volume_inspect;
extern const struct command command_volume_ls;
extern const struct command command_volume_prune;
extern const struct command command_volume_rm;
extern const struct command command_wait;

/* Prints an error as the command at work does, and returns `status`. */
int command_report(struct cli *cli, const struct error *err, int status);

#endif
