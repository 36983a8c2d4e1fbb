#include "cli/since.h"

#include "base/error.h"
#include "base/timestamp.h"
#include "cli/query.h"

#include <inttypes.h>
#include <stdio.h>

int since_to_query(struct query *query, const char *name, const char *text, struct error *err)
{
    enum { NANOSECONDS = 1000000000 };
    int64_t when = 0;
    char value[48];

    if (!text)
        return 0;
    if (timestamp_parse(text, &when) < 0)
        return error_set_class(err, ERROR_INVALID,
                               "invalid value for \"%s\": failed to parse value as "
                               "time or duration: \"%s\"",
                               name, text);
    snprintf(value, sizeof(value), "%" PRId64 ".%09" PRId64, when / NANOSECONDS,
             when % NANOSECONDS);
    query_add(query, name, value);
    return 0;
}
