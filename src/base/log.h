/* Logging, for programs (and the outermost handlers of daemons) only: libraries return errors. */
#ifndef HULL_BASE_LOG_H
#define HULL_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* log_open() before there are threads. One line to stderr: RFC 3339 time, level, program, message.
 * Control characters from strangers are escaped, a line is cut at 4 KiB. */
void log_open(const char *program, enum log_level threshold);
void log_message(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int log_level_from_string(const char *text); /* also "warn"; -EINVAL if unknown */

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
