#include "cli/ports.h"

#include "base/cleanup.h"
#include "base/strings.h"

#include <stdlib.h>
#include <string.h>

struct port {
    const char *ip;
    const char *type;
    int inside;
    int outside;
};

/* Ports that continue each other, of one address and protocol. */
struct range {
    const char *ip;
    const char *type;
    int first;
    int last;
};

static int compare(const void *a, const void *b)
{
    const struct port *x = a;
    const struct port *y = b;

    if (x->inside != y->inside)
        return x->inside < y->inside ? -1 : 1;
    if (strcmp(x->ip, y->ip) != 0)
        return strcmp(x->ip, y->ip);
    if (x->outside != y->outside)
        return x->outside < y->outside ? -1 : 1;
    return strcmp(x->type, y->type);
}

static int append_range(char ***parts, const struct range *range)
{
    bool six = strchr(range->ip, ':');
    char numbers[32];

    if (range->first == range->last)
        snprintf(numbers, sizeof(numbers), "%d", range->first);
    else
        snprintf(numbers, sizeof(numbers), "%d-%d", range->first, range->last);
    if (!*range->ip)
        return strv_appendf(parts, "%s/%s", numbers, range->type);
    return strv_appendf(parts, "%s%s%s:%s->%s/%s", six ? "[" : "", range->ip, six ? "]" : "",
                        numbers, numbers, range->type);
}

static size_t read_ports(const json_t *list, struct port *ports)
{
    json_t *item = NULL;
    size_t n = 0;
    size_t i = 0;

    json_array_foreach (list, i, item) {
        if (n >= PORTS_MAX)
            break;
        ports[n].ip = string_or(json_string_value(json_object_get(item, "IP")), "");
        ports[n].type = string_or(json_string_value(json_object_get(item, "Type")), "tcp");
        ports[n].inside = (int)(json_integer_value(json_object_get(item, "PrivatePort")) & 0xffff);
        ports[n].outside = (int)(json_integer_value(json_object_get(item, "PublicPort")) & 0xffff);
        n++;
    }
    qsort(ports, n, sizeof(*ports), compare);
    return n;
}

/* Adds a port to the range of its kind; a range that it does not continue goes to `parts`. */
static int add_to_ranges(struct range *ranges, size_t *n_ranges, const struct port *port,
                         char ***parts)
{
    int r = 0;

    for (size_t i = 0; i < *n_ranges; i++) {
        if (!string_equal(ranges[i].ip, port->ip) || !string_equal(ranges[i].type, port->type))
            continue;
        if (port->inside != ranges[i].last + 1) {
            r = append_range(parts, &ranges[i]);
            ranges[i].first = port->inside;
        }
        ranges[i].last = port->inside;
        return r;
    }
    ranges[(*n_ranges)++] = (struct range){port->ip, port->type, port->inside, port->inside};
    return 0;
}

char *ports_text(const json_t *list)
{
    CLEANUP_FREE struct port *ports = calloc(PORTS_MAX, sizeof(*ports));
    CLEANUP_FREE struct range *ranges = calloc(PORTS_MAX, sizeof(*ranges));
    CLEANUP_STRV char **parts = NULL;
    CLEANUP_STRV char **mapped = NULL;
    size_t n_ranges = 0;
    size_t n = 0;
    int r = 0;

    if (!ports || !ranges)
        return NULL;
    n = read_ports(list, ports);
    for (size_t i = 0; i < n && r >= 0; i++) {
        bool six = strchr(ports[i].ip, ':');

        if (*ports[i].ip && ports[i].outside != ports[i].inside)
            r = strv_appendf(&mapped, "%s%s%s:%d->%d/%s", six ? "[" : "", ports[i].ip,
                             six ? "]" : "", ports[i].outside, ports[i].inside, ports[i].type);
        else
            r = add_to_ranges(ranges, &n_ranges, &ports[i], &parts);
    }
    for (size_t i = 0; i < n_ranges && r >= 0; i++)
        r = append_range(&parts, &ranges[i]);
    if (r >= 0)
        r = strv_extend(&parts, mapped);
    if (r < 0)
        return NULL;
    return parts ? strv_join(parts, ", ") : strdup("");
}
