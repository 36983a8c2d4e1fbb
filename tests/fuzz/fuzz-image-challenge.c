/* WWW-Authenticate headers. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct challenges challenges = {0};
    char *text = strndup((const char *)data, size);
    challenges_parse(text, &challenges);
    challenges_find(&challenges, "bearer");
    challenges_release(&challenges);
    free(text);
    return 0;
}
