#include "auth/credentials.h"

#include <errno.h>

#include "tests/unit/unit.h"

static void test_three_strings_are_found(void **state)
{
	struct credentials c = { 0 };

	(void)state;
	assert_true(credentials_parse(VIEW("joe\0pw\0<stamp>\0"), &c));
	assert_view(c.user, "joe");
	assert_view(c.password, "pw");
	assert_view(c.challenge, "<stamp>");
	assert_true(credentials_parse(VIEW("joe\0pw\0"), &c));
	assert_view(c.password, "pw");
	assert_int_equal(c.challenge.len, 0);
	assert_true(credentials_parse(VIEW("\0\0\0"), &c));
	assert_int_equal(c.user.len, 0);
}

static void test_fewer_are_refused(void **state)
{
	struct credentials c = { 0 };

	(void)state;
	assert_false(credentials_parse(VIEW(""), &c));
	assert_false(credentials_parse(VIEW("joe"), &c));
	assert_false(credentials_parse(VIEW("joe\0pw"), &c));
}

static enum credentials_result feed(struct view bytes, struct credentials *c)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], bytes.p, bytes.len), bytes.len);
	close(ends[1]);
	if (ends[0] != CREDENTIALS_FD) {
		assert_int_equal(dup2(ends[0], CREDENTIALS_FD), CREDENTIALS_FD);
		close(ends[0]);
	}
	return credentials_read(c);
}

static void test_descriptor_3_is_read_and_closed(void **state)
{
	struct credentials c;
	char text[2000];

	(void)state;
	assert_int_equal(feed(VIEW("joe\0pw\0\0"), &c), CREDENTIALS_OK);
	assert_view(c.user, "joe");
	credentials_wipe(&c);
	assert_int_equal(fcntl(CREDENTIALS_FD, F_GETFD), -1);
	assert_int_equal(credentials_read(&c), CREDENTIALS_ERROR);
	assert_int_equal(errno, EBADF);
	memset(text, 'a', sizeof(text));
	text[100] = text[200] = '\0';
	assert_int_equal(feed(view_make(text, sizeof(text)), &c),
			 CREDENTIALS_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_strings_are_found),
		cmocka_unit_test(test_fewer_are_refused),
		cmocka_unit_test(test_descriptor_3_is_read_and_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
