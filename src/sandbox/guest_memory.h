/* How much memory a utility VM has, as its kernel is told. Hull's User-Mode Linux kernel takes it
 * while it runs (kernel/patches); guests of other engines have what they booted with. */
#ifndef HULL_SANDBOX_GUEST_MEMORY_H
#define HULL_SANDBOX_GUEST_MEMORY_H

#include <stdint.h>

struct error;

/* A number of bytes, MemTotal; and what is in use. All functions take the paths, so that tests give
 * them others. */
#define GUEST_MEMORY_FILE "/sys/module/uml_memory/parameters/total"
#define GUEST_MEMORY_INFO "/proc/meminfo"

/* Is it what the VM was started with? A kernel that knows neither the file nor memtotal= would have
 * the whole of mem=. ERROR_UNAVAILABLE. */
int guest_memory_check(const char *file, uint64_t bytes, struct error *err);

/* Makes MemTotal `bytes`. ERROR_CONFLICT when more is in use than would be left; then it
 * is as before. *ret_old (may be NULL): what it was. */
int guest_memory_set(const char *file, const char *info, uint64_t bytes, uint64_t *ret_old,
                     struct error *err);

#endif
