#include "remote/settings.h"

#include <errno.h>

#include "lib/die.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)

static const char *const files[SETTINGS_FILES] = {
	"control/helohost",       "control/me",
	"control/smtproutes",     "control/timeoutremote",
	"control/timeoutconnect", "control/moreipme",
	"control/notipme",
};

/* RFC 5321 section 4.5.3.2. */
static const struct session_times usual_times = {
	.connect = 60 * SECOND,
	.greeting = 5 * MINUTE,
	.command = 5 * MINUTE,
	.data = 2 * MINUTE,
	.block = 3 * MINUTE,
	.final = 10 * MINUTE,
};

static int bounded_ms(uint64_t seconds)
{
	return seconds > 1000000 ? 1000000 * SECOND : (int)seconds * SECOND;
}

/* A timeoutremote that is there rules all phases, as in qmail. */
static bool read_times(int homefd, struct session_times *times)
{
	uint64_t seconds;

	*times = usual_times;
	switch (control_u64(homefd, "timeoutremote", &seconds)) {
	case CONTROL_OK:
		times->greeting = times->command = times->data = times->block =
			times->final = bounded_ms(seconds);
		break;
	case CONTROL_ABSENT:
		break;
	case CONTROL_ERROR:
		return false;
	}
	switch (control_u64(homefd, "timeoutconnect", &seconds)) {
	case CONTROL_OK:
		times->connect = bounded_ms(seconds);
		return true;
	case CONTROL_ABSENT:
		return true;
	case CONTROL_ERROR:
		break;
	}
	return false;
}

void settings_free(struct settings *set)
{
	str_free(&set->helo);
	control_list_free(&set->routes);
	ownaddress_free(&set->own);
	*set = (struct settings){ 0 };
}

/* One that is no address was meant to be another: better no mail than a loop. */
static bool read_addresses(int homefd, const char *name,
			   struct control_list *list)
{
	struct view rest;
	struct view entry;
	struct ipaddr ip;

	if (control_list(homefd, name, list) == CONTROL_ERROR)
		return false;
	for (rest = control_list_start(list); control_list_next(&rest, &entry);)
		if (!ipaddr_parse(entry, &ip)) {
			errno = EINVAL;
			return false;
		}
	return true;
}

/* Without a name there is nothing to greet with. */
static bool load(struct settings *set, int homefd)
{
	return control_line_or_me(homefd, "helohost", &set->helo) ==
		       CONTROL_OK &&
	       set->helo.len && read_times(homefd, &set->times) &&
	       control_list(homefd, "smtproutes", &set->routes) !=
		       CONTROL_ERROR &&
	       read_addresses(homefd, "moreipme", &set->own.more) &&
	       read_addresses(homefd, "notipme", &set->own.never);
}

/* One that is absent has no times, and is what it is. */
static bool is_settled(const struct filemark *mark)
{
	return mark->ino == 0 || filemark_is_settled(mark);
}

bool settings_renew(struct settings *set, int homefd)
{
	struct filemark now[SETTINGS_FILES];
	bool same = set->is_loaded;

	/* What cannot be looked at cannot be read either: load() says so. */
	for (size_t i = 0; i < SETTINGS_FILES; i++) {
		bool absent = filemark_look(&now[i], homefd, files[i]) == -1;

		same = same && !(absent && errno != ENOENT) &&
		       is_settled(&set->marks[i]) &&
		       filemark_same(&set->marks[i], &now[i]);
	}
	if (same)
		return true;
	settings_free(set);
	if (!load(set, homefd)) {
		warn_errno("cannot read control files");
		settings_free(set);
		return false;
	}
	for (size_t i = 0; i < SETTINGS_FILES; i++)
		set->marks[i] = now[i];
	set->is_loaded = true;
	return true;
}
