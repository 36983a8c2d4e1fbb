/* Points in time, durations and sizes as clients write them. What is accepted can be printed, and
 * the text of a point in time after 1970 is accepted again as the same. */
#include "base/cleanup.h"
#include "base/strings.h"
#include "base/timestamp.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = strndup((const char *)data, size);
    char printed[TIMESTAMP_TEXT_MAX];
    char phrase[64];
    int64_t when = 0;
    int64_t again = 0;
    uint64_t bytes;

    if (!text)
        return 0;
    (void)string_to_size(text, &bytes);
    if (timestamp_parse(text, &when) < 0)
        return 0;
    (void)timestamp_format(when, printed);
    timestamp_human_duration(when, phrase, sizeof(phrase));
    if (strlen(printed) >= sizeof(printed) || !*phrase)
        abort();
    if (when > 0 && (timestamp_parse(printed, &again) < 0 || again != when))
        abort();
    return 0;
}
