#include "tools/service/scripts.h"

#define HEAD                                                                   \
	"#!/bin/sh\n"                                                          \
	"PATH=@HOME@/bin:$PATH\n"                                              \
	"export PATH\n"

#define SERVER                                                                 \
	HEAD "exec 2>&1 \\\n"                                                  \
	     "envdir ./env \\\n"                                               \
	     "sh -c '\n"                                                       \
	     "    case \"$REMOTENAME\" in h) H=;; p) H=p;; *) H=H;; esac\n"    \
	     "    case \"$REMOTEINFO\" in r) R=;; "                            \
	     "[0-9]*) R=\"t$REMOTEINFO\";; *) R=R;; esac\n"                    \
	     "    exec \\\n"                                                   \
	     "@BECOME@"                                                        \
	     "    softlimit ${DATALIMIT+\"-d$DATALIMIT\"} \\\n"                \
	     "    tcpserver -v@OPTIONS@D\"$H$R\" "                             \
	     "${LOCALNAME+\"-l$LOCALNAME\"} ${BACKLOG+\"-b$BACKLOG\"} "        \
	     "${CONCURRENCY+\"-c$CONCURRENCY\"} \\\n"                          \
	     "    -xtcp.cdb -- \"${IP-0}\" \"${PORT-@PORT@}\" \\\n"            \
	     "    @CHAIN@\n"                                                   \
	     "'\n"

/* Deliveries get nothing of the environment that svscan happens to have. */
#define DELIVERY                                                               \
	HEAD "exec 2>&1 \\\n"                                                  \
	     "envdir ./env \\\n"                                               \
	     "sh -c '\n"                                                       \
	     "    exec \\\n"                                                   \
	     "    softlimit ${DATALIMIT+\"-d$DATALIMIT\"} \\\n"                \
	     "    env - PATH=\"$PATH\" ${LOGLEVEL+\"LOGLEVEL=$LOGLEVEL\"} "    \
	     "${DNSCACHEIP+\"DNSCACHEIP=$DNSCACHEIP\"} \\\n"                   \
	     "    qmail-start ./Maildir/\n"                                    \
	     "'\n"

#define LOG                                                                    \
	HEAD "exec \\\n"                                                       \
	     "envdir ./env \\\n"                                               \
	     "sh -c '\n"                                                       \
	     "    exec \\\n"                                                   \
	     "    setuidgid @LOGACCOUNT@ \\\n"                                 \
	     "    multilog t ${MAXFILESIZE+\"s$MAXFILESIZE\"} "                \
	     "${MAXLOGFILES+\"n$MAXLOGFILES\"} "                               \
	     "${MAXLOGSIZES+\"n$MAXLOGSIZES\"} \\\n"                           \
	     "    ${PROCESSOR+\"!$PROCESSOR\"} ./main\n"                       \
	     "'\n"

#define MAKEFILE                                                               \
	"tcp.cdb: tcp\n"                                                       \
	"\t@HOME@/bin/tcprules tcp.cdb tcp.tmp < tcp\n"

/*
 * Of two rules for the same address the first one counts. Two at once wait for
 * each other: each puts what it read behind its own lines.
 */
#define ADD                                                                    \
	"#!/bin/sh\n"                                                          \
	"# @NAME@ address ...: @PURPOSE@\n"                                    \
	"# An address is what stands before the colon in tcprules(1).\n"       \
	"case $0 in */*) cd \"${0%/*}\" || exit 111 ;; esac\n"                 \
	"if test $# -eq 0; then\n"                                             \
	"    echo \"usage: @NAME@ address ...\" >&2\n"                         \
	"    exit 100\n"                                                       \
	"fi\n"                                                                 \
	"umask 022\n"                                                          \
	"INSTRUCTIONS=':@INSTRUCTIONS@'\n"                                     \
	"export INSTRUCTIONS\n"                                                \
	"exec @HOME@/bin/setlock Makefile sh -c '\n"                           \
	"    if {\n"                                                           \
	"        for address; do\n"                                            \
	"            printf \"%s\\n\" \"$address$INSTRUCTIONS\"\n"             \
	"        done\n"                                                       \
	"        cat tcp\n"                                                    \
	"    } >tcp.new &&\n"                                                  \
	"        @HOME@/bin/tcprules tcp.cdb tcp.tmp <tcp.new\n"               \
	"    then\n"                                                           \
	"        mv tcp.new tcp\n"                                             \
	"    else\n"                                                           \
	"        rm -f tcp.new\n"                                              \
	"        exit 111\n"                                                   \
	"    fi\n"                                                             \
	"' @NAME@ \"$@\"\n"

bool script_is_plain(struct view v)
{
	const struct view marks = VIEW("/._+@%,:-");

	for (size_t i = 0; i < v.len; i++) {
		char c = ascii_lower(v.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    !view_has(marks, c))
			return false;
	}
	return true;
}

/* Names between two @, and what they stand for; ended by one without. */
struct value {
	const char *name;
	struct view is;
};

static const struct value *value_of(const struct value *values,
				    struct view name)
{
	for (; values->name; values++)
		if (view_eq(view_of(values->name), name))
			return values;
	return NULL;
}

/* Append text. Values may hold names of values, as a chain does. */
static void fill(struct str *to, struct view text, const struct value *values)
{
	while (text.len) {
		size_t at = view_find(text, '@');
		struct view rest = view_from(text, at + 1);
		size_t end = view_find(rest, '@');
		const struct value *value =
			value_of(values, view_first(rest, end));

		str_append(to, view_first(text, at));
		if (!value && at < text.len)
			str_append_byte(to, '@');
		else if (value && value->is.len)
			fill(to, value->is, value + 1);
		text = value ? view_from(rest, end + 1) : rest;
	}
}

/* The lines that end as the account; nothing where supervise's stays. */
static void append_become(struct str *text, struct view account)
{
	if (account.len)
		str_appendf(text, "    envuidgid %.*s \\\n", (int)account.len,
			    account.p);
}

void script_run(struct str *text, const struct service *service,
		const struct setting *setting)
{
	struct str become = { 0 };
	struct str options = { 0 };

	append_become(&become, setting->account);
	str_appendf(&options, "%s%s", service->tls ? "s" : "",
		    setting->account.len ? "U" : "");
	const struct value values[] = {
		{ "BECOME", str_view(&become) },
		{ "OPTIONS", str_view(&options) },
		{ "CHAIN", view_of(service->chain) },
		{ "PORT", view_of(service->port) },
		{ "CONTROL", setting->control },
		{ "CHECK", setting->check },
		{ "HOME", setting->home },
		{ NULL, { NULL, 0 } },
	};

	str_reset(text);
	if (service->port)
		fill(text, VIEW(SERVER), values);
	else
		fill(text, VIEW(DELIVERY), values);
	str_free(&become);
	str_free(&options);
}

void script_log(struct str *text, const struct setting *setting)
{
	const struct value values[] = {
		{ "HOME", setting->home },
		{ "LOGACCOUNT", setting->logaccount },
		{ NULL, { NULL, 0 } },
	};

	str_reset(text);
	fill(text, VIEW(LOG), values);
}

void script_makefile(struct str *text, const struct setting *setting)
{
	const struct value values[] = {
		{ "HOME", setting->home },
		{ NULL, { NULL, 0 } },
	};

	str_reset(text);
	fill(text, VIEW(MAKEFILE), values);
}

void script_add(struct str *text, const struct setting *setting,
		const char *name, const char *purpose, const char *instructions)
{
	const struct value values[] = {
		{ "NAME", view_of(name) },
		{ "PURPOSE", view_of(purpose) },
		{ "INSTRUCTIONS", view_of(instructions) },
		{ "HOME", setting->home },
		{ NULL, { NULL, 0 } },
	};

	str_reset(text);
	fill(text, VIEW(ADD), values);
}
