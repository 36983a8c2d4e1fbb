/* The list of processes that an agent gave, as ps(1) would print it. The first byte chooses ps's
 * options, the rest is the answer. */
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "engine/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const arguments[] = {
        "-ef",
        "aux",
        "-el",
        "-eF",
        "-o pid,ppid,user,uid,gid,state,stat,tty,time,etime,etimes,start,lstart,pcpu,pmem,c,rss",
        "-o vsz,pid,comm,cmd,args,nice,pri,nlwp,cputime,bsdtime,stime,sz,psr,flags,sid,pgid",
    };
    CLEANUP_JSON json_t *processes = NULL;
    CLEANUP_JSON json_t *top = NULL;

    if (size == 0 || json_parse((const char *)data + 1, size - 1, &processes, NULL) < 0)
        return 0;
    if (top_format(processes, arguments[data[0] % 6], &top, NULL) < 0)
        return 0;
    CLEANUP_FREE char *text = json_format(top);
    if (!text)
        abort();
    return 0;
}
