#include "send/config.h"

#include "lib/control.h"

#define LIFETIME_S 604800
#define LIFETIME_MAX_S (UINT64_C(1) << 36)

static int load_number(int homefd, const char *name, uint64_t *value)
{
	return control_u64(homefd, name, value) == CONTROL_ERROR ? -1 : 0;
}

static int load_word(int homefd, const char *name, const char *otherwise,
		     struct str *value)
{
	switch (control_line(homefd, name, value)) {
	case CONTROL_OK:
		return 0;
	case CONTROL_ABSENT:
		str_set_c(value, otherwise);
		return 0;
	case CONTROL_ERROR:
		break;
	}
	return -1;
}

/* Where there is no control/me either, the file's own name is used. */
static int load_host(int homefd, const char *name, struct str *value)
{
	switch (control_line_or_me(homefd, name, value)) {
	case CONTROL_OK:
		return 0;
	case CONTROL_ABSENT:
		str_set_c(value, name);
		return 0;
	case CONTROL_ERROR:
		break;
	}
	return -1;
}

/* *address holds the user; append the host. */
static void join(struct str *address, const struct str *host)
{
	str_append_byte(address, '@');
	str_append(address, str_view(host));
}

static int load_addresses(struct config *config, int homefd, const char **file)
{
	struct str double_host = { 0 };
	int result = -1;

	*file = "bouncehost";
	if (load_host(homefd, *file, &config->bounce_host) == -1)
		goto out;
	*file = "bouncefrom";
	if (load_word(homefd, *file, "MAILER-DAEMON", &config->bounce_from) ==
	    -1)
		goto out;
	join(&config->bounce_from, &config->bounce_host);
	*file = "doublebouncehost";
	if (load_host(homefd, *file, &double_host) == -1)
		goto out;
	*file = "doublebounceto";
	if (load_word(homefd, *file, "postmaster", &config->double_bounce_to) ==
	    -1)
		goto out;
	if (config->double_bounce_to.len)
		join(&config->double_bounce_to, &double_host);
	result = 0;
out:
	str_free(&double_host);
	return result;
}

int config_load(struct config *config, int homefd, const char **file)
{
	uint64_t lifetime = LIFETIME_S;

	*config = (struct config){
		.concurrency_local = 10,
		.concurrency_remote = 20,
	};
	*file = "concurrencylocal";
	if (load_number(homefd, *file, &config->concurrency_local) == -1)
		return -1;
	*file = "concurrencyremote";
	if (load_number(homefd, *file, &config->concurrency_remote) == -1)
		return -1;
	*file = "queuelifetime";
	if (load_number(homefd, *file, &lifetime) == -1)
		return -1;
	config->lifetime_s =
		(int64_t)(lifetime < LIFETIME_MAX_S ? lifetime
						    : LIFETIME_MAX_S);
	return load_addresses(config, homefd, file);
}

void config_free(struct config *config)
{
	str_free(&config->bounce_from);
	str_free(&config->bounce_host);
	str_free(&config->double_bounce_to);
}
