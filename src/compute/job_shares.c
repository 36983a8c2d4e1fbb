/* The shares of a job in worker.json. */
#include "compute/job_shares.h"

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "compute/job.h"

#include <errno.h>
#include <stdlib.h>

void job_shares_free(struct compute_job *job)
{
    for (size_t i = 0; i < job->n_shares; i++) {
        free(job->shares[i].source);
        free(job->shares[i].target);
    }
    free(job->shares);
    job->shares = NULL;
    job->n_shares = 0;
}

int compute_job_add_share(struct compute_job *job, const char *source, const char *target,
                          bool read_only, bool recursive, struct error *err)
{
    if (job->n_shares >= COMPUTE_SHARES_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "a utility VM shares at most %d directories and files with the host",
                               COMPUTE_SHARES_MAX);
    if (*source != '/' || *target != '/')
        return error_set_class(err, ERROR_INVALID, "a share's paths are not absolute");
    struct compute_share *shares = realloc(job->shares, (job->n_shares + 1) * sizeof(*shares));
    if (!shares)
        return error_oom(err);
    job->shares = shares;
    shares[job->n_shares] = (struct compute_share){.read_only = read_only, .recursive = recursive};
    struct compute_share *share = &shares[job->n_shares++];
    if (string_replace(&share->source, source) < 0 || string_replace(&share->target, target) < 0)
        return error_oom(err);
    return 0;
}

int job_shares_read(const json_t *json, struct compute_job *job, struct error *err)
{
    json_t *shares = NULL;
    json_t *share;
    size_t i;
    int r = json_get_array(json, "shares", &shares, err);

    if (r < 0)
        return r;
    json_array_foreach (shares, i, share) {
        const char *source = NULL;
        const char *target = NULL;
        bool read_only = true;
        bool recursive = false;

        if ((r = json_need_string(share, "source", &source, err)) < 0 ||
            (r = json_need_string(share, "target", &target, err)) < 0 ||
            (r = json_get_bool(share, "read_only", &read_only, err)) < 0 ||
            (r = json_get_bool(share, "recursive", &recursive, err)) < 0 ||
            (r = compute_job_add_share(job, source, target, read_only, recursive, err)) < 0)
            return error_wrap(err, r, "share %zu", i);
    }
    return 0;
}

json_t *job_shares_to_json(const struct compute_job *job)
{
    json_t *shares = json_array();

    for (size_t i = 0; shares && i < job->n_shares; i++) {
        const struct compute_share *from = &job->shares[i];
        json_t *share = json_object();

        if (json_put_string(share, "source", from->source) < 0 ||
            json_put_string(share, "target", from->target) < 0 ||
            json_put_bool(share, "read_only", from->read_only) < 0 ||
            json_put_bool(share, "recursive", from->recursive) < 0) {
            json_decref(share);
            json_decref(shares);
            return NULL;
        }
        if (json_array_append_new(shares, share) < 0) {
            json_decref(shares);
            return NULL;
        }
    }
    return shares;
}
