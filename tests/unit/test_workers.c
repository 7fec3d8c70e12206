#include "tests/unit/unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/packet.h"
#include "lib/workers.h"

#define ROOM 3

/* Park one that is no process; its own end of the socket is returned. */
static int park(struct workers *w, pid_t pid, const char *key, ino_t file)
{
	struct worker worker = { .pid = pid, .file = { .ino = file } };
	int pair[2];

	assert_int_equal(packet_pair(pair), 0);
	worker.sock = pair[0];
	str_set_c(&worker.key, key);
	if (workers_park(w, &worker))
		return pair[1];
	close(pair[0]);
	close(pair[1]);
	str_free(&worker.key);
	return -1;
}

/* Who gets a job, 0 for nobody. */
static pid_t use(struct workers *w, const char *key, ino_t file)
{
	const struct filemark mark = { .ino = file };
	struct worker worker;

	if (!workers_use(w, view_of(key), &mark, VIEW("job"), -1, &worker))
		return 0;
	close(worker.sock);
	return worker.pid;
}

static bool has_ended(int theirs)
{
	struct str packet = { 0 };
	enum packet_result result;
	int fd;

	do
		result = packet_receive(theirs, &packet, &fd);
	while (result == PACKET_OK);
	str_free(&packet);
	return result == PACKET_EOF;
}

static void test_job_goes_to_one_of_its_key(void **state)
{
	struct workers w;
	int theirs[2];

	(void)state;
	workers_init(&w, ROOM);
	theirs[0] = park(&w, 1001, "a", 7);
	theirs[1] = park(&w, 1002, "b", 7);
	assert_int_equal(workers_waiting(&w), 2);
	assert_int_equal(use(&w, "c", 7), 0);
	assert_int_equal(use(&w, "b", 7), 1002);
	assert_int_equal(use(&w, "b", 7), 0);
	assert_int_equal(use(&w, "a", 7), 1001);
	assert_int_equal(workers_alive(&w), 0);
	close(theirs[0]);
	close(theirs[1]);
	workers_free(&w);
}

static void test_other_file_and_dead_ones_get_nothing(void **state)
{
	struct workers w;
	int old;
	int dead;
	int chatty;

	(void)state;
	workers_init(&w, ROOM);
	old = park(&w, 1001, "a", 7);
	assert_int_equal(use(&w, "a", 8), 0);
	assert_true(has_ended(old));
	assert_int_equal(workers_waiting(&w), 0);
	assert_int_equal(workers_alive(&w), 1);
	workers_ended(&w, 1001);
	assert_int_equal(workers_alive(&w), 0);

	dead = park(&w, 1002, "a", 8);
	close(dead);
	assert_int_equal(use(&w, "a", 8), 0);
	chatty = park(&w, 1003, "a", 8);
	assert_int_equal(packet_send(chatty, VIEW("unasked"), -1), PACKET_OK);
	assert_int_equal(use(&w, "a", 8), 0);
	close(old);
	close(chatty);
	workers_free(&w);
}

static void test_room_is_bounded_and_the_oldest_goes(void **state)
{
	struct workers w;
	int theirs[ROOM];

	(void)state;
	workers_init(&w, ROOM);
	for (int i = 0; i < ROOM; i++) {
		theirs[i] = park(&w, 1001 + i, "a", 7);
		w.all[i].until_ms += i; /* they may be of one millisecond */
	}
	assert_int_equal(park(&w, 1009, "a", 7), -1);
	workers_end_one(&w);
	assert_true(has_ended(theirs[0]));
	assert_int_equal(workers_waiting(&w), ROOM - 1);
	assert_int_equal(use(&w, "a", 7), 1003);
	workers_end_all(&w);
	assert_true(has_ended(theirs[1]));
	assert_int_equal(workers_waiting(&w), 0);
	for (int i = 0; i < ROOM; i++)
		close(theirs[i]);
	workers_free(&w);
}

/* A poll says nothing of one that was parked after it. */
static void test_fresh_one_is_not_judged_by_an_old_poll(void **state)
{
	struct polls polls = { 0 };
	int64_t deadline = POLLS_NEVER;
	struct workers w;
	int ready[2];
	int theirs;

	(void)state;
	workers_init(&w, ROOM);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(write(ready[1], "x", 1), 1);
	polls_add(&polls, ready[0], POLLIN);
	workers_prepare(&w, &polls, &deadline);
	assert_int_equal(polls_wait(&polls, deadline), 0);
	theirs = park(&w, 1001, "a", 7);
	workers_act(&w, &polls, clock_mono_ms());
	assert_int_equal(workers_waiting(&w), 1);

	/* But one that speaks before the next poll is. */
	assert_int_equal(packet_send(theirs, VIEW("unasked"), -1), PACKET_OK);
	polls_reset(&polls);
	workers_prepare(&w, &polls, &deadline);
	assert_true(deadline <= clock_mono_ms() + WORKERS_IDLE_MS);
	assert_int_equal(polls_wait(&polls, deadline), 0);
	workers_act(&w, &polls, clock_mono_ms());
	assert_int_equal(workers_waiting(&w), 0);
	close(theirs);
	close(ready[0]);
	close(ready[1]);
	polls_free(&polls);
	workers_free(&w);
}

static void test_time_ends_and_then_kills_them(void **state)
{
	struct polls polls = { 0 };
	int64_t deadline = POLLS_NEVER;
	struct workers w;
	int status;
	int theirs;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		alarm(60); /* whatever becomes of this test */
		for (;;)
			pause();
	}
	workers_init(&w, ROOM);
	theirs = park(&w, pid, "a", 7);
	workers_prepare(&w, &polls, &deadline);
	assert_int_equal(polls_wait(&polls, 0), 0);
	workers_act(&w, &polls, clock_mono_ms() + WORKERS_IDLE_MS);
	assert_true(has_ended(theirs));
	assert_int_equal(workers_alive(&w), 1);
	workers_act(&w, &polls, clock_mono_ms() + WORKERS_END_MS);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	workers_ended(&w, pid);
	assert_int_equal(workers_alive(&w), 0);
	close(theirs);
	polls_free(&polls);
	workers_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_job_goes_to_one_of_its_key),
		cmocka_unit_test(test_other_file_and_dead_ones_get_nothing),
		cmocka_unit_test(test_room_is_bounded_and_the_oldest_goes),
		cmocka_unit_test(test_fresh_one_is_not_judged_by_an_old_poll),
		cmocka_unit_test(test_time_ends_and_then_kills_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
