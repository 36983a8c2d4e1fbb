/* Theory of operation.
 *
 * Saving is QEMU's migration to a file, without the memory: that is a file already, to which the
 * guest's writes go (share=on), and the capability x-ignore-shared leaves it out. In the VM that is
 * made from it the same file is mapped privately.
 *
 *   make   boot - the guest says that it is held - getfd, migrate-set-capabilities, migrate -
 *          event MIGRATION "completed" - quit
 *   wake   migrate-set-capabilities, migrate-incoming - event RESUME - the word on the link
 *
 * QEMU stops the guest when it has saved it, so memory and state belong together.
 *
 * The word is said when the guest goes on and not before, for the sake of the time in it. Nobody
 * else says anything on the link before the guest's hello, so it cannot come between. */
#include "vm/template.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "vm/engine.h"
#include "vm/qmp.h"
#include "vm/vm-internal.h"
#include "wire/wake.h"

enum {
    SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
    CPUINFO_MAX = 16 * 1024,
    IDENTITY_MAX = 64 * 1024,
};

bool vm_has_templates(enum vm_engine engine)
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);

    return ops && ops->templates;
}

/* --- identity --- */

static int add_file(struct buffer *text, const char *path)
{
    struct stat st = {0};

    if (!path || stat(path, &st) < 0)
        return buffer_printf(text, "%s -\n", string_or(path, "-"));
    return buffer_printf(text, "%s %ju:%ju %jd %jd.%09ld\n", path, (uintmax_t)st.st_dev,
                         (uintmax_t)st.st_ino, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
                         st.st_mtim.tv_nsec);
}

/* A state is only good for the processor that it was saved on: the lines of the first one that say
 * what it is. */
static int add_processor(struct buffer *text)
{
    static const char *const wanted[] = {"vendor_id", "cpu family", "model",
                                         "stepping",  "microcode",  "flags"};
    char info[CPUINFO_MAX + 1];
    CLEANUP_CLOSE int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : fd_read_full(fd, info, CPUINFO_MAX);
    char *end;
    int r = 0;

    info[n < 0 ? 0 : n] = '\0';
    end = strstr(info, "\n\n");
    if (end)
        *end = '\0';
    for (char *line = strtok_r(info, "\n", &end); line && r == 0; line = strtok_r(NULL, "\n", &end))
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]) && r == 0; i++)
            if (string_starts_with(line, wanted[i]))
                r = buffer_printf(text, "%s\n", line);
    return r;
}

char *vm_template_identity(const struct vm_config *config)
{
    const struct vm_engine_ops *ops = vm_engine_ops(config->engine);
    const struct vm_template template = {.memory = -EBADF, .state = -EBADF};
    const struct vm_config machine = {
        .engine = config->engine,
        .files = config->files,
        .memory = config->memory,
        .cpus = config->cpus,
        .pooled = true,
        .template = &template,
    };
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(IDENTITY_MAX);
    CLEANUP_STRV char **argv = NULL;
    struct utsname host;
    int r = uname(&host) < 0 ? -errno : 0;

    if (r == 0)
        r = buffer_printf(&text, "1 %s %s %s\n", ops->name, host.release, host.version);
    if (r == 0)
        r = add_file(&text, ops->program(&config->files));
    if (r == 0)
        r = add_file(&text, ops->kernel(&config->files));
    if (r == 0)
        r = add_file(&text, ops->initramfs(&config->files));
    if (r == 0)
        r = add_processor(&text);
    if (r == 0)
        r = ops->command(&machine, &argv, NULL);
    for (char **word = argv; word && *word && r == 0; word++)
        r = buffer_printf(&text, "%s\n", *word);
    return r < 0 ? NULL : buffer_take(&text);
}

/* --- the memory --- */

int vm_template_new_memory(const struct vm_config *config, struct error *err)
{
    uint64_t size =
        vm_engine_memory_mib(vm_engine_ops(config->engine), config->memory) * 1024 * 1024;
    CLEANUP_CLOSE int fd = memfd_create("hull-template", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return error_set_errno(err, -errno, "cannot make a template's memory");
    return TAKE_FD(fd);
}

int vm_template_seal(int memory, struct error *err)
{
    if (fcntl(memory, F_ADD_SEALS, SEALS) < 0)
        return error_set_errno(err, -errno, "cannot seal a template's memory");
    return 0;
}

int vm_template_check_memory(int memory, uint64_t size, struct error *err)
{
    struct stat st;
    int seals = fcntl(memory, F_GET_SEALS);

    if (seals < 0 || (seals & SEALS) != SEALS || fstat(memory, &st) < 0 ||
        (size && (uint64_t)st.st_size != size))
        return error_set(err, -EINVAL, "a template's memory is not what it should be");
    return 0;
}

/* --- making VMs from it --- */

static json_t *capabilities(void)
{
    return json_pack("{s:[{s:s,s:b}]}", "capabilities", "capability", "x-ignore-shared", "state",
                     1);
}

static void wake_failed(struct vm *vm, const char *why)
{
    char reason[VM_REASON_MAX];

    snprintf(reason, sizeof(reason), "its template could not be used: %.400s", why);
    vm_kill(vm, reason);
}

static void on_wake_answer(struct qmp *qmp, const json_t *result, const struct error *error,
                           void *data)
{
    (void)result;
    /* A QEMU that has gone is seen as that, and says more. */
    if (error && !qmp_failure(qmp))
        wake_failed(data, error->message);
}

static void on_wake_event(struct vm *vm, const char *name, const json_t *payload, void *data)
{
    struct wire_wake wake = {.clock = timestamp_now()};
    uint8_t word[WIRE_WAKE_SIZE];
    ssize_t n;

    (void)payload;
    (void)data;
    if (!string_equal(name, "RESUME"))
        return;
    vm->control_event = NULL;
    if (getrandom(wake.seed, sizeof(wake.seed), 0) != (ssize_t)sizeof(wake.seed)) {
        wake_failed(vm, "no random numbers");
        return;
    }
    wire_wake_encode(&wake, word);
    n = send(vm->link, word, sizeof(word), MSG_NOSIGNAL | MSG_DONTWAIT);
    explicit_bzero(&wake, sizeof(wake));
    explicit_bzero(word, sizeof(word));
    if (n != (ssize_t)sizeof(word)) /* nothing was ever sent there, so there is room */
        wake_failed(vm, "its link is closed");
}

int vm_template_wake(struct vm *vm, struct error *err)
{
    char uri[16];
    int r =
        qmp_command(vm->qmp, "migrate-set-capabilities", capabilities(), on_wake_answer, vm, err);

    snprintf(uri, sizeof(uri), "fd:%d", (int)VM_FD_STATE);
    vm->control_event = on_wake_event;
    if (r == 0)
        r = qmp_command(vm->qmp, "migrate-incoming", json_pack("{s:s}", "uri", uri), on_wake_answer,
                        vm, err);
    return r;
}

/* --- making it --- */

struct maker {
    struct loop *loop;
    struct vm *vm;
    struct loop_source link;
    struct loop_source timer;
    struct loop_source stop;
    int state;
    size_t heard; /* bytes of WIRE_WAKE_HELD */
    bool over;
    struct error error; /* code 0: saved */
};

static void finish(struct maker *maker, int code, const char *format, const char *why)
{
    if (maker->over)
        return;
    maker->over = true;
    if (code < 0)
        (void)error_set(&maker->error, code, format, why);
    loop_quit(maker->loop, 0);
}

static void on_make_answer(struct qmp *qmp, const json_t *result, const struct error *error,
                           void *data)
{
    (void)result;
    if (error && !qmp_failure(qmp))
        finish(data, -EIO, "it could not be saved: %s", error->message);
}

static void on_make_event(struct vm *vm, const char *name, const json_t *payload, void *data)
{
    const char *status = json_string_value(json_object_get(payload, "status"));

    (void)vm;
    if (!string_equal(name, "MIGRATION"))
        return;
    if (string_equal(status, "completed"))
        finish(data, 0, NULL, NULL);
    else if (string_equal(status, "failed") || string_equal(status, "cancelled"))
        finish(data, -EIO, "it could not be saved: %s", status);
}

static void save(struct maker *maker)
{
    struct qmp *qmp = maker->vm->qmp;
    struct error error = ERROR_INIT;
    json_t *with_events = capabilities();
    int r = fd_dup(maker->state);

    /* Without the capability `events` there are none about migration. */
    (void)json_array_append_new(json_object_get(with_events, "capabilities"),
                                json_pack("{s:s,s:b}", "capability", "events", "state", 1));
    maker->vm->control_event = on_make_event;
    maker->vm->control_data = maker;
    if (r >= 0)
        r = qmp_command_fd(qmp, "getfd", json_pack("{s:s}", "fdname", "state"), r, on_make_answer,
                           maker, &error);
    if (r >= 0)
        r = qmp_command(qmp, "migrate-set-capabilities", json_incref(with_events), on_make_answer,
                        maker, &error);
    if (r >= 0)
        r = qmp_command(qmp, "migrate", json_pack("{s:s}", "uri", "fd:state"), on_make_answer,
                        maker, &error);
    json_decref(with_events);
    if (r < 0)
        finish(maker, r, "it could not be saved: %s", error.message);
}

static void on_make_link(struct loop_source *source, uint32_t events)
{
    static const char expected[] = WIRE_WAKE_HELD;
    struct maker *maker = source->data;
    char bytes[sizeof(expected)];
    ssize_t n = read(source->fd, bytes, sizeof(expected) - 1 - maker->heard);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        loop_remove(source); /* the VM's own end says more, and follows */
        return;
    }
    if (memcmp(bytes, expected + maker->heard, (size_t)n) != 0) {
        finish(maker, -EPROTO, "%s", "its guest cannot be saved");
        return;
    }
    maker->heard += (size_t)n;
    if (maker->heard < sizeof(expected) - 1)
        return;
    loop_remove(source);
    save(maker);
}

static void on_make_ended(struct vm *vm, bool clean, const char *reason, void *data)
{
    (void)vm;
    (void)clean;
    finish(data, -ECONNRESET, "the utility VM ended: %s", reason);
}

static void on_make_time(struct loop_source *source, uint32_t events)
{
    (void)events;
    finish(source->data, -ETIMEDOUT, "%s", "the utility VM was not ready in time");
}

static void on_make_stop(struct loop_source *source, uint32_t events)
{
    (void)events;
    finish(source->data, -ECANCELED, "%s", "it is not wanted any more");
}

static void maker_release(struct maker *maker)
{
    loop_remove(&maker->stop);
    loop_remove(&maker->link);
    loop_remove(&maker->timer);
    maker->vm = vm_free(maker->vm);
    maker->loop = loop_free(maker->loop);
}

static int make(struct maker *maker, const struct vm_config *config, int stop, struct error *err)
{
    const struct vm_events events = {.ended = on_make_ended, .data = maker};
    int r = loop_new(&maker->loop, err);

    if (r < 0)
        return r;
    r = vm_start(config, maker->loop, &events, &maker->vm, err);
    if (r < 0)
        return r;
    r = loop_add(maker->loop, &maker->link, vm_link(maker->vm), EPOLLIN, on_make_link, maker);
    if (r == 0)
        r = loop_add_timer(maker->loop, &maker->timer, on_make_time, maker);
    if (r == 0)
        r = loop_timer_set(&maker->timer, VM_TEMPLATE_TIMEOUT_MS);
    if (r == 0 && stop >= 0)
        r = loop_add(maker->loop, &maker->stop, stop, EPOLLIN, on_make_stop, maker);
    if (r == 0)
        r = loop_run(maker->loop);
    if (r < 0)
        return error_set_errno(err, r, "cannot wait for the utility VM");
    return maker->error.code < 0 ? error_copy(err, &maker->error) : 0;
}

int vm_template_make(const struct vm_config *given, int memory, int state, int stop,
                     struct error *err)
{
    const struct vm_template template = {.memory = memory, .state = -EBADF};
    CLEANUP(maker_release)
    struct maker maker = {
        .link = LOOP_SOURCE_INIT,
        .timer = LOOP_SOURCE_INIT,
        .stop = LOOP_SOURCE_INIT,
        .state = state,
    };
    struct vm_config config = *given;
    int r;

    config.pooled = true;
    config.template = &template;
    r = make(&maker, &config, stop, err);
    return r < 0 ? error_wrap(err, r, "cannot make a template") : 0;
}
