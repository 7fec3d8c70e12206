#include "lib/rewrite.h"

#include <errno.h>

/* ---- loading ---- */

static int load_list(int homefd, const char *name, bool valued,
		     struct namemap *map)
{
	struct control_list list = { 0 };

	if (control_list(homefd, name, &list) == CONTROL_ERROR) {
		control_list_free(&list);
		return -1;
	}
	namemap_build(map, &list, valued);
	return 0;
}

/*
 * An absent control/locals means control/me; an empty one, nothing. Without
 * both there is no telling what is local.
 */
static int load_locals(int homefd, struct namemap *map)
{
	struct control_list list = { 0 };
	struct str me = { 0 };
	enum control_result result = control_list(homefd, "locals", &list);

	if (result == CONTROL_ABSENT) {
		result = control_line(homefd, "me", &me);
		if (result == CONTROL_OK)
			control_list_parse(&list, str_view(&me));
		str_free(&me);
	}
	if (result == CONTROL_ABSENT)
		errno = ENOENT;
	if (result != CONTROL_OK) {
		control_list_free(&list);
		return -1;
	}
	namemap_build(map, &list, false);
	return 0;
}

int rewrite_reload(struct rewrite *rewrite, int homefd, const char **file)
{
	struct namemap locals = { 0 };
	struct namemap virtualdomains = { 0 };

	*file = "locals";
	if (load_locals(homefd, &locals) == -1)
		return -1;
	*file = "virtualdomains";
	if (load_list(homefd, "virtualdomains", true, &virtualdomains) == -1) {
		namemap_free(&locals);
		return -1;
	}
	namemap_free(&rewrite->locals);
	namemap_free(&rewrite->virtualdomains);
	rewrite->locals = locals;
	rewrite->virtualdomains = virtualdomains;
	return 0;
}

int rewrite_load(struct rewrite *rewrite, int homefd, const char **file)
{
	*file = "envnoathost";
	switch (control_line_or_me(homefd, "envnoathost",
				   &rewrite->envnoathost)) {
	case CONTROL_OK:
		break;
	case CONTROL_ABSENT:
		str_set_c(&rewrite->envnoathost, "envnoathost");
		break;
	case CONTROL_ERROR:
		return -1;
	}
	*file = "percenthack";
	if (load_list(homefd, "percenthack", false, &rewrite->percenthack) ==
	    -1)
		return -1;
	return rewrite_reload(rewrite, homefd, file);
}

void rewrite_free(struct rewrite *rewrite)
{
	str_free(&rewrite->envnoathost);
	namemap_free(&rewrite->percenthack);
	namemap_free(&rewrite->locals);
	namemap_free(&rewrite->virtualdomains);
}

/* ---- looking up ---- */

static struct view domain_of(struct view address)
{
	return view_from(address, view_find_last(address, '@') + 1);
}

/*
 * Rule 2: user%inner@hack becomes user@inner, again and again. What follows
 * the byte just changed is the next domain, even if it holds another `@`.
 */
static void undo_percents(const struct rewrite *rewrite, struct str *address)
{
	size_t at = view_find_last(str_view(address), '@');

	while (namemap_find(&rewrite->percenthack,
			    view_from(str_view(address), at + 1), NULL)) {
		struct view local = view_first(str_view(address), at);
		size_t percent = view_find_last(local, '%');

		if (percent == local.len)
			return;
		str_truncate(address, at);
		address->p[percent] = '@';
		at = percent;
	}
}

/* Rule 4. */
static bool find_virtual(const struct rewrite *rewrite, struct view address,
			 struct view *prepend)
{
	const struct namemap *map = &rewrite->virtualdomains;
	struct view domain = domain_of(address);

	if (namemap_find(map, address, prepend) ||
	    namemap_find(map, domain, prepend))
		return true;
	for (size_t i = 0; i < domain.len; i++)
		if (domain.p[i] == '.' &&
		    namemap_find(map, view_from(domain, i), prepend))
			return true;
	return namemap_find(map, VIEW(""), prepend);
}

enum rewrite_kind rewrite_address(const struct rewrite *rewrite,
				  struct view address, struct str *plain,
				  struct str *target)
{
	struct view prepend;

	str_set(plain, address);
	if (!view_has(address, '@')) {
		str_append_byte(plain, '@');
		str_append(plain, str_view(&rewrite->envnoathost));
	}
	undo_percents(rewrite, plain);
	str_reset(target);
	if (namemap_find(&rewrite->locals, domain_of(str_view(plain)), NULL)) {
		str_append(target, str_view(plain));
		return REWRITE_LOCAL;
	}
	if (find_virtual(rewrite, str_view(plain), &prepend) && prepend.len) {
		str_append(target, prepend);
		str_append_byte(target, '-');
		str_append(target, str_view(plain));
		return REWRITE_LOCAL;
	}
	str_append(target, str_view(plain));
	return REWRITE_REMOTE;
}
