/* The release of hull that this is. The build defines HULL_VERSION from meson.build. */
#ifndef HULL_CLI_VERSION_H
#define HULL_CLI_VERSION_H

#ifndef HULL_VERSION
#define HULL_VERSION "0.1.0"
#endif

/* Newest Docker Engine API 1.x that the client speaks, and the oldest. */
#define CLI_API_VERSION "1.47"
enum { CLI_API_MINOR = 47, CLI_API_MINOR_MIN = 41 };

#endif
