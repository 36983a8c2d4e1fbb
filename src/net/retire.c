#include "net/retire.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/netlink.h"
#include "base/strings.h"
#include "net/filter.h"
#include "net/state.h"
#include <signal.h>

struct retire {
    struct net *net;
    pthread_cond_t work;    /* something was retired, or `stop` */
    pthread_cond_t settled; /* something is gone or stuck */
    pthread_t thread;
    bool started;
    bool stop;
};

/* The first that is neither gone nor stuck, with this name if there is one; or NULL. */
static struct net_record *next_retired(struct net *net, const char *host)
{
    LIST_FOR_EACH (record, &net->retired, struct net_record, node) {
        if (!record->stuck && (!host || strcmp(record->names.host, host) == 0))
            return record;
    }
    return NULL;
}

static int delete_link(int index)
{
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    int r = netlink_open(-EBADF, &netlink, NULL);

    if (r == 0)
        r = netlink_delete(netlink, index, NULL);
    /* It may have gone with its peer's namespace. */
    return r == -ENODEV ? 0 : r;
}

/* Nobody else frees a record that is retired and not stuck. */
static void retire_one(struct retire *retire, struct net_record *record)
{
    struct net *net = retire->net;
    int index = record->link;
    int r;

    pthread_mutex_unlock(&net->lock);
    r = delete_link(index);
    pthread_mutex_lock(&net->lock);
    if (r < 0) {
        record->stuck = true;
    } else {
        /* Elements that name an interface which does not exist do no harm. */
        (void)filter_remove_retired(net, record, NULL);
        net_record_free(record);
    }
    pthread_cond_broadcast(&retire->settled);
}

static void *retire_run(void *data)
{
    struct retire *retire = data;
    CLEANUP(net_unlock) struct net *net = net_lock(retire->net);

    for (;;) {
        struct net_record *record = next_retired(net, NULL);

        if (record)
            retire_one(retire, record);
        else if (retire->stop)
            break;
        else
            pthread_cond_wait(&retire->work, &net->lock);
    }
    return NULL;
}

int net_retire_new(struct net *net, struct retire **ret, struct error *err)
{
    struct retire *retire = calloc(1, sizeof(*retire));

    if (!retire)
        return error_oom(err);
    retire->net = net;
    pthread_cond_init(&retire->work, NULL);
    pthread_cond_init(&retire->settled, NULL);
    *ret = retire;
    return 0;
}

void net_retire_free(struct retire *retire)
{
    if (!retire)
        return;
    if (retire->started) {
        pthread_mutex_lock(&retire->net->lock);
        retire->stop = true;
        pthread_cond_signal(&retire->work);
        pthread_mutex_unlock(&retire->net->lock);
        pthread_join(retire->thread, NULL);
    }
    pthread_cond_destroy(&retire->work);
    pthread_cond_destroy(&retire->settled);
    free(retire);
}

int net_retire_start(struct net *net)
{
    struct retire *retire = net->retire;
    sigset_t all;
    sigset_t before;
    size_t n = 0;
    int r;

    LIST_FOR_EACH (record, &net->retired, struct net_record, node) {
        if (++n == RETIRED_MAX)
            return -EAGAIN;
    }
    if (retire->started)
        return 0;
    /* Signals are the business of the program's other threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&retire->thread, NULL, retire_run, retire);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    retire->started = r == 0;
    return -r;
}

void net_retire(struct net *net, struct net_record *record, int link)
{
    record->link = link;
    list_remove(&record->node);
    list_append(&net->retired, &record->node);
    pthread_cond_signal(&net->retire->work);
}

void net_retire_wait(struct net *net, const char *host)
{
    while (next_retired(net, host))
        pthread_cond_wait(&net->retire->settled, &net->lock);
}

bool net_retire_is_pending(struct net *net, const char *host)
{
    return next_retired(net, host) != NULL;
}

void net_retire_forget(struct net *net, const char *host)
{
    LIST_FOR_EACH (record, &net->retired, struct net_record, node) {
        if (record->stuck && (!host || strcmp(record->names.host, host) == 0))
            net_record_free(record);
    }
}
