/* hulld's options as one table, for flags and file. Private to daemon_*.c. */
#ifndef HULL_API_DAEMON_OPTIONS_H
#define HULL_API_DAEMON_OPTIONS_H

#include <stddef.h>

#include "api/daemon_config.h"

enum daemon_option_kind {
    DAEMON_TEXT,
    DAEMON_LIST,
    DAEMON_MAP, /* "key=value" as a flag, an object in the file */
    DAEMON_FLAG,
};

struct daemon_option {
    const char *flag; /* "exec-opt" */
    char letter;      /* 'H', or 0 */
    const char *key;  /* in the file: "exec-opts"; NULL: only a flag */
    enum daemon_option_kind kind;
    size_t offset;        /* in struct daemon_config */
    const char *argument; /* its name in the help; NULL for flags */
    const char *help;
};

extern const struct daemon_option daemon_options[];
extern const size_t daemon_options_count;

/* The option's place in a config, as the kind says: char **, char ***, bool *. */
void *daemon_option_slot(struct daemon_config *config, const struct daemon_option *option);

#endif
