/* Paths of requests, with and without a version, for all methods. */
#include "api/handlers.h"
#include "api/route.h"
#include "base/cleanup.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = strndup((const char *)data, size);
    const struct route_table *table = api_routes();
    const char *path = NULL;
    int version = 0;

    if (!text || route_version(table, text, &version, &path, NULL) < 0)
        return 0;
    if (version < table->version_min || version > table->version_max)
        abort();
    for (int method = 0; method < METHOD_MAX; method++) {
        CLEANUP_FREE char *name = NULL;
        const struct route *route = NULL;

        if (route_find(table, (enum method)method, path, &route, &name) == ROUTE_OK &&
            (!route || (strchr(route->pattern, '{') != NULL) != (name != NULL)))
            abort();
    }
    return 0;
}
