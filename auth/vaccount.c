#include "auth/vaccount.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/home.h"
#include "lib/vname.h"

static enum control_result vpopmail_default(int homefd, struct str *domain)
{
	struct str path = { 0 };
	struct control_list list = { 0 };
	enum control_result result = CONTROL_ERROR;
	struct str text = { 0 };

	if (home_vpopmail(homefd, &path) == 0) {
		str_append_c(&path, "/etc/defaultdomain");
		result = control_read(AT_FDCWD, str_c(&path), &text, 4096);
	}
	if (result == CONTROL_OK) {
		struct view rest;
		struct view entry;

		control_list_parse(&list, str_view(&text));
		rest = control_list_start(&list);
		result = CONTROL_ABSENT;
		if (control_list_next(&rest, &entry)) {
			str_set(domain, entry);
			result = CONTROL_OK;
		}
	}
	control_list_free(&list);
	str_free(&path);
	str_free(&text);
	return result;
}

/* CONTROL_ABSENT leaves it empty, which is no domain. */
static enum control_result default_domain(int homefd, struct str *domain)
{
	enum control_result result = vpopmail_default(homefd, domain);

	if (result == CONTROL_ABSENT)
		result = control_line(homefd, "defaultdomain", domain);
	return result;
}

/* false: no account can have this name; or -1 for trouble. */
static int split(int homefd, struct view login, struct vaccount *a)
{
	struct str fallback = { 0 };
	struct view user;
	struct view domain;
	int result = 0;

	vname_split(login, &user, &domain);
	if (!domain.p) {
		if (default_domain(homefd, &fallback) == CONTROL_ERROR)
			result = -1;
		domain = str_view(&fallback);
	}
	if (result == 0)
		result = vname_user(user, &a->user) == VNAME_OK &&
			 vname_domain(domain, &a->domain_name) == VNAME_OK;
	str_free(&fallback);
	return result;
}

static enum vaccount_result find_user(struct vaccount *a)
{
	int fd = vdomain_open(&a->domain);
	enum vpasswd_result result;
	int error;

	if (fd == -1)
		return VACCOUNT_ERROR;
	result = vpasswd_find(fd, str_view(&a->user), &a->space, &a->record);
	error = errno;
	close(fd);
	errno = error;
	switch (result) {
	case VPASSWD_FOUND:
		return VACCOUNT_FOUND;
	case VPASSWD_MISSING:
		return VACCOUNT_UNKNOWN;
	case VPASSWD_ERROR:
		break;
	}
	return VACCOUNT_ERROR;
}

enum vaccount_result vaccount_find(int homefd, struct view login,
				   struct vaccount *a)
{
	*a = (struct vaccount){ 0 };
	switch (split(homefd, login, a)) {
	case 0:
		return VACCOUNT_UNKNOWN;
	case 1:
		break;
	default:
		return VACCOUNT_ERROR;
	}
	switch (vdomain_find(homefd, str_view(&a->domain_name), &a->domain)) {
	case VDOMAIN_FOUND:
		return find_user(a);
	case VDOMAIN_MISSING:
		return VACCOUNT_UNKNOWN;
	case VDOMAIN_ERROR:
		break;
	}
	return VACCOUNT_ERROR;
}

void vaccount_free(struct vaccount *a)
{
	str_free(&a->user);
	str_free(&a->domain_name);
	vdomain_free(&a->domain);
	str_wipe(&a->space);
	a->record = (struct vpasswd_record){ 0 };
}
