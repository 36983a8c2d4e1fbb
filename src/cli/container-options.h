/* The options that create and run share. */
#ifndef HULL_CLI_CONTAINER_OPTIONS_H
#define HULL_CLI_CONTAINER_OPTIONS_H

/* Rows for an options table, in alphabetical order, so that help reads well. */
#define CONTAINER_OPTIONS_A_TO_C                                                                   \
    {.name = "add-host",                                                                           \
     .type = OPTION_LIST,                                                                          \
     .help = "Add a custom host-to-IP mapping (host:ip)"},                                         \
        {.name = "annotation", .type = OPTION_LIST, .help = "Add an annotation to the container"}, \
        {.name = "attach",                                                                         \
         .letter = 'a',                                                                            \
         .type = OPTION_LIST,                                                                      \
         .help = "Attach to STDIN, STDOUT or STDERR"},                                             \
        {.name = "cap-add", .type = OPTION_LIST, .help = "Add Linux capabilities"},                \
        {.name = "cap-drop", .type = OPTION_LIST, .help = "Drop Linux capabilities"},              \
        {.name = "cgroup-parent",                                                                  \
         .type = OPTION_STRING,                                                                    \
         .help = "Optional parent cgroup for the container"},                                      \
        {.name = "cgroupns",                                                                       \
         .type = OPTION_STRING,                                                                    \
         .help = "Cgroup namespace to use (host|private)"},                                        \
        {.name = "cidfile", .type = OPTION_STRING, .help = "Write the container ID to the file"},  \
        {.name = "cpu-period", .type = OPTION_INT, .help = "Limit CPU CFS period"},                \
        {.name = "cpu-quota", .type = OPTION_INT, .help = "Limit CPU CFS quota"},                  \
        {.name = "cpu-shares",                                                                     \
         .letter = 'c',                                                                            \
         .type = OPTION_INT,                                                                       \
         .help = "CPU shares (relative weight)"},                                                  \
        {.name = "cpus", .type = OPTION_DECIMAL, .help = "Number of CPUs"},                        \
        {.name = "cpuset-cpus",                                                                    \
         .type = OPTION_STRING,                                                                    \
         .help = "CPUs in which to allow execution (0-3, 0,1)"},                                   \
    {                                                                                              \
        .name = "cpuset-mems", .type = OPTION_STRING,                                              \
        .help = "MEMs in which to allow execution (0-3, 0,1)"                                      \
    }

#define CONTAINER_OPTIONS_D_TO_L                                                                   \
    {.name = "device", .type = OPTION_LIST, .help = "Add a host device to the container"},         \
        {.name = "dns", .type = OPTION_LIST, .help = "Set custom DNS servers"},                    \
        {.name = "dns-option", .type = OPTION_LIST, .help = "Set DNS options"},                    \
        {.name = "dns-opt", .type = OPTION_LIST, .same_as = "dns-option"},                         \
        {.name = "dns-search", .type = OPTION_LIST, .help = "Set custom DNS search domains"},      \
        {.name = "domainname", .type = OPTION_STRING, .help = "Container NIS domain name"},        \
        {.name = "entrypoint",                                                                     \
         .type = OPTION_STRING,                                                                    \
         .help = "Overwrite the default ENTRYPOINT of the image"},                                 \
        {.name = "env", .letter = 'e', .type = OPTION_LIST, .help = "Set environment variables"},  \
        {.name = "env-file",                                                                       \
         .type = OPTION_LIST,                                                                      \
         .help = "Read in a file of environment variables"},                                       \
        {.name = "expose", .type = OPTION_LIST, .help = "Expose a port or a range of ports"},      \
        {.name = "group-add", .type = OPTION_LIST, .help = "Add additional groups to join"},       \
        {.name = "hostname", .letter = 'h', .type = OPTION_STRING, .help = "Container host name"}, \
        {.name = "init",                                                                           \
         .type = OPTION_BOOL,                                                                      \
         .help = "Run an init inside the container that forwards signals and reaps processes"},    \
        {.name = "interactive",                                                                    \
         .letter = 'i',                                                                            \
         .type = OPTION_BOOL,                                                                      \
         .help = "Keep STDIN open even if not attached"},                                          \
        {.name = "ip", .type = OPTION_STRING, .help = "IPv4 address (e.g., 172.30.100.104)"},      \
        {.name = "ip6", .type = OPTION_STRING, .help = "IPv6 address (e.g., 2001:db8::33)"},       \
        {.name = "ipc", .type = OPTION_STRING, .help = "IPC mode to use"},                         \
        {.name = "isolation",                                                                      \
         .type = OPTION_STRING,                                                                    \
         .help = "Container isolation technology (default, process or hyperv)"},                   \
        {.name = "label",                                                                          \
         .letter = 'l',                                                                            \
         .type = OPTION_LIST,                                                                      \
         .help = "Set meta data on a container"},                                                  \
        {.name = "label-file",                                                                     \
         .type = OPTION_LIST,                                                                      \
         .help = "Read in a line delimited file of labels"},                                       \
        {.name = "log-driver", .type = OPTION_STRING, .help = "Logging driver for the container"}, \
    {                                                                                              \
        .name = "log-opt", .type = OPTION_LIST, .help = "Log driver options"                       \
    }

#define CONTAINER_OPTIONS_M_TO_R                                                                   \
    {.name = "mac-address",                                                                        \
     .type = OPTION_STRING,                                                                        \
     .help = "Container MAC address (e.g., 92:d0:c6:0a:29:33)"},                                   \
        {.name = "memory", .letter = 'm', .type = OPTION_BYTES, .help = "Memory limit"},           \
        {.name = "memory-reservation", .type = OPTION_BYTES, .help = "Memory soft limit"},         \
        {.name = "memory-swap",                                                                    \
         .type = OPTION_BYTES,                                                                     \
         .help = "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"},           \
        {.name = "mount",                                                                          \
         .type = OPTION_LIST,                                                                      \
         .value = "mount",                                                                         \
         .help = "Attach a filesystem mount to the container"},                                    \
        {.name = "name", .type = OPTION_STRING, .help = "Assign a name to the container"},         \
        {.name = "network",                                                                        \
         .type = OPTION_STRING,                                                                    \
         .value = "network",                                                                       \
         .help = "Connect a container to a network"},                                              \
        {.name = "net", .type = OPTION_STRING, .same_as = "network"},                              \
        {.name = "network-alias",                                                                  \
         .type = OPTION_LIST,                                                                      \
         .help = "Add network-scoped alias for the container"},                                    \
        {.name = "net-alias", .type = OPTION_LIST, .same_as = "network-alias"},                    \
        {.name = "oom-kill-disable", .type = OPTION_BOOL, .help = "Disable OOM Killer"},           \
        {.name = "oom-score-adj",                                                                  \
         .type = OPTION_INT,                                                                       \
         .help = "Tune host's OOM preferences (-1000 to 1000)"},                                   \
        {.name = "pid", .type = OPTION_STRING, .help = "PID namespace to use"},                    \
        {.name = "pids-limit",                                                                     \
         .type = OPTION_INT,                                                                       \
         .help = "Tune container pids limit (set -1 for unlimited)"},                              \
        {.name = "platform",                                                                       \
         .type = OPTION_STRING,                                                                    \
         .help = "Set platform if server is multi-platform capable"},                              \
        {.name = "privileged",                                                                     \
         .type = OPTION_BOOL,                                                                      \
         .help = "Give extended privileges to this container"},                                    \
        {.name = "publish",                                                                        \
         .letter = 'p',                                                                            \
         .type = OPTION_LIST,                                                                      \
         .help = "Publish a container's port(s) to the host"},                                     \
        {.name = "publish-all",                                                                    \
         .letter = 'P',                                                                            \
         .type = OPTION_BOOL,                                                                      \
         .help = "Publish all exposed ports to random ports"},                                     \
        {.name = "pull",                                                                           \
         .type = OPTION_STRING,                                                                    \
         .fallback = "missing",                                                                    \
         .help = "Pull image before creating (always|missing|never)"},                             \
        {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .help = "Suppress the pull output"}, \
        {.name = "read-only",                                                                      \
         .type = OPTION_BOOL,                                                                      \
         .help = "Mount the container's root filesystem as read only"},                            \
        {.name = "restart",                                                                        \
         .type = OPTION_STRING,                                                                    \
         .fallback = "no",                                                                         \
         .help = "Restart policy to apply when a container exits"},                                \
        {.name = "rm",                                                                             \
         .type = OPTION_BOOL,                                                                      \
         .help = "Automatically remove the container and its associated anonymous volumes when "   \
                 "it exits"},                                                                      \
    {                                                                                              \
        .name = "runtime", .type = OPTION_STRING, .help = "Runtime to use for this container"      \
    }

#define CONTAINER_OPTIONS_S_TO_Z                                                                \
    {.name = "security-opt", .type = OPTION_LIST, .help = "Security Options"},                  \
        {.name = "shm-size", .type = OPTION_BYTES, .help = "Size of /dev/shm"},                 \
        {.name = "stop-signal", .type = OPTION_STRING, .help = "Signal to stop the container"}, \
        {.name = "stop-timeout",                                                                \
         .type = OPTION_INT,                                                                    \
         .help = "Timeout (in seconds) to stop a container"},                                   \
        {.name = "storage-opt",                                                                 \
         .type = OPTION_LIST,                                                                   \
         .help = "Storage driver options for the container"},                                   \
        {.name = "sysctl", .type = OPTION_LIST, .help = "Sysctl options"},                      \
        {.name = "tmpfs", .type = OPTION_LIST, .help = "Mount a tmpfs directory"},              \
        {.name = "tty", .letter = 't', .type = OPTION_BOOL, .help = "Allocate a pseudo-TTY"},   \
        {.name = "ulimit", .type = OPTION_LIST, .help = "Ulimit options"},                      \
        {.name = "user",                                                                        \
         .letter = 'u',                                                                         \
         .type = OPTION_STRING,                                                                 \
         .help = "Username or UID (format: <name|uid>[:<group|gid>])"},                         \
        {.name = "userns", .type = OPTION_STRING, .help = "User namespace to use"},             \
        {.name = "uts", .type = OPTION_STRING, .help = "UTS namespace to use"},                 \
        {.name = "volume", .letter = 'v', .type = OPTION_LIST, .help = "Bind mount a volume"},  \
        {.name = "volumes-from",                                                                \
         .type = OPTION_LIST,                                                                   \
         .help = "Mount volumes from the specified container(s)"},                              \
    {                                                                                           \
        .name = "workdir", .letter = 'w', .type = OPTION_STRING,                                \
        .help = "Working directory inside the container"                                        \
    }

#endif
