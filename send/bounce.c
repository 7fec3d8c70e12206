#include "send/bounce.h"

#include <stdlib.h>

#include "lib/address.h"
#include "lib/date.h"
#include "lib/die.h"
#include "send/reports.h"
#include "send/verp.h"

#define GENERIC                                                                \
	"Sorry, I could not deliver the message to this address, and the "     \
	"reason\nhas been lost.\n"

struct bounce_route bounce_route(const struct config *config,
				 struct view sender)
{
	struct view owner = verp_owner(sender);

	if (view_eq(sender, VIEW("#@[]")))
		return (struct bounce_route){ .is_triple = true };
	if (owner.len)
		return (struct bounce_route){ .from = VIEW(""), .to = owner };
	return (struct bounce_route){
		.from = VIEW("#@[]"),
		.to = str_view(&config->double_bounce_to),
		.is_double = true,
	};
}

/* Control characters are nobody's name: `instead` stands for them. */
static char visible(char c, char instead)
{
	if ((unsigned char)c < ' ' || c == 127)
		return instead;
	return c;
}

/* An address as a header may hold it: on one line, quoted. */
static void append_address(struct str *to, struct view address)
{
	struct str clean = { 0 };

	for (size_t i = 0; i < address.len; i++)
		str_append_byte(&clean, visible(address.p[i], '_'));
	address_quote(to, str_view(&clean));
	str_free(&clean);
}

static void append_header(struct str *to, const struct config *config,
			  const struct bounce_route *route, int64_t now_s)
{
	str_append_c(to, "Date: ");
	date_format(to, now_s);
	str_append_c(to, "\nFrom: ");
	append_address(to, str_view(&config->bounce_from));
	str_append_c(to, "\nTo: ");
	append_address(to, route->to);
	str_append_c(to, "\nSubject: failure notice\n\n");
}

static void append_introduction(struct str *to, const struct config *config,
				bool is_double)
{
	str_append_c(to, "Hi. This is the qmail-send program at ");
	str_append(to, str_view(&config->bounce_host));
	if (is_double)
		str_append_c(to, ".\nI tried to deliver a bounce message to "
				 "this address, but the bounce bounced!\n\n");
	else
		str_append_c(
			to,
			".\nI'm afraid I wasn't able to deliver your message "
			"to the following addresses.\n"
			"This is a permanent error; I've given up. Sorry it "
			"didn't work out.\n\n");
}

/*
 * One recipient. The paragraph ends at the first empty line, so none may be
 * in it: the second of two newlines becomes a slash.
 */
static void append_paragraph(struct str *to, struct view address,
			     struct view report)
{
	char before = '\n';
	char last = '\n';

	str_append_byte(to, '<');
	for (size_t i = 0; i < address.len; i++)
		str_append_byte(to, visible(address.p[i], '_'));
	str_append_c(to, ">:\n");
	for (size_t i = 0; i < report.len; i++) {
		last = report.p[i];
		if (last == '\n' && before == '\n')
			last = '/';
		else if (last != '\n' && last != '\t')
			last = visible(last, '?');
		str_append_byte(to, last);
		before = report.p[i];
	}
	if (last != '\n')
		str_append_byte(to, '\n');
	str_append_byte(to, '\n');
}

struct found {
	uint64_t recipient;
	size_t order;
	struct view text;
};

static int by_recipient(const void *a, const void *b)
{
	const struct found *x = a;
	const struct found *y = b;

	if (x->recipient != y->recipient)
		return x->recipient < y->recipient ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* The reports sorted by recipient; the caller frees them. */
static struct found *sort_reports(struct view reports, size_t *count)
{
	struct found *found = NULL;
	size_t cap = 0;
	uint64_t recipient;
	struct view text;

	*count = 0;
	while (reports_next(&reports, &recipient, &text)) {
		if (*count == cap) {
			cap = cap * 2 + 16;
			found = reallocarray(found, cap, sizeof(*found));
			if (!found)
				die(EXIT_RETRY, "out of memory");
		}
		found[*count] = (struct found){ recipient, *count, text };
		(*count)++;
	}
	if (*count)
		qsort(found, *count, sizeof(*found), by_recipient);
	return found;
}

/* The last report of a recipient, or the generic one. *at moves on. */
static struct view report_of(const struct found *found, size_t count,
			     size_t *at, uint64_t recipient)
{
	struct view text = VIEW(GENERIC);

	while (*at < count && found[*at].recipient <= recipient) {
		if (found[*at].recipient == recipient)
			text = found[*at].text;
		(*at)++;
	}
	return text;
}

static void append_paragraphs(struct str *to, const struct rewrite *rewrite,
			      const struct qfile *file, struct view reports)
{
	size_t count;
	size_t at = 0;
	struct found *found = sort_reports(reports, &count);
	struct qfile_cursor cursor = { 0 };
	struct qfile_recipient rcpt;
	struct str plain = { 0 };
	struct str target = { 0 };

	while (qfile_next(file, &cursor, &rcpt)) {
		if (rcpt.state != QFILE_FAILED)
			continue;
		/* As people know it, without a virtual domain's prefix. */
		rewrite_address(rewrite, rcpt.address, &plain, &target);
		append_paragraph(to, str_view(&plain),
				 report_of(found, count, &at, rcpt.number));
	}
	str_free(&plain);
	str_free(&target);
	free(found);
}

void bounce_text(struct str *to, const struct config *config,
		 const struct rewrite *rewrite, const struct qfile *file,
		 struct view reports, const struct bounce_route *route,
		 int64_t now_s)
{
	append_header(to, config, route, now_s);
	append_introduction(to, config, route->is_double);
	append_paragraphs(to, rewrite, file, reports);
	str_append_c(to, route->is_double
				 ? "--- Below this line is the original "
				   "bounce.\n\n"
				 : "--- Below this line is a copy of the "
				   "message.\n\n");
	str_append_c(to, "Return-Path: <");
	append_address(to, file->sender);
	str_append_c(to, ">\n");
}
