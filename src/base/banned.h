/* Functions that cannot be used safely, or that let an inherited descriptor leak, do not compile.
 * Included before every source file by the build (after the system headers that declare them). */
#ifndef HULL_BASE_BANNED_H
#define HULL_BASE_BANNED_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#undef alloca /* a macro of <alloca.h>; poisoning a macro is a warning */
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok atoi atol atoll
#pragma GCC poison sscanf system popen tmpnam mktemp epoll_create vfork alloca
#pragma GCC poison gmtime localtime ctime asctime

#endif
