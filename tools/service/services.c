#include "tools/service/services.h"

/* Anybody may bring mail for us; this host may send it anywhere. */
#define RELAYS_LOCALLY                                                         \
	"127.:allow,RELAYCLIENT=\"\"\n"                                        \
	"::1:allow,RELAYCLIENT=\"\"\n"                                         \
	":allow\n"
/* Who is not listed is none of ours. */
#define SUBMITS_LOCALLY                                                        \
	"127.:allow,RELAYCLIENT=\"\"\n"                                        \
	"::1:allow,RELAYCLIENT=\"\"\n"                                         \
	":deny\n"
#define ONLY_LOCALLY                                                           \
	"127.:allow\n"                                                         \
	"::1:allow\n"                                                          \
	":deny\n"

#define POP3_CHAIN                                                             \
	"qmail-popup \"${POPUPHOST-`sed 1q @CONTROL@/me`}\" @CHECK@ "          \
	"qmail-pop3d \"${MAILDIRNAME-Maildir}\""
#define IMAP_CHAIN "imaplogin @CHECK@ imapd \"${MAILDIRNAME-Maildir}\""

/* What tcpserver hands connections to that begin with TLS. */
#define TLS_PROGRAM "tcptls"

static const struct service services[] = {
	{
		.name = "qmail-delivery-conf",
		.needs = { "qmail-start" },
		.variables = { "env/DNSCACHEIP" },
	},
	{
		.name = "qmail-smtpd-conf",
		.port = "25",
		.rules = RELAYS_LOCALLY,
		.chain = "qmail-smtpd",
		.needs = { "qmail-smtpd" },
	},
	{
		.name = "qmail-smtpdssl-conf",
		.port = "465",
		.rules = SUBMITS_LOCALLY,
		.chain = "qmail-smtpd",
		.needs = { "qmail-smtpd", TLS_PROGRAM },
		.tls = true,
	},
	{
		.name = "qmail-submission-conf",
		.port = "587",
		.rules = SUBMITS_LOCALLY,
		.chain = "qmail-smtpd",
		.needs = { "qmail-smtpd" },
	},
	{
		.name = "qmail-pop3d-conf",
		.port = "110",
		.rules = ONLY_LOCALLY,
		.chain = POP3_CHAIN,
		.needs = { "qmail-popup", "qmail-pop3d" },
		.variables = { "env/POPUPHOST", "env/MAILDIRNAME" },
		.logs_in = true,
	},
	{
		.name = "qmail-pop3dssl-conf",
		.port = "995",
		.rules = ONLY_LOCALLY,
		.chain = POP3_CHAIN,
		.needs = { "qmail-popup", "qmail-pop3d", TLS_PROGRAM },
		.variables = { "env/POPUPHOST", "env/MAILDIRNAME" },
		.logs_in = true,
		.tls = true,
	},
	{
		.name = "imapd-conf",
		.port = "143",
		.rules = ONLY_LOCALLY,
		.chain = IMAP_CHAIN,
		.needs = { "imaplogin", "imapd" },
		.variables = { "env/MAILDIRNAME" },
		.logs_in = true,
	},
	{
		.name = "imapdssl-conf",
		.port = "993",
		.rules = ONLY_LOCALLY,
		.chain = IMAP_CHAIN,
		.needs = { "imaplogin", "imapd", TLS_PROGRAM },
		.variables = { "env/MAILDIRNAME" },
		.logs_in = true,
		.tls = true,
	},
	{
		.name = "qmail-qmtpd-conf",
		.port = "209",
		.rules = RELAYS_LOCALLY,
		.chain = "qmail-qmtpd",
		.needs = { "qmail-qmtpd" },
	},
	{
		.name = "qmail-qmqpd-conf",
		.port = "628",
		.rules = ONLY_LOCALLY,
		.chain = "qmail-qmqpd",
		.needs = { "qmail-qmqpd" },
	},
};

const struct service *service_find(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(services); i++)
		if (view_eq(view_of(services[i].name), view_of(name)))
			return &services[i];
	return NULL;
}
