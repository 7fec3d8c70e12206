#include "tools/inject/config.h"

#include <stdlib.h>

#include "lib/control.h"
#include "lib/die.h"

/* Variable, control file, control/me, and failing all the file's own name. */
static void load_name(struct str *to, int homefd, const char *variable,
		      const char *file)
{
	const char *value = getenv(variable);

	if (value) {
		str_set_c(to, value);
		return;
	}
	switch (control_line_or_me(homefd, file, to)) {
	case CONTROL_OK:
		break;
	case CONTROL_ABSENT:
		str_set_c(to, file);
		break;
	case CONTROL_ERROR:
		die_errno(EXIT_RETRY, "fatal: unable to read control/%s", file);
	}
	if (to->len == 0)
		str_set_c(to, file);
}

/* The first variable that is set, or p NULL. */
static struct view first_set(const char *const *variables, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = getenv(variables[i]);

		if (value)
			return view_of(value);
	}
	return (struct view){ 0 };
}

static void load_user(struct config *config)
{
	static const char *const users[] = { "QMAILUSER", "MAILUSER", "USER",
					     "LOGNAME" };
	static const char *const hosts[] = { "QMAILHOST", "MAILHOST" };
	static const char *const names[] = { "QMAILNAME", "MAILNAME", "NAME" };
	const char *value;

	config->user = first_set(users, COUNT_OF(users));
	if (config->user.len == 0)
		config->user = VIEW("anonymous");
	config->host = first_set(hosts, COUNT_OF(hosts));
	config->name = first_set(names, COUNT_OF(names));
	value = getenv("QMAILSUSER");
	config->sender_user = value ? view_of(value) : config->user;
	value = getenv("QMAILSHOST");
	config->sender_host = value ? view_of(value) : config->host;
}

void config_load(struct config *config, int homefd)
{
	struct view letters = view_of(getenv("QMAILINJECT"));

	*config = (struct config){
		.comment_style = view_has(letters, 'c'),
		.ignore_return_path = view_has(letters, 's'),
		.delete_from = view_has(letters, 'f'),
		.delete_message_id = view_has(letters, 'i'),
		.verp_recipient = view_has(letters, 'r'),
		.verp_message = view_has(letters, 'm'),
	};
	load_user(config);
	load_name(&config->default_domain, homefd, "QMAILDEFAULTDOMAIN",
		  "defaultdomain");
	load_name(&config->default_host, homefd, "QMAILDEFAULTHOST",
		  "defaulthost");
	load_name(&config->plus_domain, homefd, "QMAILPLUSDOMAIN",
		  "plusdomain");
	load_name(&config->id_host, homefd, "QMAILIDHOST", "idhost");
}

void config_free(struct config *config)
{
	str_free(&config->default_host);
	str_free(&config->default_domain);
	str_free(&config->plus_domain);
	str_free(&config->id_host);
	*config = (struct config){ 0 };
}

void config_complete(const struct config *config, struct str *address,
		     bool has_domain)
{
	struct view domain;

	if (address->len == 0)
		return;
	if (!has_domain) {
		str_append_byte(address, '@');
		str_append(address, str_view(&config->default_host));
	}
	domain = str_view(address);
	domain = view_from(domain, view_find_last(domain, '@') + 1);
	if (view_starts(domain, VIEW("[")))
		return;
	if (view_ends(domain, VIEW("+"))) {
		str_truncate(address, address->len - 1);
		str_append_byte(address, '.');
		str_append(address, str_view(&config->plus_domain));
	} else if (!view_has(domain, '.')) {
		str_append_byte(address, '.');
		str_append(address, str_view(&config->default_domain));
	}
}

/* user@host, the user's part complete but for the domain. */
static void finish(const struct config *config, struct str *address,
		   struct view host)
{
	if (host.p) {
		str_append_byte(address, '@');
		str_append(address, host);
	}
	config_complete(config, address, host.p != NULL);
}

void config_from(const struct config *config, struct str *address)
{
	str_append(address, config->user);
	finish(config, address, config->host);
}

void config_sender(const struct config *config, struct str *address,
		   int64_t now_s, long pid)
{
	str_append(address, config->sender_user);
	if (config->verp_message)
		str_appendf(address, "-%lld.%ld", (long long)now_s, pid);
	if (config->verp_recipient)
		str_append_byte(address, '-');
	finish(config, address, config->sender_host);
	if (config->verp_recipient)
		str_append_c(address, "-@[]");
}
