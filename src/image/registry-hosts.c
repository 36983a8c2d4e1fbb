#include "image/registry-hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "image/store.h"

#define HUB_DOMAIN "docker.io"
#define HUB_HOST "https://registry-1.docker.io"

/* An address and how many of its bits count. */
struct network {
    int family;
    unsigned char address[16];
    int bits;
};

static int parse_network(const char *text, struct network *ret)
{
    CLEANUP_STRV char **parts = NULL;
    if (strv_split(text, '/', &parts) < 0)
        return -ENOMEM;
    if (strv_length(parts) != 2)
        return -EINVAL;
    if (inet_pton(AF_INET, parts[0], ret->address) == 1)
        ret->family = AF_INET;
    else if (inet_pton(AF_INET6, parts[0], ret->address) == 1)
        ret->family = AF_INET6;
    else
        return -EINVAL;
    return string_to_int(parts[1], 0, ret->family == AF_INET ? 32 : 128, &ret->bits);
}

static bool network_has(const struct network *network, int family, const unsigned char *address)
{
    int bytes = network->bits / 8, rest = network->bits % 8;
    if (family != network->family || memcmp(network->address, address, (size_t)bytes) != 0)
        return false;
    int mask = 0xff & ~(0xff >> rest);
    return rest == 0 || (network->address[bytes] & mask) == (address[bytes] & mask);
}

static const char *skip_scheme(const char *url)
{
    if (string_starts_with(url, "https://"))
        return url + strlen("https://");
    return string_starts_with(url, "http://") ? url + strlen("http://") : NULL;
}

int registry_hosts_check(char *const *mirrors, char *const *insecure, struct error *err)
{
    for (size_t i = 0; mirrors && mirrors[i]; i++) {
        const char *rest = skip_scheme(mirrors[i]);
        if (!rest || !*rest || *rest == '/' || strpbrk(rest, "?#@ \t\r\n"))
            return error_set_class(err, ERROR_INVALID,
                                   "invalid mirror: \"%s\" is not an http or https URL of a host",
                                   mirrors[i]);
    }
    for (size_t i = 0; insecure && insecure[i]; i++) {
        struct network network;
        const char *entry = insecure[i];
        bool is_network = strchr(entry, '/') && parse_network(entry, &network) == 0;
        if (!is_network && (!*entry || strpbrk(entry, "/?#@ \t\r\n")))
            return error_set_class(
                err, ERROR_INVALID,
                "insecure registry \"%s\" is not valid: host, host:port or CIDR is needed", entry);
    }
    return 0;
}

/* "host" of "host:port" or "[v6]:port". */
static char *host_of(const char *domain)
{
    if (domain[0] == '[')
        return strndup(domain + 1, strcspn(domain + 1, "]"));
    return strndup(domain, strcspn(domain, ":"));
}

static bool address_is_listed(const struct image_store *store, int family,
                              const unsigned char *address)
{
    static const struct network loopback4 = {AF_INET, {127}, 8};
    static const struct network loopback6 = {
        AF_INET6, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128};
    if (network_has(&loopback4, family, address) || network_has(&loopback6, family, address))
        return true;
    for (size_t i = 0; store->insecure_registries[i]; i++) {
        struct network network;
        if (parse_network(store->insecure_registries[i], &network) == 0 &&
            network_has(&network, family, address))
            return true;
    }
    return false;
}

static bool host_is_listed(const struct image_store *store, const char *host)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    bool listed = false;
    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *item = list; item && !listed; item = item->ai_next) {
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        if (item->ai_family == AF_INET) {
            memcpy(&v4, item->ai_addr, sizeof(v4));
            listed = address_is_listed(store, AF_INET, (const unsigned char *)&v4.sin_addr);
        } else if (item->ai_family == AF_INET6) {
            memcpy(&v6, item->ai_addr, sizeof(v6));
            listed = address_is_listed(store, AF_INET6, (const unsigned char *)&v6.sin6_addr);
        }
    }
    freeaddrinfo(list);
    return listed;
}

bool registry_is_insecure(const struct image_store *store, const char *domain)
{
    CLEANUP_FREE char *host = host_of(domain);
    if (!host || strcmp(domain, HUB_DOMAIN) == 0)
        return false;
    if (strcmp(host, "localhost") == 0 || strv_contains(store->insecure_registries, domain) ||
        strv_contains(store->insecure_registries, host))
        return true;
    return host_is_listed(store, host);
}

static int add(struct registry_endpoint **endpoints, size_t *n, char *base, bool insecure,
               bool mirror)
{
    struct registry_endpoint *grown =
        base ? reallocarray(*endpoints, *n + 1, sizeof(*grown)) : NULL;
    if (!grown) {
        free(base);
        return -ENOMEM;
    }
    for (size_t length = strlen(base); length > 0 && base[length - 1] == '/';)
        base[--length] = '\0';
    *endpoints = grown;
    grown[(*n)++] = (struct registry_endpoint){base, insecure, mirror};
    return 0;
}

int registry_endpoints(const struct image_store *store, const char *domain,
                       struct registry_endpoint **ret, size_t *ret_n, struct error *err)
{
    struct registry_endpoint *endpoints = NULL;
    size_t n = 0;
    int r = 0;
    if (strcmp(domain, HUB_DOMAIN) == 0) {
        for (size_t i = 0; r == 0 && store->mirrors[i]; i++) {
            const char *host = skip_scheme(store->mirrors[i]);
            CLEANUP_FREE char *name = strndup(host, strcspn(host, "/"));
            r = add(&endpoints, &n, strdup(store->mirrors[i]),
                    name && registry_is_insecure(store, name), true);
        }
        if (r == 0)
            r = add(&endpoints, &n, strdup(HUB_HOST), false, false);
    } else {
        bool insecure = registry_is_insecure(store, domain);
        r = add(&endpoints, &n, string_format("https://%s", domain), insecure, false);
        if (r == 0 && insecure)
            r = add(&endpoints, &n, string_format("http://%s", domain), true, false);
    }
    if (r < 0) {
        registry_endpoints_free(endpoints, n);
        return error_oom(err);
    }
    *ret = endpoints;
    *ret_n = n;
    return 0;
}

void registry_endpoints_free(struct registry_endpoint *endpoints, size_t n)
{
    for (size_t i = 0; endpoints && i < n; i++)
        free(endpoints[i].base);
    free(endpoints);
}
