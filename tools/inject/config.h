#ifndef TOOLS_INJECT_CONFIG_H
#define TOOLS_INJECT_CONFIG_H

/*
 * Who sends, and which names complete addresses: the environment first, then
 * the control files, as qmail-inject(8) lists them.
 */

#include "lib/str.h"

struct config {
	struct str default_host;
	struct str default_domain;
	struct str plus_domain;
	struct str id_host;

	struct view user;
	struct view host; /* p NULL: the default host */
	struct view name; /* p NULL: none */
	struct view sender_user;
	struct view sender_host; /* p NULL: the default host */

	/* QMAILINJECT's letters. */
	bool comment_style;      /* c */
	bool ignore_return_path; /* s */
	bool delete_from;        /* f */
	bool delete_message_id;  /* i */
	bool verp_recipient;     /* r */
	bool verp_message;       /* m */
};

/* Exits EXIT_RETRY when a control file cannot be read. */
void config_load(struct config *config, int homefd);
void config_free(struct config *config);

/*
 * Give an address its full domain: the default host where there is none, the
 * plus domain for a final `+`, the default domain where there is no dot. The
 * null sender stays.
 */
void config_complete(const struct config *config, struct str *address,
		     bool has_domain);

/* Append the address of the From field and the default envelope sender. */
void config_from(const struct config *config, struct str *address);
void config_sender(const struct config *config, struct str *address,
		   int64_t now_s, long pid);

#endif
