/* Pid 1 of a guest that finds out whether a program keeps its FP and vector registers over all that
 * a kernel does with it: system calls, page faults of all kinds, signals whose handlers use the
 * registers or change those that are restored, other processes and threads, fork, exec and ptrace.
 * Static. "run SECONDS SEED" on the link is answered by a line "going" each second, and then by
 * "ok", or by what was wrong. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "fp-state.h"

__asm__(".include \"fp-rounds.s\"");

enum {
    PAGE = 4096,
    PAGES = 16,
    PROCESSES = 3,
    THREADS = 3,
    CHANGED = 5, /* the register that a handler or a tracer changes */
};

struct worker {
    uint64_t random;
    struct fp_state in;
    struct fp_state out;
    struct fp_state handler_in;
    struct fp_state handler_out;
    volatile sig_atomic_t change;
    unsigned char *anonymous; /* PAGES */
    unsigned char *guarded;   /* PAGES, of which the handler of SIGSEGV gives what is missing */
    unsigned char *private;   /* PAGES of the file */
    bool alone;               /* no other thread is in this process */
};

static __thread struct worker *self;
static int level;
static int file;
static int failures[2]; /* a pipe */
static volatile bool stop;

static void failed(const char *what, const char *where)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "%s: %s\n", what, where);

    (void)!write(failures[1], text, (size_t)n);
}

static uint32_t below(struct worker *worker, uint32_t limit)
{
    worker->random = worker->random * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(worker->random >> 33) % limit;
}

static void fill(struct worker *worker, struct fp_state *state)
{
    uint8_t *bytes = (uint8_t *)state;

    for (size_t i = 0; i < sizeof(*state); i++)
        bytes[i] = (uint8_t)below(worker, 256);
    for (int i = 0; i < 8; i++) {
        state->stack[i][7] |= 0x80; /* a number, and no other pattern */
        memset(state->stack[i] + 10, 0, 6);
    }
    state->control = 0x1f80 | below(worker, 4) << 13;
    state->x87_control = 0x37f ^ below(worker, 4) << 10;
    if (below(worker, 4) == 0)
        memset(state->masks, 0, sizeof(state->masks));
    if (below(worker, 4) == 0)
        memset(state->vectors, 0, sizeof(state->vectors));
    if (below(worker, 4) == 0)
        memset(state->vectors + 16, 0, sizeof(state->vectors) / 2);
}

static const char *difference(const struct fp_state *a, const struct fp_state *b, int with)
{
    static const size_t sizes[] = {16, 32, 64};

    for (int i = 0; i < (with == FP_AVX512 ? 32 : 16); i++)
        if (memcmp(a->vectors[i], b->vectors[i], sizes[with]) != 0)
            return "a vector register";
    if (with == FP_AVX512 && memcmp(a->masks, b->masks, sizeof(a->masks)) != 0)
        return "a mask";
    for (int i = 0; i < 8; i++)
        if (memcmp(a->stack[i], b->stack[i], 10) != 0)
            return "the x87's stack";
    if (a->control != b->control)
        return "MXCSR";
    return (uint16_t)a->x87_control != (uint16_t)b->x87_control ? "the x87's control word" : NULL;
}

static long go(const struct fp_state *in, struct fp_state *out, int with, fp_operation *operation,
               const long arguments[4])
{
    switch (with) {
    case FP_AVX512:
        return fp_round_avx512(in, out, operation, arguments);
    case FP_AVX:
        return fp_round_avx(in, out, operation, arguments);
    default:
        return fp_round_sse(in, out, operation, arguments);
    }
}

static void verify(struct worker *worker, const char *what, int with)
{
    const char *where = difference(&worker->in, &worker->out, with);

    if (where)
        failed(what, where);
}

/* One round of the worker, whose registers are the same afterwards. */
static long same(struct worker *worker, const char *what, fp_operation *operation, long first,
                 long second, long third)
{
    const long arguments[4] = {first, second, third, 0};
    int with = (int)below(worker, (uint32_t)level + 1);
    long r;

    fill(worker, &worker->in);
    r = go(&worker->in, &worker->out, with, operation, arguments);
    verify(worker, what, with);
    return r;
}

/* --- signals --- */

static void use_registers(struct worker *worker)
{
    static const long arguments[4] = {SYS_getppid};
    const char *where;

    fill(worker, &worker->handler_in);
    go(&worker->handler_in, &worker->handler_out, level, fp_call, arguments);
    where = difference(&worker->handler_in, &worker->handler_out, level);
    if (where)
        failed("in a handler", where);
}

static void on_signal(int number, siginfo_t *info, void *data)
{
    ucontext_t *context = data;
    struct worker *worker = self;
    uint64_t random;

    if (!worker)
        return;
    random = worker->random; /* the interrupted code is in the middle of it, maybe */
    use_registers(worker);
    if (number == SIGSEGV) {
        uintptr_t at = (uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1);
        uintptr_t from = (uintptr_t)worker->guarded;

        if (at < from || at >= from + PAGES * PAGE) {
            failed("SIGSEGV", "somewhere else");
            _exit(1);
        }
        mprotect((void *)at, PAGE, PROT_READ | PROT_WRITE);
    } else if (number == SIGUSR1 && worker->change) {
        context->uc_mcontext.fpregs->_xmm[CHANGED].element[1] = 0x12345678;
        context->uc_mcontext.fpregs->mxcsr ^= 0x6000;
        worker->change = false;
    }
    worker->random = random;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGUSR1, SIGSEGV, SIGALRM};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};

    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
}

static void signal_self(struct worker *worker)
{
    const long arguments[4] = {SYS_tgkill, getpid(), gettid(), SIGUSR1};
    int with = (int)below(worker, (uint32_t)level + 1);
    uint32_t changed = 0x12345678;

    fill(worker, &worker->in);
    worker->in.vectors[CHANGED][0] = 1; /* SSE is in use: or what is changed does not count */
    worker->change = below(worker, 2) == 0;
    bool change = worker->change;
    go(&worker->in, &worker->out, with, fp_call, arguments);
    if (change) {
        memcpy(worker->in.vectors[CHANGED] + 4, &changed, sizeof(changed));
        worker->in.control ^= 0x6000;
    }
    verify(worker, change ? "a handler that changes registers" : "a signal", with);
}

/* --- memory --- */

static void touch_new(struct worker *worker)
{
    unsigned char *page = worker->anonymous + (size_t)PAGE * below(worker, PAGES);
    size_t at = below(worker, PAGE);

    madvise(page, PAGE, MADV_DONTNEED);
    if (below(worker, 2) && same(worker, "a read of a new page", fp_read, (long)(page + at), 0, 0))
        failed("a new page", "has something");
    if (below(worker, 2)) {
        same(worker, "a write to a page", fp_write, (long)(page + at), 7, 0);
        if (page[at] != 7 || page[at ^ 1] != 0)
            failed("a write to a page", "has not come to pass");
    } else {
        if (same(worker, "an addition", fp_add, (long)(page + at), 9, 0) != 0 || page[at] != 9)
            failed("an addition", "has not come to pass");
    }
}

static void touch_guarded(struct worker *worker)
{
    unsigned char *page = worker->guarded + (size_t)PAGE * below(worker, PAGES);
    size_t at = below(worker, PAGE);
    unsigned char before;

    mprotect(page, PAGE, PROT_READ | PROT_WRITE);
    if (below(worker, 4) == 0)
        madvise(page, PAGE, MADV_DONTNEED);
    before = page[at];
    mprotect(page, PAGE, below(worker, 2) ? PROT_READ : PROT_NONE);
    if (below(worker, 2)) {
        if (same(worker, "a read that is refused", fp_read, (long)(page + at), 0, 0) != before)
            failed("a read that is refused", "is something else");
    } else if (same(worker, "an addition that is refused", fp_add, (long)(page + at), 3, 0) !=
                   before ||
               page[at] != (unsigned char)(before + 3)) {
        failed("an addition that is refused", "has not come to pass");
    }
}

/* Pages of the file begin with their number and have 0x55. */
static void touch_file(struct worker *worker)
{
    uint32_t number = below(worker, PAGES);
    unsigned char *page = worker->private + (size_t)PAGE * number;
    size_t at = 1 + below(worker, PAGE - 1);

    madvise(page, PAGE, MADV_DONTNEED);
    if (below(worker, 2) && same(worker, "a read of a file", fp_read, (long)page, 0, 0) != number)
        failed("a file", "has something else");
    if (same(worker, "a write to a file's page", fp_add, (long)(page + at), 1, 0) != 0x55 ||
        page[0] != number || page[at] != 0x56)
        failed("a write to a file's page", "has not come to pass");
}

static void copy_into_new(struct worker *worker)
{
    unsigned char *page = worker->anonymous + (size_t)PAGE * below(worker, PAGES);

    madvise(page, PAGE, MADV_DONTNEED);
    if (same(worker, "a read() into a new page", fp_call, SYS_getcwd, (long)page, PAGE) != 2 ||
        page[0] != '/')
        failed("getcwd()", "has not come to pass");
}

/* --- processes --- */

static void expect_end(pid_t pid, const char *what)
{
    int status;

    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        failed(what, "the child has failed");
}

static void fork_here(struct worker *worker)
{
    /* As fork() does. The page is shared, and copied by who writes first. */
    unsigned char *page = worker->anonymous;
    pid_t pid;

    page[5] = 40;
    pid = (pid_t)same(worker, "fork", fp_call, SYS_clone, SIGCHLD, 0);
    if (same(worker, "a write after fork", fp_add, (long)(page + 5), 1, 0) != 40)
        failed("a write after fork", "has not come to pass");
    if (pid == 0)
        _exit(0);
    expect_end(pid, "fork");
}

static void exec_here(struct worker *worker)
{
    pid_t pid = fork();

    if (pid == 0) {
        static const char *const argv[] = {"/init", "fresh", NULL};

        same(worker, "exec", fp_call, SYS_execve, (long)argv[0], (long)argv);
        _exit(1);
    }
    expect_end(pid, "exec");
}

/* After exec: whatever the registers were. */
static int fresh(void)
{
    uint32_t control;
    uint16_t x87_control;

    __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(control), "=m"(x87_control));
    return control == 0x1f80 && x87_control == 0x37f ? 0 : 1;
}

static void traced_child(struct worker *worker)
{
    const long arguments[4] = {SYS_tgkill, getpid(), gettid(), SIGSTOP};
    uint32_t changed = 0x87654321;

    ptrace(PTRACE_TRACEME, 0, 0, 0);
    go(&worker->in, &worker->out, level, fp_call, arguments);
    memcpy(worker->in.vectors[CHANGED] + 8, &changed, sizeof(changed));
    verify(worker, "a tracer's change", level);
    _exit(0);
}

static void trace(struct worker *worker)
{
    struct user_fpregs_struct registers;
    int status;
    pid_t pid;

    fill(worker, &worker->in);
    worker->in.vectors[CHANGED][0] = 1;
    pid = fork();
    if (pid == 0)
        traced_child(worker);
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_GETFPREGS, pid, 0, &registers) < 0) {
        failed("ptrace", "has not stopped");
        return;
    }
    for (int i = 0; i < 16; i++)
        if (memcmp(registers.xmm_space + (size_t)4 * i, worker->in.vectors[i], 16) != 0)
            failed("a tracer's look", "a vector register");
    if (registers.mxcsr != worker->in.control)
        failed("a tracer's look", "MXCSR");
    registers.xmm_space[4 * CHANGED + 2] = 0x87654321;
    if (ptrace(PTRACE_SETFPREGS, pid, 0, &registers) < 0 || ptrace(PTRACE_CONT, pid, 0, 0) < 0)
        failed("ptrace", "cannot change");
    expect_end(pid, "ptrace");
}

/* --- the workers --- */

static void step(struct worker *worker)
{
    static const struct timespec moment = {.tv_nsec = 1000};

    switch (below(worker, worker->alone ? 100 : 88)) {
    case 0 ... 19:
        same(worker, "a system call", fp_call, SYS_getppid, 0, 0);
        break;
    case 20 ... 34:
        same(worker, "others meanwhile", fp_call, SYS_sched_yield, 0, 0);
        break;
    case 35 ... 37:
        same(worker, "a sleep", fp_call, SYS_nanosleep, (long)&moment, 0);
        break;
    case 38 ... 47:
        signal_self(worker);
        break;
    case 48 ... 60:
        touch_new(worker);
        break;
    case 61 ... 67:
        touch_guarded(worker);
        break;
    case 68 ... 77:
        touch_file(worker);
        break;
    case 78 ... 82:
        copy_into_new(worker);
        break;
    case 83 ... 87:
        same(worker, "nothing", fp_spin, 1 + (long)below(worker, 3000000), 0, 0);
        break;
    case 88 ... 94:
        fork_here(worker);
        break;
    case 95 ... 96:
        exec_here(worker);
        break;
    default:
        trace(worker);
        break;
    }
}

static void *map(int fd)
{
    return mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
}

static void *work(void *data)
{
    struct worker *worker = data;

    worker->anonymous = map(-1);
    worker->guarded = map(-1);
    worker->private = map(file);
    if (worker->anonymous == MAP_FAILED || worker->guarded == MAP_FAILED ||
        worker->private == MAP_FAILED) {
        failed("mmap", strerror(errno));
        return NULL;
    }
    self = worker;
    while (!stop)
        step(worker);
    return NULL;
}

static void on_end(int number)
{
    (void)number;
    stop = true;
}

/* A process of several threads, or of one that makes processes. */
static void process(uint64_t seed, bool alone)
{
    static struct worker workers[THREADS];
    static const struct itimerval interval = {{.tv_usec = 3000}, {.tv_usec = 3000}};
    pthread_t threads[THREADS];
    int n = alone ? 1 : THREADS;

    signal(SIGTERM, on_end);
    catch_signals();
    setitimer(ITIMER_REAL, &interval, NULL);
    for (int i = 0; i < n; i++) {
        workers[i].random = seed * THREADS + (uint64_t)i;
        workers[i].alone = alone;
        if (i > 0 && pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
            failed("pthread_create", "no thread");
    }
    work(&workers[0]);
    for (int i = 1; i < n; i++)
        pthread_join(threads[i], NULL);
    _exit(0);
}

static int make_file(void)
{
    unsigned char page[PAGE];
    int fd = open("/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    memset(page, 0x55, sizeof(page));
    for (int i = 0; i < PAGES; i++) {
        page[0] = (unsigned char)i;
        if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page))
            return -1;
    }
    return fd;
}

/* Pages; the second number. */
static long resident(void)
{
    FILE *stream = fopen("/proc/self/statm", "re");
    char line[128] = "";

    if (!stream || !fgets(line, sizeof(line), stream))
        failed("statm", "cannot be read");
    if (stream)
        fclose(stream);
    return strtol(line + strcspn(line, " "), NULL, 10);
}

/* What is read only, and has not been written, takes no memory: beside what has been, too. */
static void read_unused(void)
{
    enum { UNUSED = 2048 };
    volatile unsigned char *pages = mmap(NULL, (size_t)UNUSED * PAGE, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long before = resident();
    unsigned sum = 0;

    pages[(size_t)UNUSED / 2 * PAGE] = 1;
    for (size_t i = 0; i < UNUSED / 2; i++)
        sum += pages[(UNUSED / 2 + i) * PAGE] + pages[(UNUSED / 2 - 1 - i) * PAGE];
    if (sum != 1)
        failed("unused memory", "has something");
    if (resident() - before > UNUSED / 16)
        failed("unused memory", "is used by reading it");
    munmap((void *)(uintptr_t)pages, (size_t)UNUSED * PAGE);
}

static const char *run(int link, unsigned seconds, uint64_t seed)
{
    static char text[256];
    pid_t pids[2 * PROCESSES];
    ssize_t n = 0;

    read_unused();
    for (int i = 0; i < 2 * PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            process(seed * 2 * PROCESSES + (uint64_t)i, i % 2 == 0);
    }
    for (unsigned i = 0; i < seconds && n <= 0; i++) {
        sleep(1);
        n = read(failures[0], text, sizeof(text) - 1);
        dprintf(link, "going\n");
    }
    for (int i = 0; i < 2 * PROCESSES; i++)
        kill(pids[i], SIGTERM);
    for (int i = 0; i < 2 * PROCESSES; i++) {
        int status;

        if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
            failed("a process", "has not ended well");
    }
    if (n <= 0)
        n = read(failures[0], text, sizeof(text) - 1);
    if (n <= 0)
        return "ok";
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return text;
}

int main(int argc, char **argv)
{
    struct termios settings;
    char line[128];
    FILE *in;
    int fd;

    if (argc > 1 && strcmp(argv[1], "fresh") == 0)
        return fresh();
    mkdir("/proc", 0555);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || tcgetattr(fd, &settings) < 0)
        return 2;
    cfmakeraw(&settings);
    settings.c_cflag |= CLOCAL | CREAD;
    tcsetattr(fd, TCSANOW, &settings);
    in = fdopen(fd, "r");
    file = make_file();
    if (!in || file < 0 || pipe2(failures, O_CLOEXEC | O_NONBLOCK) < 0)
        return 3;
    if (__builtin_cpu_supports("avx512bw"))
        level = FP_AVX512;
    else if (__builtin_cpu_supports("avx"))
        level = FP_AVX;
    dprintf(fd, "ready\n");
    while (fgets(line, sizeof(line), in)) {
        char *rest = line + strcspn(line, " ");
        unsigned seconds = (unsigned)strtoul(rest, &rest, 10);

        dprintf(fd, "%s\n", run(fd, seconds, strtoull(rest, NULL, 10)));
    }
    return 4;
}
