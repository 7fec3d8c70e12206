#include "lib/memory.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define BIG (UINT64_C(1) << 30)
#define MEGABYTE (UINT64_C(1) << 20)

#ifndef VALIJA_SAN /* ASan itself ends what gets no memory */

static void set_limit(rlim_t bytes)
{
	struct rlimit limit = { .rlim_cur = bytes, .rlim_max = RLIM_INFINITY };

	setrlimit(RLIMIT_AS, &limit);
}

static void lift_limit(int sig)
{
	(void)sig;
	set_limit(RLIM_INFINITY);
}

static void take_big(void *arg)
{
	bool patient = *(bool *)arg;
	char *p;

	set_limit(BIG / 2);
	signal(SIGALRM, lift_limit);
	alarm(1);
	if (patient)
		memory_patient();
	p = memory_resize(NULL, 1, BIG);
	p[BIG - 1] = 'x';
	free(p);
	free(memory_zeroed(1, 1));
	_exit(0);
}

static void test_memory_that_is_not_there_ends_a_program(void **state)
{
	struct str said = { 0 };
	bool patient = false;

	(void)state;
	assert_int_equal(in_child(take_big, &patient, &said), 111);
	assert_str(&said, "valija: out of memory\n");
	str_free(&said);
}

static void test_a_patient_one_waits_until_there_is_some(void **state)
{
	struct str said = { 0 };
	bool patient = true;

	(void)state;
	assert_int_equal(in_child(take_big, &patient, &said), 0);
	assert_str(&said, "valija: out of memory, waiting\n");
	str_free(&said);
}

static void take_impossible(void *arg)
{
	(void)arg;
	memory_patient();
	free(memory_zeroed(SIZE_MAX / 2, 3));
	_exit(0);
}

static void test_nobody_waits_for_the_impossible(void **state)
{
	struct str said = { 0 };

	(void)state;
	assert_int_equal(in_child(take_impossible, NULL, &said), 111);
	assert_str(&said, "valija: out of memory\n");
	str_free(&said);
}

/* Page faults of filling a megabyte, the second time. */
static long faults_of_a_repetition(void)
{
	struct rusage before;
	struct rusage after;

	for (int i = 0; i < 2; i++) {
		volatile char *p = memory_resize(NULL, 1, MEGABYTE);

		getrusage(RUSAGE_SELF, &before);
		for (size_t at = 0; at < MEGABYTE; at += 1024)
			p[at] = 'x';
		getrusage(RUSAGE_SELF, &after);
		free((void *)(uintptr_t)p);
	}
	return after.ru_minflt - before.ru_minflt;
}

static void use_it_twice(void *arg)
{
	(void)arg;
	if (faults_of_a_repetition() < 100)
		die(EXIT_REJECT, "the C library keeps it anyway");
	memory_keep();
	if (faults_of_a_repetition() > 10)
		die(EXIT_REJECT, "not kept");
	_exit(0);
}

static void test_freed_memory_is_kept_for_the_next_message(void **state)
{
	struct str said = { 0 };

	(void)state;
	assert_int_equal(in_child(use_it_twice, NULL, &said), 0);
	assert_str(&said, "");
	str_free(&said);
}

#endif

static void test_memory_is_given(void **state)
{
	char *p = memory_zeroed(10, 10);

	(void)state;
	assert_int_equal(p[99], 0);
	p[99] = 'x';
	p = memory_resize(p, 100, 10);
	assert_int_equal(p[99], 'x');
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef VALIJA_SAN
		cmocka_unit_test(test_memory_that_is_not_there_ends_a_program),
		cmocka_unit_test(test_a_patient_one_waits_until_there_is_some),
		cmocka_unit_test(test_nobody_waits_for_the_impossible),
		cmocka_unit_test(
			test_freed_memory_is_kept_for_the_next_message),
#endif
		cmocka_unit_test(test_memory_is_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
