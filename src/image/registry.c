#include "image/registry.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "image/auth.h"
#include "image/http.h"
#include "image/image.h"
#include "image/registry-hosts.h"

void registry_init(struct registry *registry, const struct registry_endpoint *endpoint,
                   const char *repository, const struct image_auth *auth,
                   const struct image_monitor *monitor)
{
    *registry = (struct registry){
        .endpoint = endpoint,
        .repository = repository,
        .auth = auth,
        .monitor = monitor,
    };
    pthread_mutex_init(&registry->lock, NULL);
}

void registry_release(struct registry *registry)
{
    free(registry->authorization);
    registry->authorization = NULL;
    free(registry->refresh_token);
    registry->refresh_token = NULL;
    pthread_mutex_destroy(&registry->lock);
}

/* {"errors": [{"code": "DENIED", "message": "..."}]} (distribution-spec, "Error codes") */
static void read_error_body(const struct buffer *body, struct registry_response *ret)
{
    CLEANUP_JSON json_t *document = NULL;
    const char *code = NULL, *message = NULL;
    json_t *errors = NULL;
    if (json_parse(buffer_string(body), body->length, &document, NULL) < 0 ||
        !json_is_object(document) || json_get_array(document, "errors", &errors, NULL) <= 0)
        return;
    const json_t *first = json_array_get(errors, 0);
    if (!json_is_object(first) || json_get_string(first, "code", &code, NULL) < 0 ||
        json_get_string(first, "message", &message, NULL) < 0)
        return;
    string_copy(ret->code, sizeof(ret->code), string_or(code, ""));
    string_copy(ret->message, sizeof(ret->message), string_or(message, ""));
}

/* RFC 6750, 3.1: what is wrong with the token; registries answer 401 where they mean 403. */
static void read_error_challenge(const struct http_response *response,
                                 struct registry_response *ret)
{
    const struct challenge *bearer = challenges_find(&response->challenges, "bearer");
    if (response->status != 401 || !bearer)
        return;
    if (string_equal(bearer->error, "insufficient_scope")) {
        string_copy(ret->code, sizeof(ret->code), "DENIED");
        string_copy(
            ret->message, sizeof(ret->message),
            string_or(bearer->error_description, "requested access to the resource is denied"));
    } else if (string_equal(bearer->error, "invalid_token")) {
        string_copy(ret->code, sizeof(ret->code), "UNAUTHORIZED");
        string_copy(ret->message, sizeof(ret->message),
                    string_or(bearer->error_description, "authentication required"));
    }
}

/* As docker prints the code: "MANIFEST_UNKNOWN" is "manifest unknown". */
static void format_code(const char *code, char text[64])
{
    size_t i = 0;
    for (; code[i] && i < 63; i++)
        text[i] = code[i] == '_'                     ? ' '
                  : code[i] >= 'A' && code[i] <= 'Z' ? (char)(code[i] - 'A' + 'a')
                                                     : code[i];
    text[i] = '\0';
}

static int refusal(const char *url, struct registry_response *ret, struct error *err)
{
    char code[64];
    enum error_class class = ERROR_UNAVAILABLE;
    if (ret->status == 401)
        class = ERROR_UNAUTHORIZED;
    else if (ret->status == 403)
        class = ERROR_FORBIDDEN;
    else if (ret->status == 404)
        class = ERROR_NOT_FOUND;
    if (ret->code[0]) {
        format_code(ret->code, code);
        return error_set_class(err, class, "%s: %s", code, ret->message[0] ? ret->message : code);
    }
    if (ret->status == 401)
        return error_set_class(err, class, "unauthorized: authentication required");
    if (ret->status == 429)
        return error_set_class(err, class,
                               "toomanyrequests: the registry limits the rate of pulls");
    return error_set_class(err, class, "received unexpected HTTP status: %ld from \"%s\"",
                           ret->status, url);
}

static int exchange(struct registry *registry, const struct registry_request *request,
                    const char *url, struct http_response *response, struct buffer *errors,
                    struct error *err)
{
    CLEANUP_FREE char *authorization = NULL;
    pthread_mutex_lock(&registry->lock);
    bool basic = registry->basic;
    int r = string_replace(&authorization, registry->authorization);
    pthread_mutex_unlock(&registry->lock);
    if (r < 0)
        return error_oom(err);
    const struct http_request http = {
        .url = url,
        .accept = request->accept,
        .authorization = authorization,
        .username = basic ? registry->auth->username : NULL,
        .password = basic ? registry->auth->password : NULL,
        .insecure = registry->endpoint->insecure,
        .monitor = registry->monitor,
        .transfer = request,
    };
    return http_get(&http, response, errors, err);
}

int registry_get(struct registry *registry, const struct registry_request *request,
                 struct registry_response *ret, struct error *err)
{
    CLEANUP(http_response_release) struct http_response response = {0};
    CLEANUP(buffer_release) struct buffer errors = BUFFER_INIT(REGISTRY_ERROR_BODY_MAX);
    CLEANUP_FREE char *url =
        string_format("%s/v2/%s%s%s", registry->endpoint->base, string_or(registry->repository, ""),
                      registry->repository ? "/" : "", request->path);
    *ret = (struct registry_response){0};
    if (!url)
        return error_oom(err);
    int r = exchange(registry, request, url, &response, &errors, err);
    ret->status = response.status;
    if (r == 0 && response.status == 401) {
        if ((r = auth_answer(registry, &response.challenges, err)) < 0)
            return r;
        buffer_clear(&errors);
        r = exchange(registry, request, url, &response, &errors, err);
        ret->status = response.status;
    }
    if (r < 0)
        return r;
    string_copy(ret->content_type, sizeof(ret->content_type), response.content_type);
    ret->more = response.more;
    if (response.status == 200 || response.status == 206)
        return 0;
    ret->refused = true;
    read_error_body(&errors, ret);
    read_error_challenge(&response, ret);
    return refusal(url, ret, err);
}

bool registry_may_retry(const struct registry_response *response, int result)
{
    if (result == 0 || result == -ECANCELED || result == -ENOMEM)
        return false;
    long status = response->status;
    return status == 0 || status == 200 || status == 206 || status == 408 || status == 429 ||
           status >= 500;
}
