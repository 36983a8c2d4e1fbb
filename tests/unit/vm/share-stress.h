/* A file against a model of it: reads, writes, appends, cuts and stores through a mapping, of
 * random places and sizes, each compared with what the file must have. The same in the guest and on
 * the host. Nothing of the model is left over: whoever goes on begins with the file's content. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum { STRESS_MAX = 600 * 1024, STRESS_PAGE = 4096 };

struct stress {
    uint64_t state;
    int fd;
    int append_fd;
    unsigned char *map; /* STRESS_MAX bytes; of the file's as many as it has */
    size_t size;
    const char *failed;
};

static unsigned char stress_model[STRESS_MAX];
static unsigned char stress_block[STRESS_MAX];

static uint32_t stress_random(struct stress *stress, uint32_t below)
{
    stress->state = stress->state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(stress->state >> 33) % below;
}

/* Mostly small, sometimes large; often at the beginning or the end of a page. */
static size_t stress_length(struct stress *stress, size_t most)
{
    static const uint32_t scales[] = {16, 600, 5000, 70000, STRESS_MAX};
    size_t length = stress_random(stress, scales[stress_random(stress, 5)]) + 1;

    if (stress_random(stress, 4) == 0)
        length = (length + STRESS_PAGE - 1) / STRESS_PAGE * STRESS_PAGE;
    return length < most ? length : most;
}

static size_t stress_place(struct stress *stress, size_t below)
{
    size_t place = below ? stress_random(stress, (uint32_t)below) : 0;

    return stress_random(stress, 4) == 0 ? place / STRESS_PAGE * STRESS_PAGE : place;
}

static void stress_fill(struct stress *stress, unsigned char *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = (unsigned char)stress_random(stress, 255) + 1;
}

static void stress_grown(struct stress *stress, size_t at, size_t length)
{
    if (at > stress->size)
        memset(stress_model + stress->size, 0, at - stress->size);
    memcpy(stress_model + at, stress_block, length);
    if (at + length > stress->size)
        stress->size = at + length;
}

static bool stress_write(struct stress *stress, bool append)
{
    size_t at = append ? stress->size : stress_place(stress, STRESS_MAX);
    size_t length = stress_length(stress, STRESS_MAX - at);
    size_t first = length / 3;
    struct iovec parts[2] = {{stress_block, first}, {stress_block + first, length - first}};
    ssize_t n;

    stress_fill(stress, stress_block, length);
    if (append)
        n = write(stress->append_fd, stress_block, length);
    else if (stress_random(stress, 3) == 0)
        n = pwritev(stress->fd, parts, 2, (off_t)at);
    else
        n = pwrite(stress->fd, stress_block, length, (off_t)at);
    if (n == (ssize_t)length)
        stress_grown(stress, at, length);
    return n == (ssize_t)length;
}

/* Memory that is a mapping of the same file, as the source of a write. */
static bool stress_write_mapped(struct stress *stress)
{
    size_t from = stress_place(stress, stress->size);
    size_t length = stress_length(stress, (stress->size - from) / 2);
    size_t at = stress_place(stress, stress->size - length);

    if (length == 0 || (at < from + length && from < at + length))
        return true;
    memcpy(stress_block, stress_model + from, length);
    if (pwrite(stress->fd, stress->map + from, length, (off_t)at) != (ssize_t)length)
        return false;
    stress_grown(stress, at, length);
    return true;
}

static bool stress_read(struct stress *stress, bool into_mapping)
{
    size_t at = stress_place(stress, STRESS_MAX);
    size_t length = stress_length(stress, STRESS_MAX - at);
    size_t expected = at < stress->size ? stress->size - at : 0;

    if (expected > length)
        expected = length;
    if (into_mapping) {
        size_t to = stress_place(stress, stress->size);

        if (length > stress->size - to)
            length = stress->size - to;
        if (expected > length)
            expected = length;
        if (to < at + length && at < to + length)
            return true;
        memcpy(stress_model + to, stress_model + at, expected);
        return pread(stress->fd, stress->map + to, length, (off_t)at) == (ssize_t)expected;
    }
    return pread(stress->fd, stress_block, length, (off_t)at) == (ssize_t)expected &&
           memcmp(stress_block, stress_model + at, expected) == 0;
}

static bool stress_store(struct stress *stress)
{
    size_t at = stress_place(stress, stress->size);
    size_t length = stress_length(stress, stress->size - at);

    stress_fill(stress, stress_model + at, length);
    memcpy(stress->map + at, stress_model + at, length);
    if (stress_random(stress, 4) == 0)
        return msync(stress->map, STRESS_MAX, MS_SYNC) == 0;
    return true;
}

static bool stress_load(struct stress *stress)
{
    size_t at = stress_place(stress, stress->size);
    size_t length = stress_length(stress, stress->size - at);

    return memcmp(stress->map + at, stress_model + at, length) == 0;
}

static bool stress_cut(struct stress *stress)
{
    size_t size = stress_place(stress, STRESS_MAX);

    /* What is stored behind the end is nobody's. */
    if (stress->size % STRESS_PAGE)
        stress->map[stress->size] = 0x55;
    if (size > stress->size)
        memset(stress_model + stress->size, 0, size - stress->size);
    stress->size = size;
    return ftruncate(stress->fd, (off_t)size) == 0;
}

static bool stress_look(struct stress *stress)
{
    struct stat st;

    return fstat(stress->fd, &st) == 0 && st.st_size == (off_t)stress->size &&
           lseek(stress->fd, 0, SEEK_END) == (off_t)stress->size && fsync(stress->fd) == 0;
}

static bool stress_step(struct stress *stress)
{
    switch (stress_random(stress, 16)) {
    case 0:
        stress->failed = "look";
        return stress_look(stress);
    case 1:
        stress->failed = "cut";
        return stress_random(stress, 2) ? stress_cut(stress) : true;
    case 2:
        stress->failed = "append";
        return stress->size < STRESS_MAX ? stress_write(stress, true) : true;
    case 3:
    case 4:
    case 5:
        stress->failed = "write";
        return stress_write(stress, false);
    case 6:
        stress->failed = "write of mapped memory";
        return stress_write_mapped(stress);
    case 7:
        stress->failed = "read into mapped memory";
        return stress->size > 0 ? stress_read(stress, true) : true;
    case 8:
    case 9:
        stress->failed = "store";
        return stress->size > 0 ? stress_store(stress) : true;
    case 10:
    case 11:
    case 12:
        stress->failed = "load";
        return stress->size > 0 ? stress_load(stress) : true;
    default:
        stress->failed = "read";
        return stress_read(stress, false);
    }
}

static uint64_t stress_sum(const unsigned char *data, size_t length)
{
    uint64_t sum = 14695981039346656037U;

    for (size_t i = 0; i < length; i++)
        sum = (sum ^ data[i]) * 1099511628211U;
    return sum;
}

/* "SIZE SUM" of what the file has in the end, or what went wrong. `steps` may be 0. */
static void stress(const char *path, uint64_t seed, unsigned steps, char *ret, size_t size)
{
    struct stress stress = {.state = seed, .failed = "open"};
    unsigned step = 0;
    bool good;
    ssize_t n;

    stress.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    stress.append_fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    stress.map = mmap(NULL, STRESS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, stress.fd, 0);
    n = pread(stress.fd, stress_model, STRESS_MAX, 0);
    good = stress.fd >= 0 && stress.append_fd >= 0 && stress.map != MAP_FAILED && n >= 0;
    stress.size = good ? (size_t)n : 0;
    stress.failed = "first look";
    good = good && memcmp(stress.map, stress_model, stress.size) == 0;
    while (good && step < steps) {
        good = stress_step(&stress);
        step++;
    }
    if (good)
        snprintf(ret, size, "%zu %016llx", stress.size,
                 (unsigned long long)stress_sum(stress_model, stress.size));
    else
        snprintf(ret, size, "seed %llu, step %u: %s, %m", (unsigned long long)seed, step,
                 stress.failed);
    if (stress.map != MAP_FAILED)
        munmap(stress.map, STRESS_MAX);
    close(stress.append_fd);
    close(stress.fd);
}
