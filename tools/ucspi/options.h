#ifndef TOOLS_UCSPI_OPTIONS_H
#define TOOLS_UCSPI_OPTIONS_H

/*
 * tcpserver's command line. Everything here is set once, at start, and only
 * read afterwards; strings are borrowed from argv and the environment.
 */

#include <sys/types.h>

#include "tools/ucspi/netlist.h"
#include "tools/ucspi/option.h"

struct options {
	struct common_options common;
	unsigned limit;         /* -c: connections at a time */
	unsigned per_address;   /* -C: 0: any number */
	unsigned per_network;   /* -M: the same */
	unsigned network_bits;  /* what a network is, for -M and MAXCONNC */
	unsigned network_bits6; /* in IPv6 */
	unsigned backlog;       /* -b */
	struct netlist proxies; /* -F */
	const char *rules;      /* -x; NULL: none */
	bool rules_optional;
	bool keep_ip_options;
	bool paranoid;
	bool print_port;
	struct view banner;
	bool change_uid;
	uid_t uid;
	bool change_gid;
	gid_t gid;
	const char *host;
	const char *port;
	char *const *program;
};

/* Complains and exits EXIT_REJECT when the command line is wrong. */
void options_parse(struct options *o, int argc, char **argv);

#endif
