/* The runtime configuration: whatever is accepted must survive writing and reading again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "spec/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = NULL;
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *again = NULL;
    CLEANUP_JSON json_t *json = NULL;

    if (spec_runtime_parse((const char *)data, size, &config, NULL) < 0)
        return 0;
    json = spec_runtime_to_json(config);
    if (!json || spec_runtime_from_json(json, &again, NULL) < 0)
        abort();
    return 0;
}
