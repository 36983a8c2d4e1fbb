#include "net/files.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include <arpa/inet.h>
#include <ctype.h>

enum {
    ADDRESS_MAX = 64,  /* characters of an address with a scope, "fe80::1%eth0" */
    HOSTNAME_MAX = 64, /* HOST_NAME_MAX of sethostname(2) */
    LABEL_MAX = 63,    /* RFC 1035 2.3.4 */
};

/* --- resolv.conf --- */

/* An IPv4 or IPv6 address; the latter may have a scope ("fe80::1%eth0"). */
static bool is_address(const char *text)
{
    unsigned char bytes[16];
    char copy[ADDRESS_MAX];
    char *scope;

    if (!string_copy(copy, sizeof(copy), text))
        return false;
    scope = strchr(copy, '%');
    if (inet_pton(AF_INET, copy, bytes) == 1)
        return true;
    if (scope)
        *scope = '\0';
    return inet_pton(AF_INET6, copy, bytes) == 1;
}

static bool is_loopback(const char *address)
{
    return string_starts_with(address, "127.") || string_equal(address, "::1");
}

/* One word that cannot end the line or start another. */
static bool is_word(const char *text)
{
    if (string_is_empty(text))
        return false;
    for (; *text; text++) {
        if (!isgraph((unsigned char)*text))
            return false;
    }
    return true;
}

/* What a host's file says, by resolv.conf(5): all nameservers, the last search line, all options.
 */
struct resolv_conf {
    char **servers;
    char **search;
    char **options;
};

static void resolv_conf_release(struct resolv_conf *conf)
{
    strv_free(conf->servers);
    strv_free(conf->search);
    strv_free(conf->options);
}

/* Appends the words of a line to *words, at most NET_DNS_MAX of them. */
static int add_words(char ***words, char *line)
{
    char *word;

    while ((word = strsep(&line, " \t\r\v\f"))) {
        if (!*word || strv_length(*words) >= NET_DNS_MAX)
            continue;
        if (strv_append(words, word) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int parse_line(struct resolv_conf *conf, char *line)
{
    char *rest = line;
    char *keyword;

    line[strcspn(line, "#;")] = '\0';
    rest += strspn(rest, " \t");
    keyword = strsep(&rest, " \t");
    if (!rest)
        return 0;
    if (strcmp(keyword, "nameserver") == 0) {
        char *address = rest + strspn(rest, " \t");

        address[strcspn(address, " \t\r")] = '\0';
        if (!is_address(address) || is_loopback(address))
            return 0;
        return add_words(&conf->servers, address);
    }
    if (strcmp(keyword, "search") == 0 || strcmp(keyword, "domain") == 0) {
        strv_free(TAKE_PTR(conf->search));
        return add_words(&conf->search, rest);
    }
    if (strcmp(keyword, "options") == 0)
        return add_words(&conf->options, rest);
    return 0;
}

static int parse_resolv_conf(const char *text, struct resolv_conf *conf)
{
    CLEANUP_FREE char *copy = strdup(string_or(text, ""));
    char *rest = copy;
    char *line;

    if (!copy)
        return -ENOMEM;
    while ((line = strsep(&rest, "\n"))) {
        if (parse_line(conf, line) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int check_resolv_config(const struct net_resolv_config *config, struct error *err)
{
    if (strv_length(config->servers) > NET_DNS_MAX || strv_length(config->search) > NET_DNS_MAX ||
        strv_length(config->options) > NET_DNS_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d DNS settings", (int)NET_DNS_MAX);
    for (size_t i = 0; config->servers && config->servers[i]; i++) {
        if (!is_address(config->servers[i]))
            return error_set_class(err, ERROR_INVALID, "bad nameserver address: %.64s",
                                   config->servers[i]);
    }
    for (size_t i = 0; config->search && config->search[i]; i++) {
        if (!is_word(config->search[i]))
            return error_set_class(err, ERROR_INVALID, "bad DNS search domain: '%.64s'",
                                   config->search[i]);
    }
    for (size_t i = 0; config->options && config->options[i]; i++) {
        if (!is_word(config->options[i]))
            return error_set_class(err, ERROR_INVALID, "bad DNS option: '%.64s'",
                                   config->options[i]);
    }
    return 0;
}

static int append_words(struct buffer *output, const char *keyword, char *const *words)
{
    CLEANUP_FREE char *line = NULL;

    if (strv_length(words) == 0)
        return 0;
    line = strv_join(words, " ");
    return line ? buffer_printf(output, "%s %s\n", keyword, line) : -ENOMEM;
}

static int append_servers(struct buffer *output, char *const *servers)
{
    int r = 0;

    if (strv_length(servers) == 0)
        return buffer_append_string(output, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    for (size_t i = 0; r == 0 && servers[i]; i++)
        r = buffer_printf(output, "nameserver %s\n", servers[i]);
    return r;
}

int net_resolv_conf(const char *host_text, const struct net_resolv_config *config,
                    struct buffer *output, struct error *err)
{
    CLEANUP(resolv_conf_release) struct resolv_conf host = {0};
    char *const *search = config->search;
    int r = check_resolv_config(config, err);

    if (r < 0)
        return r;
    r = parse_resolv_conf(host_text, &host);
    if (strv_length(search) == 0)
        search = host.search;
    else if (strv_length(search) == 1 && strcmp(search[0], ".") == 0)
        search = NULL;
    if (r == 0)
        r = append_servers(output, strv_length(config->servers) ? config->servers : host.servers);
    if (r == 0)
        r = append_words(output, "search", search);
    if (r == 0)
        r = append_words(output, "options",
                         strv_length(config->options) ? config->options : host.options);
    return r < 0 ? error_set_errno(err, r, "cannot make resolv.conf") : 0;
}

const char *net_resolv_conf_path(const char *etc_text)
{
    static const char stub[] = "nameserver 127.0.0.53";
    bool seen = false;

    for (const char *line = string_or(etc_text, ""); line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (string_starts_with(line, stub))
            seen = true;
        else if (string_starts_with(line, "nameserver "))
            return "/etc/resolv.conf";
    }
    return seen ? "/run/systemd/resolve/resolv.conf" : "/etc/resolv.conf";
}

/* --- hosts --- */

/* As docker's opts.ValidateExtraHost: "name:address"; the address may hold colons. */
static int append_extra(struct buffer *output, const char *text, const char *gateway,
                        struct error *err)
{
    CLEANUP_FREE char *name = strdup(text);
    char *address;

    if (!name)
        return error_oom(err);
    address = strchr(name, ':');
    if (!address || address == name)
        return error_set_class(err, ERROR_INVALID, "bad format for add-host: %.128s", text);
    *address++ = '\0';
    if (strcmp(address, "host-gateway") == 0) {
        if (!gateway)
            return error_set_class(err, ERROR_INVALID,
                                   "unable to derive the IP value for host-gateway");
    } else if (!is_address(address)) {
        return error_set_class(err, ERROR_INVALID, "invalid IP address in add-host: %.64s",
                               address);
    }
    if (!is_word(name))
        return error_set_class(err, ERROR_INVALID, "bad format for add-host: %.128s", text);
    if (buffer_printf(output, "%s\t%s\n",
                      strcmp(address, "host-gateway") == 0 ? string_or(gateway, "") : address,
                      name) < 0)
        return error_set(err, -EOVERFLOW, "the hosts file is too long");
    return 0;
}

static int append_own(struct buffer *output, const struct net_hosts_config *config)
{
    if (!config->address)
        return 0;
    if (!string_is_empty(config->domain))
        return buffer_printf(output, "%s\t%s.%s %s\n", config->address, config->hostname,
                             config->domain, config->hostname);
    return buffer_printf(output, "%s\t%s\n", config->address, config->hostname);
}

int net_hosts(const struct net_hosts_config *config, struct buffer *output, struct error *err)
{
    int r;

    if (config->address && (!is_address(config->address) || !is_word(config->hostname) ||
                            (!string_is_empty(config->domain) && !is_word(config->domain))))
        return error_set_class(err, ERROR_INVALID, "bad host name or address for /etc/hosts");
    if (strv_length(config->extra) > NET_HOSTS_EXTRA_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d add-host entries",
                               (int)NET_HOSTS_EXTRA_MAX);
    r = buffer_append_string(output, "127.0.0.1\tlocalhost\n"
                                     "::1\tlocalhost ip6-localhost ip6-loopback\n"
                                     "fe00::\tip6-localnet\n"
                                     "ff00::\tip6-mcastprefix\n"
                                     "ff02::1\tip6-allnodes\n"
                                     "ff02::2\tip6-allrouters\n");
    if (r < 0)
        return error_set_errno(err, r, "cannot make /etc/hosts");
    for (size_t i = 0; config->extra && config->extra[i]; i++) {
        r = append_extra(output, config->extra[i], config->gateway, err);
        if (r < 0)
            return r;
    }
    r = append_own(output, config);
    return r < 0 ? error_set_errno(err, r, "cannot make /etc/hosts") : 0;
}

/* --- hostname --- */

static bool hostname_is_valid(const char *hostname)
{
    size_t label = 0;

    if (string_is_empty(hostname) || strlen(hostname) > HOSTNAME_MAX)
        return false;
    for (const char *c = hostname; *c; c++) {
        if (*c == '.') {
            if (label == 0 || c[-1] == '-')
                return false;
            label = 0;
        } else if (!isascii((unsigned char)*c) ||
                   (!isalnum((unsigned char)*c) && *c != '_' && (*c != '-' || label == 0))) {
            return false;
        } else if (++label > LABEL_MAX) {
            return false;
        }
    }
    return label > 0 && hostname[strlen(hostname) - 1] != '-';
}

int net_hostname(const char *hostname, struct buffer *output, struct error *err)
{
    int r;

    if (!hostname_is_valid(hostname))
        return error_set_class(err, ERROR_INVALID, "invalid hostname: '%.64s'",
                               string_or(hostname, ""));
    r = buffer_printf(output, "%s\n", hostname);
    return r < 0 ? error_set_errno(err, r, "cannot make /etc/hostname") : 0;
}
