/* Names of images: what parses must print to something that parses to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "spec/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reference first = REFERENCE_INIT, second = REFERENCE_INIT;
    char *text = strndup((const char *)data, size);
    char *id = NULL;
    int r = reference_parse_any(text, &first, &id, NULL);
    if (r == 0) {
        char *full = reference_string(&first);
        char *familiar = reference_familiar_string(&first);
        if (reference_parse(full, &second, NULL) < 0)
            abort();
        char *again = reference_familiar_string(&second);
        if (strcmp(familiar, again) != 0)
            abort();
        reference_matches(&first, text);
        free(full);
        free(familiar);
        free(again);
    }
    reference_release(&first);
    reference_release(&second);
    free(id);
    free(text);
    return 0;
}
