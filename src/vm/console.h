/* The guest's console: a stream from the VMM into a file of bounded size, read for what it tells
 * about the VM's end. The stream is the guest's and hostile: any bytes, at any rate. */
#ifndef HULL_VM_CONSOLE_H
#define HULL_VM_CONSOLE_H

#include <stddef.h>

struct error;
struct vm_console;

enum { VM_CONSOLE_LINE_MAX = 256 }; /* longest line told about, with its NUL */

/* Makes or empties `path` (0600). `max`: the file never grows beyond; when it would, its older half
 * goes. */
int vm_console_new(const char *path, size_t max, struct vm_console **ret, struct error *err);
struct vm_console *vm_console_free(struct vm_console *console);

/* Goes on in another file, which begins with what the old one holds; that is left as it is. On
 * failure nothing is changed. */
int vm_console_move(struct vm_console *console, const char *path, struct error *err);

/* Takes bytes of the stream. A write error (full disk) loses the bytes and nothing else. */
void vm_console_feed(struct vm_console *console, const void *data, size_t length);

/* The line of the guest kernel's first panic, without time stamp and "Kernel panic - not syncing:
 * "; NULL while there was none. Printable ASCII. */
const char *vm_console_panic(const struct vm_console *console);

/* The first line in which the guest's kernel says that a disk failed; NULL while there was none.
 * Printable ASCII. The guest's own disks are meant, so what it says is about nobody else. */
const char *vm_console_disk_error(const struct vm_console *console);

/* The last line with text in it, finished or not; "" at first. Printable ASCII. */
const char *vm_console_last_line(struct vm_console *console);

#endif
