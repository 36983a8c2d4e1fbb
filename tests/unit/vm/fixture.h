/* What the tests of the vm library share: a directory, a loop, and VMs played by fake-vmm. */
#ifndef HULL_TEST_VM_FIXTURE_H
#define HULL_TEST_VM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/loop.h"
#include "vm/vm.h"

enum { FIXTURE_TIMEOUT_MS = 90 * 1000 };

struct fixture {
    char directory[64];
    char *console; /* paths in it */
    char *root;
    char *initramfs;     /* the fake's script, or a real one */
    char *kernel;        /* an ordinary file for engines that load one */
    const char *program; /* the fake */
    struct loop *loop;
    struct vm_config config; /* engine uml, the fake */
    struct vm_events events; /* fills the members below */
    struct vm *vm;
    int ended; /* how often it was called */
    bool clean;
    char reason[VM_REASON_MAX];
    struct error error;
};

int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* Skips the test, with a printed reason, unless the caller is root and may mount. */
void fixture_need_root(void);
/* Skips it unless `path`, which `variable` of the environment named, can be read. */
void fixture_need_file(const char *path, const char *variable);
/* A real guest in QEMU: HULL_TEST_X86_KERNEL and its kin, see test-boot.c. Skips without them.
 * `init`: its pid 1. */
void fixture_use_qemu(struct fixture *fixture, enum vm_engine engine, const char *init);

void fixture_write(const char *path, const char *text);
/* malloc'd content. */
char *fixture_read(const char *path);

/* Starts the VM; `script` NULL: the configuration as it is. */
void fixture_start(struct fixture *fixture, const char *script);
/* Runs the loop until the VM has ended. */
void fixture_wait_end(struct fixture *fixture);
/* Runs the loop until the console's file contains `text`; returns its content. */
char *fixture_wait_console(struct fixture *fixture, const char *text);
/* Reads exactly `length` bytes from the link, running the loop. */
void fixture_read_link(struct fixture *fixture, void *data, size_t length);
/* Boots User-Mode Linux (HULL_TEST_UML_KERNEL) as `pooled`, with the program as its pid 1, which
 * says that it is ready. */
void fixture_boot_pooled(struct fixture *fixture, const char *init);
/* Writes one line to the link and reads one, which has at most `size` bytes with its end. */
void fixture_ask(struct fixture *fixture, const char *command, char *answer, size_t size);

/* Processes of this user that are alive. */
int fixture_count_processes(uid_t uid);

/* Value of a line "Name:\tvalue" of /proc/PID/status; malloc'd. */
char *fixture_status(pid_t pid, const char *name);

#endif
