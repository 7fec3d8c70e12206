#include "tools/ucspi/blocklists.h"

#include "tests/unit/unit.h"

/* ---- what is asked ---- */

static void test_names_are_the_address_backwards(void **state)
{
	static const struct {
		const char *base;
		bool allows;
		const char *ip;
		const char *name;
		enum dns_type type;
	} cases[] = {
		{ "l.test", false, "1.2.3.4", "4.3.2.1.l.test", DNS_TXT },
		{ "l.test", true, "1.2.3.4", "4.3.2.1.l.test", DNS_A },
		{ "l.test:no", false, "1.2.3.4", "4.3.2.1.l.test", DNS_A },
		{ "l.test", false, "::ffff:1.2.3.4", "4.3.2.1.l.test",
		  DNS_TXT },
		/* The example of RFC 5782 section 2.4. */
		{ "ugly.example.com", true, "2001:db8:1:2:3:4:567:89ab",
		  "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0."
		  "1.0.0.2.ugly.example.com",
		  DNS_A },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct blocklists lists = { 0 };
		struct blocklist list = { .base = view_of(cases[i].base),
					  .allows = cases[i].allows };
		struct str name = { 0 };
		struct ipaddr ip;

		assert_true(ipaddr_parse(view_of(cases[i].ip), &ip));
		assert_true(blocklists_add(&lists, &list));
		assert_int_equal(blocklists_query(&lists.list[0], &ip, &name),
				 cases[i].type);
		assert_str(&name, cases[i].name);
		str_free(&name);
		blocklists_free(&lists);
	}
}

static void test_what_is_no_list_is_refused(void **state)
{
	static const char *const bases[] = { "", ".a", "a..b", ":text",
					     "l.test:" };
	struct blocklists lists = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bases); i++)
		assert_false(blocklists_add(
			&lists,
			&(struct blocklist){ .base = view_of(bases[i]) }));
	assert_int_equal(lists.count, 0);
	blocklists_free(&lists);
}

/* ---- what is said ---- */

static void test_the_text_for_the_client(void **state)
{
	static const struct {
		const char *base;
		const char *records[2];
		const char *want; /* NULL: the address is not in the list */
	} cases[] = {
		{ "l.test", { "go away" }, "go away" },
		{ "l.test", { "go", "away" }, "go away" },
		{ "l.test", { "", "away" }, "away" },
		{ "l.test", { "" }, NULL },
		{ "l.test:no", { "" }, "no" },
		{ "l.test:see http://x/?%IP%&%IP",
		  { "" },
		  "see http://x/?192.0.2.1&%IP" },
		{ "l.test:%%IP%%IP%", { "" }, "%192.0.2.1192.0.2.1" },
		{ "l.test:a:b", { "" }, "a:b" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct blocklists lists = { 0 };
		struct dns_record records[2] = { 0 };
		struct dns_answer answer = { DNS_FOUND, records, 0 };

		for (; answer.count < 2 && cases[i].records[answer.count];
		     answer.count++)
			str_set_c(&records[answer.count].text,
				  cases[i].records[answer.count]);
		assert_true(blocklists_add(
			&lists,
			&(struct blocklist){ .base = view_of(cases[i].base) }));
		blocklists_note(&lists.list[0], &answer, VIEW("192.0.2.1"));
		assert_int_equal(lists.list[0].result,
				 cases[i].want ? DNS_FOUND : DNS_NONE);
		if (cases[i].want)
			assert_str(&lists.list[0].said, cases[i].want);
		str_free(&records[0].text);
		str_free(&records[1].text);
		blocklists_free(&lists);
	}
}

/* ---- what becomes of it ---- */

static enum dns_result result_of(char sign)
{
	switch (sign) {
	case '+':
		return DNS_FOUND;
	case '-':
		return DNS_NONE;
	case '?':
		return DNS_TROUBLE;
	default:
		return DNS_PENDING;
	}
}

/*
 * A list in a word: r or a, b for good, c fails closed, a weight; then
 * `+` named, `-` not, `?` no answer, `.` none yet.
 */
static void add_word(struct blocklists *lists, struct view word)
{
	struct blocklist list = { .base = VIEW("l.test") };

	list.result = result_of(word.p[word.len - 1]);
	for (size_t i = 0; i + 1 < word.len; i++) {
		char c = word.p[i];

		list.allows |= c == 'a';
		list.is_final |= c == 'b';
		list.fails_closed |= c == 'c';
		if (c >= '0' && c <= '9')
			list.weight = list.weight * 10 + (unsigned)(c - '0');
	}
	str_appendf(&list.said, "r%zu", lists->count);
	assert_true(blocklists_add(lists, &list));
}

static void test_verdicts(void **state)
{
	static const struct {
		const char *lists;
		enum verdict want;
		const char *text; /* r0 is what the first list says */
	} cases[] = {
		{ "", VERDICT_PASS, "" },
		{ "r-", VERDICT_PASS, "" },
		{ "r+", VERDICT_DEFER, "r0" },
		{ "rb+", VERDICT_REFUSE, "r0" },
		{ "a+", VERDICT_PASS, "" },
		/* The first that says something decides. */
		{ "r- rb+ r+", VERDICT_REFUSE, "r1" },
		{ "r+ a+", VERDICT_DEFER, "r0" },
		{ "a+ r+", VERDICT_PASS, "" },
		{ "a- r+", VERDICT_DEFER, "r1" },
		/* What has not come is waited for, unless it is behind. */
		{ ".", VERDICT_PENDING, "" },
		{ "r. r+", VERDICT_PENDING, "" },
		{ "r+ r.", VERDICT_DEFER, "r0" },
		{ "a+ r.", VERDICT_PASS, "" },
		{ "r- r.", VERDICT_PENDING, "" },
		{ "r? r.", VERDICT_PENDING, "" },
		/* No answer: the mail passes; -c: it waits. */
		{ "r?", VERDICT_PASS, "" },
		{ "rc?", VERDICT_DEFER, "temporary RBL lookup error" },
		{ "rbc?", VERDICT_DEFER, "temporary RBL lookup error" },
		{ "a? r+", VERDICT_PASS, "" },
		{ "ac? r+", VERDICT_DEFER, "r1" },
		/* Then nobody behind it refuses for good. */
		{ "ac? rb+", VERDICT_DEFER, "r1" },
		{ "r? rb+", VERDICT_DEFER, "r1" },
		{ "r? r- a+", VERDICT_PASS, "" },
		/* Weights. */
		{ "r99+", VERDICT_PASS, "" },
		{ "r100+", VERDICT_DEFER, "r0" },
		{ "r50+ r50+", VERDICT_DEFER, "r1" },
		{ "r50+ r49+", VERDICT_PASS, "" },
		{ "r50+ r- r30+ rb20+ r+", VERDICT_REFUSE, "r3" },
		{ "r50+ a+ r50+", VERDICT_PASS, "" },
		{ "r50+ r50-", VERDICT_PASS, "" },
		{ "r50+ r+", VERDICT_DEFER, "r1" },
		{ "r50+ r50.", VERDICT_PENDING, "" },
		{ "r50? r50+", VERDICT_PASS, "" },
		{ "rc50? r50+", VERDICT_DEFER, "r1" },
		{ "r50+ rc50?", VERDICT_DEFER, "temporary RBL lookup error" },
		{ "r1000000+ r1000000+", VERDICT_DEFER, "r0" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct blocklists lists = { .limit = 100 };
		struct view rest = view_of(cases[i].lists);
		struct str text = { 0 };

		while (rest.len)
			add_word(&lists, view_cut(&rest, ' '));
		if (blocklists_judge(&lists, &text) != cases[i].want)
			fail_msg("%s", cases[i].lists);
		assert_str(&text, cases[i].text);
		str_free(&text);
		blocklists_free(&lists);
	}
}

static void test_nobody_answered(void **state)
{
	struct blocklists lists = { .limit = 100 };
	struct str text = { 0 };

	(void)state;
	assert_true(blocklists_add(
		&lists, &(struct blocklist){ .base = VIEW("l.test") }));
	blocklists_fail(&lists);
	assert_int_equal(blocklists_judge(&lists, &text), VERDICT_PASS);
	lists.list[0].fails_closed = true;
	assert_int_equal(blocklists_judge(&lists, &text), VERDICT_DEFER);
	str_free(&text);
	blocklists_free(&lists);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_the_address_backwards),
		cmocka_unit_test(test_what_is_no_list_is_refused),
		cmocka_unit_test(test_the_text_for_the_client),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_nobody_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
