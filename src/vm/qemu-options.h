/* Building a QEMU command line: an option's value is a list of key=value separated by commas, and a
 * comma inside a value is written twice (qemu(1), QemuOpts). */
#ifndef HULL_VM_QEMU_OPTIONS_H
#define HULL_VM_QEMU_OPTIONS_H

/* Appends to `text` (malloc'd, may start as NULL) the pair `key=value`, or `key` alone when it
 * begins the list as QEMU's implied key (value NULL); with a comma before it unless it is the
 * first. The value's commas are doubled. 0 or -ENOMEM. */
int qemu_option_add(char **text, const char *key, const char *value);
int qemu_option_addf(char **text, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends "-name" and the list made of `pairs`, a NULL-terminated sequence first, key, value, key,
 * value, ..., NULL to the vector: `first` stands alone ("microvm", "tap"), or is NULL. */
int qemu_append(char ***argv, const char *option, const char *first, ...) __attribute__((sentinel));

#endif
