/* `filters` of a query: JSON that a client wrote. */
#include "api/request.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = strndup((const char *)data, size);
    CLEANUP_JSON json_t *filters = NULL;
    const char *name = NULL;
    json_t *values = NULL;

    if (!text || request_parse_filters(text, &filters, NULL) < 0)
        return 0;
    /* Handlers count on this form. */
    json_object_foreach (filters, name, values) {
        json_t *value = NULL;
        size_t i = 0;

        if (!json_is_array(values) || json_array_size(values) > REQUEST_FILTER_VALUES_MAX)
            abort();
        json_array_foreach (values, i, value) {
            if (!json_is_string(value))
                abort();
        }
    }
    return 0;
}
