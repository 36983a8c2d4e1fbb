/* A head that is found must lie inside the input, and more input must not change it. */
#include "cli/http-head.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head head = {.status = 0};
    struct http_head again = {.status = 0};
    ssize_t n = http_head_parse((const char *)data, size, &head, NULL);

    if (n > (ssize_t)size)
        abort();
    if (n > 0 && (head.status < 100 || head.status > 599 || head.content_length < -1))
        abort();
    if (n > 0 && http_head_parse((const char *)data, (size_t)n, &again, NULL) != n)
        abort();
    return 0;
}
