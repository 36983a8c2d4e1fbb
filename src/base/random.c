#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/strings.h"

void random_bytes(void *data, size_t length)
{
    unsigned char *next = data;

    while (length > 0) {
        ssize_t n = getrandom(next, length, 0);

        if (n < 0 && errno == EINTR)
            continue;
        /* Ids and names of temporaries would become guessable: better not to run at all. */
        if (n <= 0)
            abort();
        next += n;
        length -= (size_t)n;
    }
}

void random_id(char id[ID_LENGTH + 1])
{
    unsigned char bytes[ID_LENGTH / 2];
    int letters;

    /* As docker does: a short id of digits only could be taken for a number (a pid, a uid, a
     * host name that some programs refuse). */
    do {
        random_bytes(bytes, sizeof(bytes));
        string_hex(id, bytes, sizeof(bytes));
        letters = 0;
        for (int i = 0; i < ID_SHORT_LENGTH; i++)
            letters += id[i] >= 'a';
    } while (letters == 0);
}

uint32_t random_u32(void)
{
    uint32_t value;

    random_bytes(&value, sizeof(value));
    return value;
}
