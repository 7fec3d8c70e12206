#include "rspawn/nexthop.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/route.h"

void nexthop_free(struct nexthop *n)
{
	control_list_free(&n->routes);
	*n = (struct nexthop){ .homefd = n->homefd };
}

/* An absent file has a mark of zeroes, and needs no time to settle. */
static bool is_current(const struct nexthop *n, const struct filemark *now)
{
	return n->is_loaded && filemark_same(&n->mark, now) &&
	       (now->ino == 0 || filemark_is_settled(&n->mark));
}

/* False when nobody knows the routes: qmail-remote will say so. */
static bool renew(struct nexthop *n)
{
	struct filemark now;

	if (filemark_look(&now, n->homefd, "control/smtproutes") == -1 &&
	    errno != ENOENT) {
		nexthop_free(n);
		return false;
	}
	if (is_current(n, &now))
		return true;
	nexthop_free(n);
	n->is_loaded = control_list(n->homefd, "smtproutes", &n->routes) !=
		       CONTROL_ERROR;
	n->mark = now;
	return n->is_loaded;
}

/* Another file of this name is another one in a sandbox. */
static void add_identity(struct str *key, int dirfd, const char *path)
{
	struct filemark mark;

	/* One that is absent has zeroes. */
	if (filemark_look(&mark, dirfd, path) == -1)
		mark = (struct filemark){ 0 };
	str_appendf(key, " %llu:%llu", (unsigned long long)mark.dev,
		    (unsigned long long)mark.ino);
}

void nexthop_key(struct nexthop *n, struct view host, struct str *key)
{
	struct route route;

	str_reset(key);
	if (!renew(n) || !route_find(&n->routes, host, &route))
		return;
	str_append(key, route.relay.len ? route.relay : host);
	str_lower(key);
	str_appendf(key, "%s%u", route.relay.len ? " by " : " ", route.port);
	add_identity(key, n->homefd, "control");
	add_identity(key, AT_FDCWD, "/etc/hosts");
	add_identity(key, AT_FDCWD, "/etc/resolv.conf");
}
