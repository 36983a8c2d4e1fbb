/* One mount as a create request names it: a text of HostConfig.Binds, or an object of
 * HostConfig.Mounts. The words of refusals are docker's (moby, volume/mounts/linux_parser.go). */
#ifndef HULL_ENGINE_MOUNT_REQUEST_H
#define HULL_ENGINE_MOUNT_REQUEST_H

#include <jansson.h>
#include <stdbool.h>

struct error;

/* Owns its members, but for `type`. Zeroed is empty. */
struct mount_request {
    const char *type;    /* "bind", "volume" or "tmpfs" */
    char *source;        /* path of the host; name of a volume, "" for an anonymous one */
    char *target;        /* clean and absolute */
    char *mode;          /* as -v has it, or "" */
    char *options;       /* for the runtime configuration, comma-separated */
    char *propagation;   /* of a bind: "rprivate" ...; else "" */
    bool read_only;      /* */
    bool create_source;  /* -v makes a missing directory of the host, --mount does not */
    bool copy;           /* the image's content goes into an empty volume */
    json_t *labels;      /* of a volume that has to be made, or NULL */
    json_t *driver_opts; /* likewise */
};

void mount_request_release(struct mount_request *request);

/* SOURCE:TARGET[:MODE] or TARGET. */
int mount_request_parse_bind(const char *text, struct mount_request *ret, struct error *err);
/* A member of HostConfig.Mounts. Looks at the host: what is to be bound must exist. */
int mount_request_parse_mount(const json_t *json, struct mount_request *ret, struct error *err);
/* A path of Config.Volumes: an anonymous volume. */
int mount_request_anonymous(const char *target, struct mount_request *ret, struct error *err);

/* CONTAINER[:ro|rw] of HostConfig.VolumesFrom; *ret_reference is malloc'd. */
int mount_request_parse_from(const char *text, char **ret_reference, bool *ret_writable,
                             struct error *err);

#endif
