/* Which VM engines work on this host, found by booting the utility VM once under a time limit.
 *
 * The verdict and its reason are remembered in a file together with what it depends on (kernels,
 * programs, host kernel, /dev/kvm), and found again unless one of those changed. */
#ifndef HULL_VM_PROBE_H
#define HULL_VM_PROBE_H

#include "vm/vm.h"

enum {
    VM_PROBE_REASON_MAX = 512,
    VM_PROBE_TIMEOUT_MS = 20000,
    VM_PROBE_SOFTWARE_TIMEOUT_MS = 60000, /* tcg: 3 s where nothing else runs, but it needs them */
};

struct vm_verdict {
    enum vm_engine engine;
    bool works;
    int boot_ms;                      /* to hull-init's hello; 0 unless it works */
    char reason[VM_PROBE_REASON_MAX]; /* why not, or how it was found; never empty */
};

struct vm_probe_config {
    struct vm_files files;
    const char *cache_path;  /* JSON file of remembered verdicts */
    const char *runtime_dir; /* directory under which a probe makes its own */
    uid_t uid;               /* a user id that no VM is using */
    gid_t gid;
    bool refresh;          /* boot again even if a verdict is remembered */
    int timeout_ms;        /* 0: VM_PROBE_TIMEOUT_MS, or that of tcg */
    const char *host_root; /* put before /dev/kvm and /sys/module; NULL but in tests */
};

/* Verdict for one engine. Returns 0 also when it does not work; negative only when the probe itself
 * could not be made (out of memory). Blocks for at most the time limit.
 *
 * What can be seen without a boot (a missing file, no /dev/kvm) is looked at each time and not
 * remembered. A cache that cannot be read or written costs a boot and nothing else. "Works" means
 * that the guest completed the compute protocol's handshake. */
int vm_probe(const struct vm_probe_config *config, enum vm_engine engine, struct vm_verdict *ret,
             struct error *err);

/* The remembered verdict, without booting anything: 1, or 0 when none is remembered. */
int vm_probe_cached(const struct vm_probe_config *config, enum vm_engine engine,
                    struct vm_verdict *ret);

/* The first engine in the order kvm, uml, tcg that works. -ENODEV, class ERROR_UNAVAILABLE:
 * "isolation 'hyperv' is not available: " and each engine with its reason. Stops at the first that
 * works. */
int vm_probe_auto(const struct vm_probe_config *config, enum vm_engine *ret, struct error *err);

/* A named engine, or an error with the same beginning and this engine's reason. */
int vm_probe_named(const struct vm_probe_config *config, enum vm_engine engine, struct error *err);

#endif
