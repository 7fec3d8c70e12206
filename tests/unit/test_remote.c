#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/packet.h"
#include "lib/route.h"
#include "remote/encode.h"
#include "remote/outcome.h"
#include "remote/reply.h"
#include "remote/settings.h"

/* ---- replies ---- */

/* Feed in pieces; code, or 0 while more is wanted, or -1 for no SMTP. */
static int feed(struct reply *reply, struct view all, size_t piece,
		size_t *left)
{
	reply_reset(reply);
	while (all.len) {
		struct view part = view_first(all, piece);
		size_t had = part.len;

		switch (reply_feed(reply, &part)) {
		case REPLY_DONE:
			*left = all.len - had + part.len;
			return (int)reply->code;
		case REPLY_BAD:
			return -1;
		case REPLY_MORE:
			break;
		}
		all = view_from(all, had);
	}
	return 0;
}

static void test_replies(void **state)
{
	static const struct {
		const char *said;
		int want;
		const char *text;
	} cases[] = {
		{ "220 hi\r\n", 220, "220 hi\n" },
		{ "220\r\n", 220, "220\n" },
		{ "220\n", 220, "220\n" },
		{ "250-a\r\n250 b\r\n", 250, "250-a\n250 b\n" },
		{ "553-\r\n553\r\n", 553, "553-\n553\n" },
		{ "250-a\r\n550 b\r\n", 550, "250-a\n550 b\n" },
		{ "550 a\001\033b\177\r\n", 550, "550 a??b?\n" },
		{ "250-", 0, NULL },
		{ "250-a\r\n", 0, NULL },
		{ "25", 0, NULL },
		{ "hello\r\n", -1, NULL },
		{ "25\r\n", -1, NULL },
		{ "\r\n", -1, NULL },
		{ "150 x\r\n", -1, NULL },
		{ "650 x\r\n", -1, NULL },
		{ "250-a\r\n\r\n", -1, NULL },
	};
	struct reply reply = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t piece = 1; piece < 9; piece++) {
			size_t left = 0;
			int got = feed(&reply, view_of(cases[i].said), piece,
				       &left);

			assert_int_equal(got, cases[i].want);
			if (got > 0)
				assert_string_equal(str_c(&reply.text),
						    cases[i].text);
			assert_int_equal(left, 0);
		}
	reply_free(&reply);
}

static void test_next_reply_is_left_alone(void **state)
{
	struct reply reply = { 0 };
	size_t left;

	(void)state;
	assert_int_equal(feed(&reply, VIEW("250 a\r\n354 b\r\n"), 100, &left),
			 250);
	assert_int_equal(left, 7);
	reply_free(&reply);
}

static void test_long_reply_is_cut_and_endless_one_refused(void **state)
{
	struct reply reply = { 0 };
	struct str said = { 0 };
	size_t left;

	(void)state;
	str_append(&said, VIEW("250 "));
	while (said.len < REPLY_MAX_BYTES - 10)
		str_append(&said, VIEW("xxxxxxxx"));
	str_append(&said, VIEW("\r\n"));
	assert_int_equal(feed(&reply, str_view(&said), 1000, &left), 250);
	assert_int_equal(reply.text.len, REPLY_TEXT_MAX + 1);
	str_reset(&said);
	while (said.len <= REPLY_MAX_BYTES)
		str_append(&said, VIEW("250-x\r\n"));
	assert_int_equal(feed(&reply, str_view(&said), 1000, &left), -1);
	str_free(&said);
	reply_free(&reply);
}

static void test_keywords(void **state)
{
	struct reply reply = { 0 };
	struct view value;
	size_t left;

	(void)state;
	feed(&reply,
	     VIEW("250-SIZE is my name\r\n250-size 1000 \r\n250-8BITMIME\r\n"
		  "250-AUTH=LOGIN PLAIN\r\n250 PIPELININGX\r\n"),
	     1000, &left);
	assert_true(reply_keyword(&reply, VIEW("SIZE"), &value));
	assert_true(view_eq(value, VIEW("1000")));
	assert_true(reply_keyword(&reply, VIEW("8BITMIME"), &value));
	assert_int_equal(value.len, 0);
	assert_true(reply_keyword(&reply, VIEW("AUTH"), &value));
	assert_false(reply_keyword(&reply, VIEW("PIPELINING"), &value));
	assert_false(reply_keyword(&reply, VIEW("SMTPUTF8"), &value));
	reply_free(&reply);
}

/* ---- messages ---- */

static void test_message_is_encoded(void **state)
{
	static const struct {
		const char *message;
		const char *want;
	} cases[] = {
		{ "", ".\r\n" },
		{ "a\n", "a\r\n.\r\n" },
		{ "a", "a\r\n.\r\n" },
		{ ".", "..\r\n.\r\n" },
		{ ".\n.a\nb.\n", "..\r\n..a\r\nb.\r\n.\r\n" },
		{ "a\r\n.\r\n", "a\r\n..\r\n.\r\n" },
		{ "foo\r.\n", "foo .\r\n.\r\n" },
		{ "foo\r.\r\n", "foo .\r\n.\r\n" },
		{ "foo\r\r\n.\r\n", "foo \r\n..\r\n.\r\n" },
		{ "\r", " \r\n.\r\n" },
		{ "\r\n", "\r\n.\r\n" },
		{ "\r.\n", " .\r\n.\r\n" },
		{ "a\n\n", "a\r\n\r\n.\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t piece = 1; piece < 6; piece++) {
			struct view rest = view_of(cases[i].message);
			struct encode e = { 0 };
			struct str got = { 0 };

			for (; rest.len; rest = view_from(rest, piece))
				encode_put(&e, view_first(rest, piece), &got);
			encode_end(&e, &got);
			assert_string_equal(str_c(&got), cases[i].want);
			str_free(&got);
		}
}

static void test_measure_knows_size_and_eighth_bits(void **state)
{
	struct encode e = { 0 };
	struct str got = { 0 };

	(void)state;
	encode_put(&e, VIEW("A: b\n\n.\xc3\xb1\n"), &got);
	encode_end(&e, &got);
	assert_int_equal(e.bytes, 6 + 2 + 5);
	assert_false(e.header8);
	assert_true(e.body8);
	e = (struct encode){ 0 };
	encode_put(&e, VIEW("A: \xc3\xb1\n\nb\n"), &got);
	assert_true(e.header8);
	assert_false(e.body8);
	str_free(&got);
}

/* ---- routes ---- */

static void test_routes(void **state)
{
	static const struct {
		const char *host;
		const char *relay;
		unsigned port; /* 0: the entry is bad */
	} cases[] = {
		{ "a.test", "r1", 25 },
		{ "A.TEST", "r1", 25 },
		{ "b.a.test", "r2", 26 },
		{ "c.b.a.test", "r2", 26 },
		{ "direct.test", "", 25 },
		{ "bad.test", NULL, 0 },
		{ "big.test", NULL, 0 },
		{ "[10.0.0.1]", "[10.0.0.2]", 25 },
		{ "[IPv6:::1]", "[IPv6:::2]", 2525 },
		{ "else", "all", 25 },
		{ "", "all", 25 },
	};
	struct control_list routes = { 0 };

	(void)state;
	control_list_parse(&routes,
			   VIEW("a.test:r1\n.a.test: r2 :26\ndirect.test:\n"
				"bad.test:r:x\nbig.test:r:65536\n"
				"[10.0.0.1]:[10.0.0.2]\n"
				"[IPv6:::1]:[IPv6:::2]:2525\n"
				"no-colon\n:all\n"));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct route route;
		bool ok = route_find(&routes, view_of(cases[i].host), &route);

		assert_int_equal(ok, cases[i].port != 0);
		if (!ok)
			continue;
		assert_true(view_eq(route.relay, view_of(cases[i].relay)));
		assert_int_equal(route.port, cases[i].port);
	}
	control_list_free(&routes);
}

static void test_literals(void **state)
{
	struct ipaddr ip;

	(void)state;
	assert_true(route_literal(VIEW("[127.0.0.1]"), &ip));
	assert_true(route_literal(VIEW("[ipv6:2001:db8::1]"), &ip));
	assert_true(ip.v6);
	assert_false(route_literal(VIEW("[::1]"), &ip));
	assert_false(route_literal(VIEW("[IPv6:127.0.0.1]"), &ip));
	assert_false(route_literal(VIEW("127.0.0.1"), &ip));
	assert_false(route_literal(VIEW("[]"), &ip));
	assert_false(route_literal(VIEW("["), &ip));
	assert_false(route_literal(VIEW(""), &ip));
}

static void test_hosts_file(void **state)
{
	struct ipaddr ips[2];
	struct view text = VIEW("# 10.0.0.9 x\n10.0.0.1 x y # z\n\tnonsense x\n"
				"::1\tY\n10.0.0.2 xx x\n10.0.0.3 x\n");

	(void)state;
	assert_int_equal(route_hosts(text, VIEW("X"), ips, 2), 2);
	assert_int_equal(ips[0].bytes[3], 1);
	assert_int_equal(ips[1].bytes[3], 2);
	assert_int_equal(route_hosts(text, VIEW("y"), ips, 2), 2);
	assert_true(ips[1].v6);
	assert_int_equal(route_hosts(text, VIEW("z"), ips, 2), 0);
}

/* ---- settings ---- */

static void write_control(int homefd, const char *path, const char *text)
{
	int fd = openat(homefd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	size_t len = strlen(text);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static void remove_control(int homefd, const char *path)
{
	assert_int_equal(unlinkat(homefd, path, 0), 0);
}

/* RFC 5321 section 4.5.3.2, unless control files rule. */
static void test_each_phase_has_its_time(void **state)
{
	char template[] = "/tmp/test_remote.XXXXXX";
	struct settings set = { 0 };
	int homefd;

	(void)state;
	assert_non_null(mkdtemp(template));
	homefd = open(template, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(homefd, "control", 0700), 0);
	assert_false(settings_renew(&set, homefd));
	write_control(homefd, "control/me", "me.test\n");
	assert_true(settings_renew(&set, homefd));
	assert_string_equal(str_c(&set.helo), "me.test");
	assert_int_equal(set.times.connect, 60 * 1000);
	assert_int_equal(set.times.greeting, 300 * 1000);
	assert_int_equal(set.times.command, 300 * 1000);
	assert_int_equal(set.times.data, 120 * 1000);
	assert_int_equal(set.times.block, 180 * 1000);
	assert_int_equal(set.times.final, 600 * 1000);

	/* What is there is seen at once, and when it goes, too. */
	write_control(homefd, "control/timeoutremote", "7\n");
	assert_true(settings_renew(&set, homefd));
	assert_int_equal(set.times.connect, 60 * 1000);
	assert_int_equal(set.times.greeting, 7000);
	assert_int_equal(set.times.command, 7000);
	assert_int_equal(set.times.data, 7000);
	assert_int_equal(set.times.block, 7000);
	assert_int_equal(set.times.final, 7000);
	write_control(homefd, "control/timeoutconnect", "8\n");
	assert_true(settings_renew(&set, homefd));
	assert_int_equal(set.times.connect, 8000);
	remove_control(homefd, "control/timeoutremote");
	assert_true(settings_renew(&set, homefd));
	assert_int_equal(set.times.greeting, 300 * 1000);
	write_control(homefd, "control/timeoutconnect", "x\n");
	assert_false(settings_renew(&set, homefd));
	remove_control(homefd, "control/timeoutconnect");
	remove_control(homefd, "control/me");
	assert_false(settings_renew(&set, homefd));
	settings_free(&set);
	assert_int_equal(unlinkat(homefd, "control", AT_REMOVEDIR), 0);
	close(homefd);
	rmdir(template);
}

/* ---- outcomes ---- */

static void test_outcome_of_each_recipient(void **state)
{
	static const struct {
		enum outcome_rcpt rcpt;
		enum job_outcome message;
		enum job_outcome want;
		const char *text;
	} cases[] = {
		{ OUTCOME_TAKEN, JOB_DELIVERED, JOB_DELIVERED, "m\n" },
		{ OUTCOME_TAKEN, JOB_FAILED, JOB_FAILED, "m\n" },
		{ OUTCOME_UNKNOWN, JOB_DEFERRED, JOB_DEFERRED, "m\n" },
		{ OUTCOME_REFUSED, JOB_DELIVERED, JOB_FAILED, "r\n" },
		{ OUTCOME_REFUSED, JOB_FAILED, JOB_FAILED, "r\nm\n" },
		{ OUTCOME_LATER, JOB_DELIVERED, JOB_DEFERRED, "r\n" },
		{ OUTCOME_LATER, JOB_FAILED, JOB_DEFERRED, "r\nm\n" },
		{ OUTCOME_LATER, JOB_DEFERRED, JOB_DEFERRED, "r\nm\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct outcome o = { 0 };
		struct str packet = { 0 };
		struct job_result result;
		struct job_report report;

		outcome_add(&o, 9, VIEW("a@b"));
		o.recipients[0].state = cases[i].rcpt;
		if (cases[i].rcpt == OUTCOME_REFUSED ||
		    cases[i].rcpt == OUTCOME_LATER)
			str_set_c(&o.recipients[0].text, "r\n");
		outcome_set(&o, cases[i].message, "m\n");
		outcome_result(&o, 4, &packet);
		assert_int_equal(job_result_parse(str_view(&packet), &result),
				 0);
		assert_int_equal(result.number, 4);
		assert_true(job_next_outcome(&result.outcomes, &report));
		assert_int_equal(report.recipient, 9);
		assert_int_equal(report.outcome, cases[i].want);
		assert_true(view_eq(report.text, view_of(cases[i].text)));
		str_free(&packet);
		outcome_free(&o);
	}
}

static void test_many_outcomes_fit_a_packet(void **state)
{
	struct outcome o = { 0 };
	struct str packet = { 0 };
	struct str words = { 0 };

	(void)state;
	while (words.len < 5000)
		str_append(&words, VIEW("words "));
	for (uint64_t i = 0; i < 4000; i++) {
		outcome_add(&o, i, VIEW("a@b"));
		str_append(&o.recipients[i].text, str_view(&words));
	}
	outcome_set(&o, JOB_FAILED, "m\n");
	outcome_result(&o, 4, &packet);
	assert_true(packet.len <= PACKET_MAX_BYTES);
	str_free(&packet);
	str_free(&words);
	outcome_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_next_reply_is_left_alone),
		cmocka_unit_test(
			test_long_reply_is_cut_and_endless_one_refused),
		cmocka_unit_test(test_keywords),
		cmocka_unit_test(test_message_is_encoded),
		cmocka_unit_test(test_measure_knows_size_and_eighth_bits),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_hosts_file),
		cmocka_unit_test(test_each_phase_has_its_time),
		cmocka_unit_test(test_outcome_of_each_recipient),
		cmocka_unit_test(test_many_outcomes_fit_a_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
