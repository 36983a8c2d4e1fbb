#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/strings.h"
#include "engine/private.h"

/* signal(7); SIGRTMIN+n are handled apart. */
static const struct {
    const char *name;
    int number;
} signals[] = {
    {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"BUS", SIGBUS},       {"CHLD", SIGCHLD},
    {"CLD", SIGCHLD},  {"CONT", SIGCONT}, {"FPE", SIGFPE},       {"HUP", SIGHUP},
    {"ILL", SIGILL},   {"INT", SIGINT},   {"IO", SIGIO},         {"IOT", SIGIOT},
    {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"POLL", SIGPOLL},     {"PROF", SIGPROF},
    {"PWR", SIGPWR},   {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},     {"STKFLT", SIGSTKFLT},
    {"STOP", SIGSTOP}, {"SYS", SIGSYS},   {"TERM", SIGTERM},     {"TRAP", SIGTRAP},
    {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH},
    {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
};

/* Numbers of the real-time signals as the kernel and docker count them: glibc's SIGRTMIN leaves
 * out two that it uses itself. */
enum { SIGNAL_RTMIN = 34, SIGNAL_RTMAX = 64 };

static int realtime_parse(const char *name, int *ret)
{
    int offset = 0;
    if (string_starts_with(name, "RTMIN")) {
        name += strlen("RTMIN");
        if (*name && (*name != '+' || string_to_int(name + 1, 0, 30, &offset) < 0))
            return -EINVAL;
        *ret = SIGNAL_RTMIN + offset;
    } else if (string_starts_with(name, "RTMAX")) {
        name += strlen("RTMAX");
        if (*name && (*name != '-' || string_to_int(name + 1, 0, 30, &offset) < 0))
            return -EINVAL;
        *ret = SIGNAL_RTMAX - offset;
    } else {
        return -EINVAL;
    }
    return 0;
}

int engine_signal_parse(const char *text, int *ret)
{
    char name[16];
    if (isdigit((unsigned char)text[0]))
        return string_to_int(text, 1, SIGNAL_RTMAX, ret);
    if (strlen(text) >= sizeof(name))
        return -EINVAL;
    for (size_t i = 0; i <= strlen(text); i++)
        name[i] = (char)toupper((unsigned char)text[i]);
    const char *bare = string_starts_with(name, "SIG") ? name + 3 : name;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (string_equal(signals[i].name, bare)) {
            *ret = signals[i].number;
            return 0;
        }
    return realtime_parse(bare, ret);
}
