/* The OCI runtime configuration (runtime-spec 1.2, config.md and config-linux.md) as structs.
 *
 * One rule for numbers: 0 means "absent" unless the struct has a `has_` member beside it; that is
 * how docker's clients see them, too. Lists are an array with its `n_` count, string lists are
 * vectors of base/strings.h, maps of strings are vectors of "key=value" (read them with
 * strv_env_get(), change them with strv_env_set()). Everything a struct points to is malloc'd and
 * owned by it. Members that hull does not know are ignored when read, as config.md demands.
 *
 * Unsigned numbers above 2^63-1 (RLIM_INFINITY), which jansson cannot hold, are written as the
 * negative number of the same bits (-1) and read in either form by spec_runtime_parse(); the other
 * readers, whose input jansson has parsed already, see the negative form only.
 *
 *     CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = spec_runtime_new();
 *     spec_runtime_add_mount(config, "/proc", "proc", "proc", "nosuid,noexec,nodev");
 *     CLEANUP_JSON json_t *json = spec_runtime_to_json(config); */
#ifndef HULL_SPEC_RUNTIME_H
#define HULL_SPEC_RUNTIME_H

#include "spec/capability.h"
#include "spec/resources.h"
#include "spec/seccomp.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum {
    SPEC_LIST_MAX = 4096,    /* entries of any list of a document */
    SPEC_ARGS_MAX = 65536,   /* words of process.args, process.env */
    SPEC_GIDS_MAX = 65536,   /* NGROUPS_MAX */
    SPEC_MAPPINGS_MAX = 340, /* lines of /proc/PID/uid_map, user_namespaces(7) */
    SPEC_TEXT_MAX = 131072,  /* bytes of one argument or variable, MAX_ARG_STRLEN */
    SPEC_RLIMITS_MAX = 16,   /* RLIM_NLIMITS */
    SPEC_HOOKS_MAX = 64,     /* per stage */
};

/* Annotations that hull's sandbox obeys ("true"). */
#define SPEC_ANNOTATION_INIT "io.hull.init" /* docker's --init: a pid 1 of hull's that reaps */
/* docker's --privileged: capabilities that the host itself lacks are left out with a warning
 * instead of being refused by name. It grants nothing: capabilities, devices, masked paths and
 * seccomp are what the configuration says. */
#define SPEC_ANNOTATION_PRIVILEGED "io.hull.privileged"

/* process.user. `username`, when set, is what the image's USER or docker's --user says: "name",
 * "uid", "name:group", "uid:gid", ... It is resolved inside the container's root when the process
 * starts and then decides uid, gid and (where additional_gids holds none of its own beside them)
 * the supplementary groups; additional_gids are kept in any case (docker's --group-add). Names in
 * --group-add go into additional_groups (hull's own member "hullAdditionalGroups"). */
struct spec_user {
    uint32_t uid;
    uint32_t gid;
    bool has_umask;
    uint32_t umask;
    uint32_t *additional_gids;
    size_t n_additional_gids;
    char **additional_groups; /* names or numbers, resolved in the container's /etc/group */
    char *username;
};

/* resource: RLIMIT_* of getrlimit(2). */
struct spec_rlimit {
    int resource;
    uint64_t soft;
    uint64_t hard;
};

/* Masks, bit n = capability n (spec/capability.h). */
struct spec_capabilities {
    uint64_t bounding;
    uint64_t effective;
    uint64_t inheritable;
    uint64_t permitted;
    uint64_t ambient;
};

struct spec_process {
    bool terminal;
    unsigned console_width; /* 0: kernel's default */
    unsigned console_height;
    struct spec_user user;
    char **args;
    char **env;
    char *cwd;             /* absolute; NULL: "/" */
    bool has_capabilities; /* false: none at all, as OCI says */
    struct spec_capabilities capabilities;
    struct spec_rlimit *rlimits;
    size_t n_rlimits;
    bool no_new_privileges;
    bool has_oom_score_adj;
    int oom_score_adj;
    char *apparmor_profile;
    char *selinux_label;
};

struct spec_mount {
    char *destination;
    char *type;   /* NULL: bind, when the options say so */
    char *source; /* NULL: the type */
    char **options;
};

struct spec_hook {
    char *path;  /* absolute, on the host */
    char **args; /* with argv[0]; NULL: { path } */
    char **env;
    int timeout; /* seconds, 0: none */
};

enum spec_hook_stage {
    SPEC_HOOK_PRESTART = 0,
    SPEC_HOOK_CREATE_RUNTIME,
    SPEC_HOOK_CREATE_CONTAINER,
    SPEC_HOOK_START_CONTAINER,
    SPEC_HOOK_POSTSTART,
    SPEC_HOOK_POSTSTOP,
    SPEC_HOOK_MAX,
};

struct spec_hooks {
    struct spec_hook *hooks;
    size_t n_hooks;
};

enum spec_namespace_type {
    SPEC_NAMESPACE_PID = 0,
    SPEC_NAMESPACE_NETWORK,
    SPEC_NAMESPACE_MOUNT,
    SPEC_NAMESPACE_IPC,
    SPEC_NAMESPACE_UTS,
    SPEC_NAMESPACE_USER,
    SPEC_NAMESPACE_CGROUP,
    SPEC_NAMESPACE_TIME,
    SPEC_NAMESPACE_MAX,
};

/* A type that is not wanted at all is the caller's own namespace (docker's "host"). */
struct spec_namespace {
    bool wanted;
    char *path; /* join this one (/proc/PID/ns/net); NULL: a new one */
};

struct spec_id_mapping {
    uint32_t container_id;
    uint32_t host_id;
    uint32_t size;
};

/* A device node to make in the container. */
struct spec_device {
    char type; /* 'b', 'c', 'u' or 'p' */
    char *path;
    int64_t major;
    int64_t minor;
    bool has_file_mode;
    uint32_t file_mode; /* 0666 when absent */
    uint32_t uid;
    uint32_t gid;
};

struct spec_linux {
    struct spec_namespace namespaces[SPEC_NAMESPACE_MAX];
    struct spec_id_mapping *uid_mappings;
    size_t n_uid_mappings;
    struct spec_id_mapping *gid_mappings;
    size_t n_gid_mappings;
    struct spec_device *devices;
    size_t n_devices;
    char *cgroups_path; /* "/hull/<id>", below the mount point of each hierarchy */
    struct spec_resources resources;
    char *rootfs_propagation;     /* "shared", "slave", "private", "unbindable"; NULL: private */
    struct spec_seccomp *seccomp; /* NULL: no filter */
    char **sysctl;                /* "net.ipv4.ip_forward=1" */
    char **masked_paths;
    char **readonly_paths;
    char *mount_label;
    bool has_personality;
    uint32_t personality; /* PER_LINUX or PER_LINUX32, personality(2) */
};

struct spec_runtime {
    char *oci_version;
    struct spec_process *process; /* never NULL after parse or new */
    char *root_path;              /* the engine's target; NULL when the caller names the root */
    bool root_readonly;
    char *hostname;
    char *domainname;
    struct spec_mount *mounts;
    size_t n_mounts;
    struct spec_hooks hooks[SPEC_HOOK_MAX];
    char **annotations;
    struct spec_linux linux_; /* `linux` is a macro of the compiler */
};

/* "pid" <-> SPEC_NAMESPACE_PID, in OCI's spelling; -EINVAL. Likewise the stages of hooks
 * ("createRuntime") and the resources of rlimits ("RLIMIT_NOFILE"). */
const char *spec_namespace_to_string(enum spec_namespace_type type);
int spec_namespace_from_string(const char *text);
const char *spec_hook_stage_to_string(enum spec_hook_stage stage);
int spec_hook_stage_from_string(const char *text);
const char *spec_rlimit_to_string(int resource);
int spec_rlimit_from_string(const char *text);

/* Empty configurations to be filled in: version set, cwd "/", nothing else. NULL: out of memory. */
struct spec_runtime *spec_runtime_new(void);
struct spec_process *spec_process_new(void);

/* Read and check one document. ERROR_INVALID names the member that is wrong. *ret is the
 * caller's. */
int spec_runtime_parse(const char *text, size_t length, struct spec_runtime **ret,
                       struct error *err);
int spec_runtime_from_json(const json_t *json, struct spec_runtime **ret, struct error *err);
int spec_process_from_json(const json_t *json, struct spec_process **ret, struct error *err);

/* New reference, NULL when out of memory. Reading it again gives the same structs. */
json_t *spec_runtime_to_json(const struct spec_runtime *config);
json_t *spec_process_to_json(const struct spec_process *process);

/* Accept NULL, return NULL. */
struct spec_runtime *spec_runtime_free(struct spec_runtime *config);
struct spec_process *spec_process_free(struct spec_process *process);
void spec_runtime_cleanup(struct spec_runtime **config); /* for CLEANUP() */
void spec_process_cleanup(struct spec_process **process);

/* A copy that shares nothing; NULL when out of memory. */
struct spec_process *spec_process_copy(const struct spec_process *process);

/* Builders for the engine: all copy what they are given; 0, -ENOMEM, or -E2BIG at the maximum of
 * the list. `options` is comma-separated, as mount(8)'s -o; NULL or "": none. */
int spec_runtime_add_mount(struct spec_runtime *config, const char *destination, const char *type,
                           const char *source, const char *options);
/* The mount on `destination`, or NULL; removal of one (true when there was one). */
struct spec_mount *spec_runtime_find_mount(struct spec_runtime *config, const char *destination);
bool spec_runtime_remove_mount(struct spec_runtime *config, const char *destination);
/* A new namespace (path NULL) or the one of `path`. */
int spec_runtime_set_namespace(struct spec_runtime *config, enum spec_namespace_type type,
                               const char *path);
int spec_runtime_add_device(struct spec_runtime *config, char type, const char *path, int64_t major,
                            int64_t minor, uint32_t file_mode, uint32_t uid, uint32_t gid);
int spec_runtime_add_uid_mapping(struct spec_runtime *config, uint32_t container_id,
                                 uint32_t host_id, uint32_t size);
int spec_runtime_add_gid_mapping(struct spec_runtime *config, uint32_t container_id,
                                 uint32_t host_id, uint32_t size);
/* A second limit on the same resource replaces the first. */
int spec_process_add_rlimit(struct spec_process *process, int resource, uint64_t soft,
                            uint64_t hard);
int spec_process_add_gid(struct spec_process *process, uint32_t gid);

/* Value of an annotation or NULL; `true` for the text "true". */
const char *spec_runtime_annotation(const struct spec_runtime *config, const char *name);
bool spec_runtime_annotation_is_true(const struct spec_runtime *config, const char *name);
int spec_runtime_set_annotation(struct spec_runtime *config, const char *name, const char *value);

#endif
