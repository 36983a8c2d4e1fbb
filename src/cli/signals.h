/* Names of signals as the Docker API takes them. */
#ifndef HULL_CLI_SIGNALS_H
#define HULL_CLI_SIGNALS_H

/* "TERM" for SIGTERM; NULL for one that has no name. */
const char *signal_name(int number);

#endif
