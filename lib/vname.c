#include "lib/vname.h"

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Files of a domain's directory that are no mailbox. */
static bool is_taken(struct view name)
{
	return view_eq(name, VIEW("vpasswd")) ||
	       view_starts(name, VIEW("vpasswd.")) ||
	       view_eq(name, VIEW("cdb.tmp"));
}

static bool user_is_good(struct view name)
{
	if (name.len == 0 || name.p[0] == '.' || name.p[0] == '-' ||
	    is_taken(name))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (name.p[i] == '.' && i > 0 && name.p[i - 1] == '.')
			return false;
		if (!is_letter_or_digit(name.p[i]) &&
		    !view_has(VIEW("-_.+=#~&'"), name.p[i]))
			return false;
	}
	return true;
}

static bool label_is_good(struct view label)
{
	if (label.len == 0 || label.len > 63 || label.p[0] == '-' ||
	    label.p[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!is_letter_or_digit(label.p[i]) && label.p[i] != '-')
			return false;
	return true;
}

static bool domain_is_good(struct view name)
{
	while (name.p)
		if (!label_is_good(view_cut(&name, '.')))
			return false;
	return true;
}

enum vname_result vname_user(struct view name, struct str *user)
{
	if (name.len > VNAME_USER_MAX)
		return VNAME_TOO_LONG;
	str_set(user, name);
	str_lower(user);
	return user_is_good(str_view(user)) ? VNAME_OK : VNAME_BAD;
}

enum vname_result vname_domain(struct view name, struct str *domain)
{
	if (name.len > VNAME_DOMAIN_MAX)
		return VNAME_TOO_LONG;
	if (name.len == 0)
		return VNAME_BAD;
	str_set(domain, name);
	str_lower(domain);
	return domain_is_good(str_view(domain)) ? VNAME_OK : VNAME_BAD;
}

void vname_split(struct view address, struct view *user, struct view *domain)
{
	static const char separators[] = "@%/";

	for (const char *c = separators; *c; c++) {
		size_t at = view_find_last(address, *c);

		if (at == address.len)
			continue;
		*user = view_first(address, at);
		*domain = view_from(address, at + 1);
		return;
	}
	*user = address;
	*domain = (struct view){ 0 };
}
