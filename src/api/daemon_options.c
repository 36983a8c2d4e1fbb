#include "api/daemon_options.h"

#include <stdint.h>

#define SLOT(member) offsetof(struct daemon_config, member)

/* clang-format off */
const struct daemon_option daemon_options[] = {
    {"bip", 0, "bip", DAEMON_TEXT, SLOT(bip), "CIDR",
     "Address of the default bridge, with its network"},
    {"bridge", 'b', "bridge", DAEMON_TEXT, SLOT(bridge), "NAME",
     "Default bridge (default hull0); \"none\" for none"},
    {"config", 0, NULL, DAEMON_TEXT, SLOT(file), "FILE",
     "Configuration file (default " DAEMON_CONFIG_FILE ")"},
    {"config-file", 0, NULL, DAEMON_TEXT, SLOT(file), "FILE", "The same, as dockerd names it"},
    {"debug", 'D', "debug", DAEMON_FLAG, SLOT(debug), NULL, "Log everything"},
    {"exec-opt", 0, "exec-opts", DAEMON_LIST, SLOT(exec_opts), "KEY=VALUE",
     "isolation=process|hyperv, vm.engine=kvm|uml|tcg|auto"},
    {"group", 'G', "group", DAEMON_TEXT, SLOT(group), "GROUP",
     "Group of the unix socket (default \"hull\" if there is one)"},
    {"help", 'h', NULL, DAEMON_FLAG, SLOT(help), NULL, "Print this and exit"},
    {"host", 'H', "hosts", DAEMON_LIST, SLOT(hosts), "ADDRESS",
     "Where to listen: unix://PATH, tcp://127.0.0.1:PORT, fd:// (default " DAEMON_HOST ")"},
    {"icc", 0, "icc", DAEMON_FLAG, SLOT(icc), NULL,
     "Containers of the default bridge reach each other (default true)"},
    {"init", 0, "init-program", DAEMON_TEXT, SLOT(init), "FILE", "The static hull-init"},
    {"insecure-registry", 0, "insecure-registries", DAEMON_LIST, SLOT(insecure_registries),
     "REGISTRY", "Registry that need not have a valid certificate"},
    {"log-driver", 0, "log-driver", DAEMON_TEXT, SLOT(log_driver), "DRIVER",
     "Default for containers: json-file (default) or none"},
    {"log-level", 'l', "log-level", DAEMON_TEXT, SLOT(log_level_text), "LEVEL",
     "debug, info (default), warn or error"},
    {"log-opt", 0, "log-opts", DAEMON_MAP, SLOT(log_opts), "KEY=VALUE",
     "Default options of the log driver"},
    {"pidfile", 'p', "pidfile", DAEMON_TEXT, SLOT(pidfile), "FILE", "Where to write the process id"},
    {"qemu", 0, "qemu", DAEMON_TEXT, SLOT(qemu), "FILE",
     "The emulator of the engines kvm and tcg"},
    {"registry-mirror", 0, "registry-mirrors", DAEMON_LIST, SLOT(registry_mirrors), "URL",
     "Mirror of Docker Hub, tried first"},
    {"root", 0, "data-root", DAEMON_TEXT, SLOT(root), "DIR",
     "Where images and containers are kept (default " DAEMON_ROOT ")"},
    {"data-root", 0, NULL, DAEMON_TEXT, SLOT(root), "DIR", "The same, as dockerd names it"},
    {"state", 0, "exec-root", DAEMON_TEXT, SLOT(state), "DIR",
     "Where what runs is kept (default " DAEMON_STATE ")"},
    {"exec-root", 0, NULL, DAEMON_TEXT, SLOT(state), "DIR", "The same, as dockerd names it"},
    {"storage-driver", 's', "storage-driver", DAEMON_TEXT, SLOT(storage_driver), "DRIVER",
     "overlay2 is the only one"},
    {"uml-kernel", 0, "uml-kernel", DAEMON_TEXT, SLOT(uml_kernel), "FILE",
     "User-Mode Linux kernel of the engine uml"},
    {"version", 'v', NULL, DAEMON_FLAG, SLOT(version), NULL, "Print the version and exit"},
    {"virtiofsd", 0, "virtiofsd", DAEMON_TEXT, SLOT(virtiofsd), "FILE",
     "The file server of the engines kvm and tcg, for mounts"},
    {"vm-engine", 0, "vm-engine", DAEMON_TEXT, SLOT(vm_engine_text), "ENGINE",
     "Engine of utility VMs: kvm, uml, tcg or auto (default)"},
    {"vm-memory-overcommit", 0, "vm-memory-overcommit", DAEMON_TEXT, SLOT(vm_overcommit_text),
     "RATIO", "Limits of VMs in sum: RATIO times the host's memory (default " DAEMON_VM_OVERCOMMIT
     "), 0: any"},
    {"vm-modules", 0, "vm-modules", DAEMON_TEXT, SLOT(vm_modules), "DIR",
     "Modules of the kernel of --x86-kernel"},
    {"vm-pool", 0, "vm-pool", DAEMON_TEXT, SLOT(vm_pool_text), "COUNT",
     "Utility VMs that are kept booted for containers to come (default 1); 0 for none"},
    {"vm-uid-range", 0, "vm-uid-range", DAEMON_TEXT, SLOT(vm_uid_range), "FIRST:COUNT",
     "User ids for COUNT utility VMs, 65536 each (default " DAEMON_UID_RANGE ")"},
    {"worker", 0, "worker", DAEMON_TEXT, SLOT(worker), "FILE", "The program hull-worker"},
    {"x86-kernel", 0, "x86-kernel", DAEMON_TEXT, SLOT(x86_kernel), "FILE",
     "Kernel of the engines kvm and tcg"},
};
/* clang-format on */

const size_t daemon_options_count = sizeof(daemon_options) / sizeof(daemon_options[0]);
_Static_assert(sizeof(daemon_options) / sizeof(daemon_options[0]) <= DAEMON_OPTIONS_MAX,
               "a bit of daemon_config.given for each option");

void *daemon_option_slot(struct daemon_config *config, const struct daemon_option *option)
{
    return (char *)config + option->offset;
}
