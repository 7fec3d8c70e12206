#include "lib/dns.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/clock.h"
#include "tests/unit/dnspacket.h"
#include "tests/unit/unit.h"

#define NO_SUCH_NAME 3U
#define SERVER_FAILED 2U
#define FORMAT_ERROR 1U
#define CUT 0x200U

/* ---- a server, played by the test itself ---- */

struct stage {
	int udp[2];
	struct dns_servers servers;
	struct dns dns;
};

static int bound(int type, unsigned *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = 20 };

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons((uint16_t)*port);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)),
		0);
	*port = ntohs(at.sin_port);
	return fd;
}

static void begin(struct stage *s, size_t servers, int deadline_ms)
{
	*s = (struct stage){ .servers = { .count = servers,
					  .attempts = 1,
					  .timeout_ms = 20000 } };
	for (size_t i = 0; i < servers; i++) {
		s->udp[i] = bound(SOCK_DGRAM, &s->servers.list[i].port);
		assert_true(ipaddr_parse(VIEW("127.0.0.1"),
					 &s->servers.list[i].ip));
	}
	dns_init(&s->dns, &s->servers, clock_mono_ms() + deadline_ms);
}

static void end(struct stage *s)
{
	for (size_t i = 0; i < s->servers.count; i++)
		close(s->udp[i]);
	dns_free(&s->dns);
}

struct query {
	unsigned char bytes[512];
	size_t len;
	struct sockaddr_in from;
};

static void receive(int fd, struct query *q)
{
	socklen_t len = sizeof(q->from);
	ssize_t got = recvfrom(fd, q->bytes, sizeof(q->bytes), 0,
			       (struct sockaddr *)&q->from, &len);

	assert_true(got > 12);
	q->len = (size_t)got;
}

static unsigned id_of(const struct query *q)
{
	return ns_get16(q->bytes);
}

static bool has_edns(const struct query *q)
{
	return q->bytes[11] == 1;
}

/* Header and question; records are up to the test. */
static void put_answer(struct str *to, const struct query *q, unsigned flags,
		       unsigned records)
{
	size_t extra = has_edns(q) ? 11 : 0;

	str_reset(to);
	put_header(to, id_of(q), ANSWER_FLAGS | flags, records);
	str_append(to, view_make(q->bytes + 12, q->len - 12 - extra));
}

static void reply(int fd, const struct query *q, const struct str *packet)
{
	assert_int_equal(sendto(fd, packet->p, packet->len, 0,
				(const struct sockaddr *)&q->from,
				sizeof(q->from)),
			 packet->len);
}

/* Receive a question and answer it in one word. */
static void answer(int fd, unsigned flags)
{
	struct str packet = { 0 };
	struct query q;

	receive(fd, &q);
	put_answer(&packet, &q, flags, 0);
	reply(fd, &q, &packet);
	str_free(&packet);
}

static void answer_text(int fd, const char *name, struct view text)
{
	struct str packet = { 0 };
	struct query q;

	receive(fd, &q);
	put_answer(&packet, &q, 0, 1);
	put_record(&packet, name, DNS_TXT, text);
	reply(fd, &q, &packet);
	str_free(&packet);
}

/* ---- the loop ---- */

static void step(struct stage *s)
{
	int64_t deadline = POLLS_NEVER;
	struct polls polls = { 0 };

	dns_prepare(&s->dns, &polls, &deadline);
	assert_int_equal(polls_wait(&polls, deadline), 0);
	dns_act(&s->dns, &polls);
	polls_free(&polls);
}

static enum dns_result finish(struct stage *s, size_t number)
{
	while (dns_is_busy(&s->dns))
		step(s);
	return dns_answer(&s->dns, number)->result;
}

static void assert_found(struct stage *s, size_t number, const char *text)
{
	assert_int_equal(finish(s, number), DNS_FOUND);
	assert_str(&dns_answer(&s->dns, number)->records[0].text, text);
}

/* ---- claims ---- */

static void test_several_questions_at_a_time(void **state)
{
	struct query first;
	struct query second;
	struct str packet = { 0 };
	struct stage s;
	size_t one;
	size_t two;

	(void)state;
	begin(&s, 1, 20000);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	two = dns_ask(&s.dns, VIEW("two.test"), DNS_TXT);
	receive(s.udp[0], &first);
	receive(s.udp[0], &second);
	assert_int_not_equal(first.from.sin_port, second.from.sin_port);
	assert_true(has_edns(&first));
	put_answer(&packet, &second, 0, 1);
	put_record(&packet, "two.test", DNS_TXT, VIEW("\3TWO"));
	reply(s.udp[0], &second, &packet);
	step(&s);
	assert_int_equal(dns_answer(&s.dns, one)->result, DNS_PENDING);
	assert_int_equal(dns_answer(&s.dns, two)->result, DNS_FOUND);
	put_answer(&packet, &first, NO_SUCH_NAME, 0);
	reply(s.udp[0], &first, &packet);
	assert_int_equal(finish(&s, one), DNS_NONE);
	assert_found(&s, two, "TWO");
	str_free(&packet);
	end(&s);
}

static void test_ids_cannot_be_foretold(void **state)
{
	unsigned same = 0;
	unsigned last = 0;
	struct stage s;

	(void)state;
	begin(&s, 1, 20000);
	for (int i = 0; i < 20; i++) {
		struct query q;

		dns_ask(&s.dns, VIEW("x.test"), DNS_A);
		receive(s.udp[0], &q);
		same += id_of(&q) == last || id_of(&q) == last + 1;
		last = id_of(&q);
	}
	assert_true(same < 3);
	end(&s);
}

static void test_what_answers_another_question_is_not_heard(void **state)
{
	unsigned port = 0;
	int other = bound(SOCK_DGRAM, &port);
	struct str packet = { 0 };
	struct stage s;
	struct query q;
	size_t one;

	(void)state;
	begin(&s, 1, 20000);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	receive(s.udp[0], &q);
	put_answer(&packet, &q, 0, 1);
	put_record(&packet, "one.test", DNS_TXT, VIEW("\5right"));
	/* From elsewhere: the kernel does not even show it. */
	packet.p[packet.len - 1] = 'T';
	sendto(other, packet.p, packet.len, 0, (struct sockaddr *)&q.from,
	       sizeof(q.from));
	packet.p[0] ^= 1;
	reply(s.udp[0], &q, &packet);
	step(&s);
	assert_int_equal(dns_answer(&s.dns, one)->result, DNS_PENDING);
	packet.p[0] ^= 1;
	packet.p[13] ^= 1;
	reply(s.udp[0], &q, &packet);
	step(&s);
	assert_int_equal(dns_answer(&s.dns, one)->result, DNS_PENDING);
	packet.p[13] ^= 1;
	packet.p[packet.len - 1] = 't';
	reply(s.udp[0], &q, &packet);
	assert_found(&s, one, "right");
	str_free(&packet);
	close(other);
	end(&s);
}

static void test_the_next_server_is_asked_when_one_fails(void **state)
{
	struct stage s;
	size_t one;

	(void)state;
	begin(&s, 2, 20000);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	answer(s.udp[0], SERVER_FAILED);
	step(&s);
	answer_text(s.udp[1], "one.test", VIEW("\2ok"));
	assert_found(&s, one, "ok");
	/* Both: trouble, and not for good. */
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	answer(s.udp[0], SERVER_FAILED);
	step(&s);
	answer(s.udp[1], SERVER_FAILED);
	assert_int_equal(finish(&s, one), DNS_TROUBLE);
	end(&s);
}

static void test_every_server_is_asked_as_often_as_attempts_says(void **state)
{
	struct stage s;
	size_t one;

	(void)state;
	begin(&s, 2, 20000);
	s.servers.attempts = 2;
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	for (int i = 0; i < 3; i++) {
		answer(s.udp[i % 2], SERVER_FAILED);
		step(&s);
	}
	answer(s.udp[1], NO_SUCH_NAME);
	assert_int_equal(finish(&s, one), DNS_NONE);
	end(&s);
}

static void test_a_silent_server_costs_its_share(void **state)
{
	int64_t began = clock_mono_ms();
	struct stage s;
	size_t one;

	(void)state;
	begin(&s, 2, 400);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	step(&s); /* 200 ms */
	answer_text(s.udp[1], "one.test", VIEW("\2ok"));
	assert_found(&s, one, "ok");
	assert_true(clock_mono_ms() - began >= 200);
	end(&s);
}

static void test_the_deadline_holds(void **state)
{
	int64_t began = clock_mono_ms();
	struct stage s;
	size_t one;

	(void)state;
	begin(&s, 2, 300);
	s.servers.attempts = 5;
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	assert_int_equal(finish(&s, one), DNS_TROUBLE);
	assert_true(clock_mono_ms() - began >= 300);
	assert_true(clock_mono_ms() - began < 5000);
	/* Nobody is asked after it. */
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	assert_int_equal(dns_answer(&s.dns, one)->result, DNS_TROUBLE);
	assert_false(dns_is_busy(&s.dns));
	end(&s);
}

static void test_a_server_that_is_not_there(void **state)
{
	int64_t began = clock_mono_ms();
	struct stage s;
	size_t one;

	(void)state;
	begin(&s, 2, 20000);
	close(s.udp[0]);
	close(s.udp[1]);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	assert_int_equal(finish(&s, one), DNS_TROUBLE);
	assert_true(clock_mono_ms() - began < 10000);
	s.servers.count = 0; /* closed already */
	end(&s);
}

static void test_a_server_without_edns(void **state)
{
	struct str packet = { 0 };
	struct stage s;
	struct query q;
	size_t one;

	(void)state;
	begin(&s, 1, 20000);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	answer(s.udp[0], FORMAT_ERROR);
	step(&s);
	receive(s.udp[0], &q);
	assert_false(has_edns(&q));
	put_answer(&packet, &q, 0, 1);
	put_record(&packet, "one.test", DNS_TXT, VIEW("\3old"));
	reply(s.udp[0], &q, &packet);
	assert_found(&s, one, "old");
	/* One that likes nothing is not asked for ever. */
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	answer(s.udp[0], FORMAT_ERROR);
	step(&s);
	answer(s.udp[0], FORMAT_ERROR);
	assert_int_equal(finish(&s, one), DNS_TROUBLE);
	str_free(&packet);
	end(&s);
}

/* ---- TCP ---- */

/* Cut off a question; the connection on which it is asked again. */
static int asked_again(struct stage *s, int listening, struct query *q)
{
	unsigned char length[2];
	int fd;

	answer(s->udp[0], CUT);
	step(s);
	step(s); /* it can be written */
	fd = accept(listening, NULL, NULL);
	assert_int_not_equal(fd, -1);
	assert_int_equal(recv(fd, length, 2, MSG_WAITALL), 2);
	q->len = ns_get16(length);
	assert_int_equal(recv(fd, q->bytes, q->len, MSG_WAITALL), q->len);
	assert_false(has_edns(q));
	return fd;
}

static void send_on(int fd, struct view bytes)
{
	assert_int_equal(send(fd, bytes.p, bytes.len, 0), bytes.len);
}

static void test_a_long_answer_comes_over_tcp(void **state)
{
	struct str packet = { 0 };
	struct str framed = { 0 };
	int listening;
	struct stage s;
	struct query q;
	size_t one;
	int fd;

	(void)state;
	begin(&s, 1, 20000);
	listening = bound(SOCK_STREAM, &s.servers.list[0].port);
	assert_int_equal(listen(listening, 5), 0);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	fd = asked_again(&s, listening, &q);
	put_answer(&packet, &q, 0, 1500);
	for (int i = 0; i < 1500; i++)
		put_record(&packet, "one.test", DNS_TXT, VIEW("\4long"));
	put_16(&framed, (unsigned)packet.len);
	str_append(&framed, str_view(&packet));
	send_on(fd, view_first(str_view(&framed), 1));
	step(&s);
	send_on(fd, view_first(view_from(str_view(&framed), 1), 20000));
	step(&s);
	assert_int_equal(dns_answer(&s.dns, one)->result, DNS_PENDING);
	send_on(fd, view_from(str_view(&framed), 20001));
	assert_found(&s, one, "long");
	assert_int_equal(dns_answer(&s.dns, one)->count, 1500);
	close(fd);
	close(listening);
	str_free(&packet);
	str_free(&framed);
	end(&s);
}

static void test_what_breaks_over_tcp_is_trouble(void **state)
{
	int listening;
	struct stage s;
	struct query q;
	size_t one;
	int fd;

	(void)state;
	begin(&s, 1, 20000);
	listening = bound(SOCK_STREAM, &s.servers.list[0].port);
	assert_int_equal(listen(listening, 5), 0);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	fd = asked_again(&s, listening, &q);
	send_on(fd, VIEW("\1"));
	close(fd);
	assert_int_equal(finish(&s, one), DNS_TROUBLE);
	/* An answer to something else. */
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	fd = asked_again(&s, listening, &q);
	send_on(fd, VIEW("\0\3abc"));
	assert_int_equal(finish(&s, one), DNS_TROUBLE);
	close(fd);
	/* Nobody listens. */
	close(listening);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	answer(s.udp[0], CUT);
	assert_int_equal(finish(&s, one), DNS_TROUBLE);
	end(&s);
}

static void test_more_than_was_asked_for_over_udp_is_cut(void **state)
{
	struct str packet = { 0 };
	int listening;
	struct stage s;
	struct query q;
	size_t one;

	(void)state;
	begin(&s, 1, 20000);
	listening = bound(SOCK_STREAM, &s.servers.list[0].port);
	assert_int_equal(listen(listening, 5), 0);
	one = dns_ask(&s.dns, VIEW("one.test"), DNS_TXT);
	receive(s.udp[0], &q);
	put_answer(&packet, &q, 0, 60);
	for (int i = 0; i < 60; i++)
		put_record(&packet, "one.test", DNS_TXT, VIEW("\4long"));
	assert_true(packet.len > DNS_UDP_MAX_BYTES);
	reply(s.udp[0], &q, &packet);
	step(&s);
	assert_int_equal(dns_answer(&s.dns, one)->result, DNS_PENDING);
	assert_int_equal(s.dns.asked[one].query.way, DNS_TCP);
	close(listening);
	str_free(&packet);
	end(&s);
}

static void test_an_impossible_name_is_not_asked(void **state)
{
	struct stage s;
	size_t one;

	(void)state;
	begin(&s, 1, 20000);
	one = dns_ask(&s.dns, VIEW("a..b"), DNS_A);
	assert_false(dns_is_busy(&s.dns));
	assert_int_equal(dns_answer(&s.dns, one)->result, DNS_NONE);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_several_questions_at_a_time),
		cmocka_unit_test(test_ids_cannot_be_foretold),
		cmocka_unit_test(
			test_what_answers_another_question_is_not_heard),
		cmocka_unit_test(test_the_next_server_is_asked_when_one_fails),
		cmocka_unit_test(
			test_every_server_is_asked_as_often_as_attempts_says),
		cmocka_unit_test(test_a_silent_server_costs_its_share),
		cmocka_unit_test(test_the_deadline_holds),
		cmocka_unit_test(test_a_server_that_is_not_there),
		cmocka_unit_test(test_a_server_without_edns),
		cmocka_unit_test(test_a_long_answer_comes_over_tcp),
		cmocka_unit_test(test_what_breaks_over_tcp_is_trouble),
		cmocka_unit_test(test_more_than_was_asked_for_over_udp_is_cut),
		cmocka_unit_test(test_an_impossible_name_is_not_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
