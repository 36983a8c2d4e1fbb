#include "cli/pull.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/credentials.h"
#include "cli/progress.h"
#include "cli/query.h"
#include "cli/reference.h"

#include <string.h>
#include <unistd.h>

DEFINE_CLEANUP(struct progress *, progress_cleanup, progress_free)

int pull_image(struct client *client, const char *text, const char *platform, FILE *out,
               struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP(progress_cleanup) struct progress *progress = NULL;
    CLEANUP_FREE char *auth = NULL;
    CLEANUP_FREE char *domain = NULL;
    struct client_request request = {.method = "POST", .receive = progress_receive};
    int r = reference_parse(text, &reference, err);

    if (r < 0)
        return r;
    domain = strndup(reference.name, strcspn(reference.name, "/"));
    if (!domain)
        return error_oom(err);
    r = credentials_find(domain, &auth, err);
    if (r < 0)
        return r;
    r = progress_new(out, out && isatty(fileno(out)), &progress, err);
    if (r < 0)
        return r;
    query_path(&query, "/images/create");
    query_add(&query, "fromImage", reference.name);
    query_add(&query, "tag", reference_tag(&reference));
    query_add(&query, "platform", platform);
    request.target = query_text(&query);
    request.registry_auth = auth;
    request.data = progress;
    r = client_perform(client, &request, NULL, err);
    return r < 0 ? r : progress_finish(progress, err);
}
