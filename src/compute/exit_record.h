/* `exit.json`: how a container's first process ended, written once by its worker before it tells
 * anybody, so that an exit while no engine runs is not lost. */
#ifndef HULL_COMPUTE_EXIT_RECORD_H
#define HULL_COMPUTE_EXIT_RECORD_H

#include <stdbool.h>
#include <stdint.h>

struct error;

enum { EXIT_REASON_MAX = 1024 };

struct exit_record {
    int code; /* 0..255; 128 + signal; 137 when the VM died */
    bool oom_killed;
    int64_t started; /* timestamps, base/timestamp.h; started 0: never ran */
    int64_t finished;
    char reason[EXIT_REASON_MAX]; /* State.Error; "" when the program simply ended */
};

/* In directory `directory`, atomically. */
int exit_record_write(const char *directory, const struct exit_record *record, struct error *err);
/* -ENOENT when there is none. */
int exit_record_read(const char *directory, struct exit_record *ret, struct error *err);
int exit_record_remove(const char *directory);

#endif
