/* The header X-Registry-Auth. */
#include "api/registry_auth.h"
#include "base/cleanup.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = strndup((const char *)data, size);
    CLEANUP(registry_auth_release) struct registry_auth auth = REGISTRY_AUTH_INIT;

    if (text)
        (void)registry_auth_decode(text, &auth, NULL);
    return 0;
}
