#ifndef SEND_CONFIG_H
#define SEND_CONFIG_H

/*
 * What control/ tells qmail-send, apart from lib/rewrite.h: read once, at
 * the start, as in qmail.
 */

#include <stdint.h>

#include "lib/str.h"

struct config {
	uint64_t concurrency_local;
	uint64_t concurrency_remote;
	int64_t lifetime_s;
	struct str bounce_from; /* user@host */
	struct str bounce_host;
	struct str double_bounce_to; /* user@host; empty: to nobody */
};

/* 0, or -1 with errno and in *file the name of what cannot be read. */
int config_load(struct config *config, int homefd, const char **file) MUST_USE;
void config_free(struct config *config);

#endif
