/* The writable layer of a `hyperv` container: a sparse file with an empty ext4 file system, which
 * the host does not mount once a VM has had it (vm/scratch_mount.h).
 *
 * mkfs.ext4 runs once per size; the result is kept as a template, and a new file is a copy of its
 * few allocated blocks (shared, where the file system can share them). */
#ifndef HULL_VM_SCRATCH_H
#define HULL_VM_SCRATCH_H

#include <stdint.h>
#include <sys/types.h>

struct error;

#define VM_SCRATCH_MIN (16ULL * 1024 * 1024)
#define VM_SCRATCH_MAX (16ULL * 1024 * 1024 * 1024 * 1024)

/* Makes `path`, which must not exist (-EEXIST), with `size` bytes rounded down to MiB, mode 0600,
 * owned by uid:gid. Templates are made in `template_dir` when first needed; several processes may
 * do so at once. -EINVAL (class INVALID) for a size out of range, -ENOSPC. Nothing is left behind
 * on failure, and `path` appears when it is whole; nobody else makes it at the same time. */
int vm_scratch_create(const char *template_dir, const char *path, uint64_t size, uid_t uid,
                      gid_t gid, struct error *err);

#endif
