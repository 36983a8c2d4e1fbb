#include "image/auth.h"

#include <errno.h>

#include <curl/curl.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "image/http.h"
#include "image/image.h"
#include "image/registry-hosts.h"

#define CLIENT_ID "hull"

int auth_bearer(const char *token, char **ret, struct error *err)
{
    size_t length = strlen(token);
    for (size_t i = 0; i < length; i++)
        if (token[i] <= ' ' || token[i] >= 0x7f)
            return error_set_class(err, ERROR_INVALID, "the bearer token has invalid characters");
    if (length == 0 || length > REGISTRY_TOKEN_MAX)
        return error_set_class(err, ERROR_INVALID, "the bearer token is empty or too long");
    *ret = string_format("Bearer %s", token);
    return *ret ? 0 : error_oom(err);
}

static int append_field(struct buffer *query, const char *name, const char *value)
{
    if (string_is_empty(value))
        return 0;
    char *escaped = curl_easy_escape(NULL, value, 0);
    if (!escaped)
        return -ENOMEM;
    int r = buffer_printf(query, "%s%s=%s", query->length > 0 ? "&" : "", name, escaped);
    curl_free(escaped);
    return r;
}

/* One scope parameter for each of those separated by blanks. */
static int append_scopes(struct buffer *query, const char *scopes)
{
    CLEANUP_STRV char **list = NULL;
    if (strv_split(scopes, ' ', &list) < 0)
        return -ENOMEM;
    int r = 0;
    for (size_t i = 0; r == 0 && list[i]; i++)
        r = append_field(query, "scope", list[i]);
    return r;
}

static bool has_password(const struct image_auth *auth)
{
    return auth && !string_is_empty(auth->username) && !string_is_empty(auth->password);
}

static int build_query(const struct registry *registry, const struct challenge *challenge,
                       struct buffer *query)
{
    const struct image_auth *auth = registry->auth;
    CLEANUP_FREE char *scope = NULL;
    if (challenge->scope)
        scope = strdup(challenge->scope);
    else if (registry->repository)
        scope = string_format("repository:%s:pull", registry->repository);
    else
        scope = strdup(""); /* a login is for no repository */
    if (!scope)
        return -ENOMEM;
    if (auth && !string_is_empty(auth->identity_token)) {
        if (append_field(query, "grant_type", "refresh_token") < 0 ||
            append_field(query, "service", challenge->service) < 0 ||
            append_field(query, "client_id", CLIENT_ID) < 0 ||
            append_field(query, "scope", scope) < 0 ||
            append_field(query, "refresh_token", auth->identity_token) < 0)
            return -ENOMEM;
        return 0;
    }
    if (append_field(query, "service", challenge->service) < 0 || append_scopes(query, scope) < 0)
        return -ENOMEM;
    if (!registry->repository && (append_field(query, "offline_token", "true") < 0 ||
                                  append_field(query, "client_id", CLIENT_ID) < 0))
        return -ENOMEM;
    return has_password(auth) ? append_field(query, "account", auth->username) : 0;
}

/* A password must not go over a plain connection because a registry says so. */
static int check_realm(const struct registry *registry, const char *realm, struct error *err)
{
    bool plain = string_starts_with(realm, "http://");
    if (!plain && !string_starts_with(realm, "https://"))
        return error_set_class(err, ERROR_UNAVAILABLE, "invalid token server '%s'", realm);
    if (plain && !registry->endpoint->insecure)
        return error_set_class(err, ERROR_UNAVAILABLE, "token server '%s' is not secure", realm);
    return 0;
}

static int parse_token(const struct registry *registry, const struct buffer *body, char **ret,
                       char **ret_refresh, struct error *err)
{
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_FREE char *refresh_token = NULL;
    const char *token = NULL;
    const char *refresh = NULL;
    int r = json_parse(buffer_string(body), body->length, &document, err);
    if (r < 0 || (r = json_get_string(document, "token", &token, err)) < 0)
        return error_wrap(err, r, "answer of the token server");
    if (string_is_empty(token) && (r = json_get_string(document, "access_token", &token, err)) < 0)
        return r;
    if (string_is_empty(token))
        return error_set_class(err, ERROR_UNAVAILABLE,
                               "authorization server did not include a token in the response");
    if (!registry->repository &&
        (r = json_get_string(document, "refresh_token", &refresh, err)) < 0)
        return r;
    if (!string_is_empty(refresh) && string_replace(&refresh_token, refresh) < 0)
        return error_oom(err);
    r = auth_bearer(token, ret, err);
    if (r == 0)
        *ret_refresh = TAKE_PTR(refresh_token);
    return r;
}

static int fetch_token(const struct registry *registry, const struct challenge *challenge,
                       char **ret, char **ret_refresh, struct error *err)
{
    CLEANUP(buffer_release) struct buffer query = BUFFER_INIT(REGISTRY_TOKEN_MAX);
    CLEANUP(buffer_release) struct buffer body = BUFFER_INIT(4 * REGISTRY_TOKEN_MAX);
    CLEANUP(buffer_release) struct buffer errors = BUFFER_INIT(REGISTRY_ERROR_BODY_MAX);
    CLEANUP(http_response_release) struct http_response response = {0};
    const struct image_auth *auth = registry->auth;
    bool oauth = auth && !string_is_empty(auth->identity_token);
    const char *realm = string_or(challenge->realm, "");
    int r = check_realm(registry, realm, err);
    if (r < 0)
        return r;
    if (build_query(registry, challenge, &query) < 0)
        return error_oom(err);
    CLEANUP_FREE char *url = oauth ? strdup(realm)
                                   : string_format("%s%s%s", realm, strchr(realm, '?') ? "&" : "?",
                                                   buffer_string(&query));
    if (!url)
        return error_oom(err);
    const struct registry_request transfer = {.body = &body};
    const struct http_request request = {
        .url = url,
        .username = !oauth && has_password(auth) ? auth->username : NULL,
        .password = !oauth && has_password(auth) ? auth->password : NULL,
        .form = oauth ? buffer_string(&query) : NULL,
        .insecure = registry->endpoint->insecure,
        .monitor = registry->monitor,
        .transfer = &transfer,
    };
    if ((r = http_get(&request, &response, &errors, err)) < 0)
        return r;
    if (response.status == 401 || response.status == 403)
        return error_set_class(err, ERROR_UNAUTHORIZED,
                               "unauthorized: incorrect username or password");
    if (response.status != 200)
        return error_set_class(err, ERROR_UNAVAILABLE, "token server %s answered with status %ld",
                               realm, response.status);
    return parse_token(registry, &body, ret, ret_refresh, err);
}

int auth_answer(struct registry *registry, const struct challenges *challenges, struct error *err)
{
    const struct challenge *bearer = challenges_find(challenges, "bearer");
    const struct challenge *basic = challenges_find(challenges, "basic");
    CLEANUP_FREE char *authorization = NULL;
    CLEANUP_FREE char *refresh_token = NULL;
    int r = 0;
    if (registry->auth && !string_is_empty(registry->auth->registry_token))
        r = auth_bearer(registry->auth->registry_token, &authorization, err);
    else if (bearer)
        r = fetch_token(registry, bearer, &authorization, &refresh_token, err);
    else if (basic && !has_password(registry->auth))
        return error_set_class(err, ERROR_UNAUTHORIZED, "Get \"%s/v2/\": no basic auth credentials",
                               registry->endpoint->base);
    else if (!basic)
        return error_set_class(err, ERROR_UNAUTHORIZED, "unauthorized: authentication required");
    if (r < 0)
        return r;
    pthread_mutex_lock(&registry->lock);
    free(registry->authorization);
    registry->authorization = TAKE_PTR(authorization);
    registry->basic = !registry->authorization;
    if (refresh_token) {
        free(registry->refresh_token);
        registry->refresh_token = TAKE_PTR(refresh_token);
    }
    pthread_mutex_unlock(&registry->lock);
    return 0;
}
