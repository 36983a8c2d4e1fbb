#include "sandbox/guest_identity.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { CLOCK_TOLERANCE_NS = 500 * 1000 * 1000 };

/* --- random numbers --- */

/* struct rand_pool_info of <linux/random.h>, with room. */
struct seed {
    int entropy_bits;
    int size;
    uint8_t bytes[GUEST_SEED_SIZE];
};

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(const char *text, uint8_t bytes[GUEST_SEED_SIZE])
{
    if (strlen(text) != 2 * GUEST_SEED_SIZE)
        return false;
    for (size_t i = 0; i < GUEST_SEED_SIZE; i++) {
        int high = digit(text[2 * i]);
        int low = digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

int guest_reseed(const char *text, struct error *err)
{
    struct seed seed = {.entropy_bits = 8 * GUEST_SEED_SIZE, .size = GUEST_SEED_SIZE};
    CLEANUP_CLOSE int fd = -EBADF;
    int r = 0;

    if (!decode(text, seed.bytes))
        return error_set_class(err, ERROR_INVALID, "'seed' is not %d hexadecimal digits",
                               2 * GUEST_SEED_SIZE);
    fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    /* random(4). Added bytes are used at the next reseeding, minutes from now; the second call
     * makes that now, for every CPU's generator. Kernels before 4.14 have no such call. */
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, &seed) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
        r = error_set_errno(err, -errno, "reseeding the kernel's random numbers");
    explicit_bzero(&seed, sizeof(seed));
    return r;
}

static int reseed(const json_t *request, struct error *err)
{
    const char *seed = NULL;
    int r = json_get_string(request, "seed", &seed, err);

    return r <= 0 ? r : guest_reseed(seed, err);
}

/* --- the rest --- */

static int set_clock(const json_t *request, struct error *err)
{
    int64_t clock = 0;
    int r = json_get_i64(request, "clock", &clock, err);

    if (r <= 0 || llabs((long long)(clock - timestamp_now())) < CLOCK_TOLERANCE_NS)
        return r;
    const struct timespec time = {.tv_sec = clock / 1000000000, .tv_nsec = clock % 1000000000};
    if (clock < 0 || clock_settime(CLOCK_REALTIME, &time) < 0)
        return error_set_errno(err, clock < 0 ? -EINVAL : -errno, "setting the clock");
    return 0;
}

static int set_hostname(const json_t *request, struct error *err)
{
    const char *name =
        json_string_value(json_object_get(json_object_get(request, "config"), "hostname"));

    /* The container has a UTS namespace of its own as a rule; this is for one that shares. */
    if (!string_is_empty(name) && sethostname(name, strlen(name)) < 0)
        return error_set_errno(err, -errno, "setting the hostname");
    return 0;
}

int guest_take_identity(const json_t *request, struct error *err)
{
    int r = reseed(request, err);

    if (r >= 0)
        r = set_clock(request, err);
    return r < 0 ? r : set_hostname(request, err);
}
