/* What hulld was told: flags, and a configuration file with dockerd's keys (daemon.json).
 *
 * One thing may be said in one place only; a file that says what a flag says too is refused with
 * dockerd's words. */
#ifndef HULL_API_DAEMON_CONFIG_H
#define HULL_API_DAEMON_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/log.h"
#include "compute/job.h"

struct engine_config;
struct error;

enum {
    DAEMON_FILE_MAX = 1024 * 1024, /* bytes of the configuration file */
    DAEMON_LIST_MAX = 256,         /* entries of a list */
    DAEMON_OPTIONS_MAX = 64,
};

#define DAEMON_CONFIG_FILE "/etc/hull/daemon.json"
#define DAEMON_HOST "unix:///run/hull/hull.sock"
#define DAEMON_ROOT "/var/lib/hull"
#define DAEMON_STATE "/run/hull"
/* Between what systemd gives to containers and what programs take for a negative number. */
#define DAEMON_UID_RANGE "1879048192:4093"
/* 384 VMs of the default size on 24 GiB, which idle take 12 MiB each. */
#define DAEMON_VM_OVERCOMMIT "16"

struct daemon_config {
    /* As they were given; all malloc'd. */
    char **hosts;
    char *root;
    char *state;
    char **exec_opts;
    char *vm_engine_text;
    char *bridge;
    char *bip;
    char **insecure_registries;
    char **registry_mirrors;
    char *log_driver;
    char **log_opts;
    char *log_level_text;
    char *uml_kernel;
    char *x86_kernel;
    char *vm_modules;
    char *qemu;
    char *virtiofsd;
    char *worker;
    char *init;
    char *vm_pool_text;
    char *vm_uid_range;
    char *vm_overcommit_text;
    char *file;
    char *group;
    char *pidfile;
    char *storage_driver;
    bool icc; /* containers of the default bridge reach each other */
    bool debug;
    bool version;
    bool help;

    /* What daemon_config_resolve() made of them. */
    enum compute_isolation isolation;
    int vm_engine; /* enum vm_engine or ENGINE_VM_AUTO */
    enum log_level log_level;
    uid_t vm_uid_first;
    unsigned vm_uid_count;
    uint64_t vm_overcommit; /* see struct engine_config */
    unsigned vm_pool;

    uint64_t given; /* which options were flags; one bit an option */
};

#define DAEMON_CONFIG_INIT \
    {                      \
        .icc = true        \
    }

void daemon_config_release(struct daemon_config *config);

/* Reads the command line. ERROR_INVALID: "unknown flag: --x", "flag needs an argument: --x". */
int daemon_config_parse(struct daemon_config *config, int argc, char *const *argv,
                        struct error *err);

/* Adds a configuration document. ERROR_INVALID in dockerd's words for keys that nobody knows,
 * values of another type and what a flag has said already. `name` is the file's, for messages. */
int daemon_config_merge(struct daemon_config *config, const json_t *document, const char *name,
                        struct error *err);

/* Reads the file of --config, or DAEMON_CONFIG_FILE if it exists, and merges it. */
int daemon_config_load(struct daemon_config *config, struct error *err);

/* Fills in defaults and checks all values. ERROR_INVALID, for isolation as dockerd: "error setting
 * default isolation mode: invalid exec-opt value for 'isolation':'X'". */
int daemon_config_resolve(struct daemon_config *config, struct error *err);

/* The engine's part; texts stay the config's. */
void daemon_config_engine(const struct daemon_config *config, struct engine_config *ret);

void daemon_config_help(FILE *out);

#endif
