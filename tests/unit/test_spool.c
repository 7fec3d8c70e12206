#include "queue/spool.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/record.h"

struct house {
	char path[64];
	int fd;
	struct spool spool;
};

static int make_house(void **state)
{
	static struct house house;
	struct qformat format;

	snprintf(house.path, sizeof(house.path), "/tmp/test_spool.XXXXXX");
	if (!mkdtemp(house.path))
		return -1;
	house.fd = open(house.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (qformat_create(house.fd, 1) == -1 ||
	    qformat_load(house.fd, &format) != QFORMAT_OK)
		return -1;
	spool_init(&house.spool, house.fd, &format);
	*state = &house;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind,
		      struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int remove_house(void **state)
{
	struct house *house = *state;

	close(house->fd);
	return nftw(house->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool exists(struct house *house, const char *folder, uint64_t id)
{
	char path[100];

	snprintf(path, sizeof(path), "queue/%s/0/%llu", folder,
		 (unsigned long long)id);
	return faccessat(house->fd, path, F_OK, 0) == 0;
}

static void touch(struct house *house, const char *folder, uint64_t id)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "queue/%s/0/%llu", folder,
		 (unsigned long long)id);
	fd = openat(house->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	close(fd);
}

static void write_message(struct spool_file *file)
{
	struct str records = { 0 };

	record_append(&records, QFILE_SENDER, VIEW("s"));
	record_append(&records, QFILE_RECIPIENT, VIEW("Wr"));
	assert_int_equal(qfile_write_message(&file->writer, VIEW("x\n")), 0);
	assert_int_equal(qfile_write_records(&file->writer, str_view(&records)),
			 0);
	str_free(&records);
}

/* Whether somebody else could lock it now. */
static bool is_locked(struct house *house, uint64_t id)
{
	char path[100];
	bool locked;
	int fd;

	snprintf(path, sizeof(path), "queue/new/0/%llu",
		 (unsigned long long)id);
	fd = openat(house->fd, path, O_RDWR | O_CLOEXEC);
	assert_int_not_equal(fd, -1);
	locked = flock(fd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK;
	close(fd);
	return locked;
}

static void check_file(struct house *house, uint64_t id)
{
	char path[100];
	struct qfile q;

	snprintf(path, sizeof(path), "queue/new/0/%llu",
		 (unsigned long long)id);
	assert_int_equal(qfile_open(&q, house->fd, path), QFILE_OK);
	assert_int_equal(q.id, id);
	assert_int_equal(qfile_check_message(&q), QFILE_OK);
	qfile_close(&q);
}

static void test_message_goes_from_pid_to_new(void **state)
{
	struct house *house = *state;
	struct spool_file file;

	spool_begin(&file);
	assert_int_equal(spool_create(&house->spool, &file), 0);
	assert_true(exists(house, "pid", file.id));
	write_message(&file);
	assert_int_equal(spool_publish(&house->spool, &file), 0);
	assert_false(exists(house, "pid", file.id));
	assert_true(exists(house, "new", file.id));
	assert_true(is_locked(house, file.id));
	spool_accept(&file);
	assert_false(is_locked(house, file.id));
	check_file(house, file.id);
}

static void test_removed_message_leaves_nothing(void **state)
{
	struct house *house = *state;
	struct spool_file file;
	struct spool_file never = { 0 };

	spool_remove(&house->spool, &never);
	spool_begin(&file);
	assert_int_equal(spool_create(&house->spool, &file), 0);
	spool_remove(&house->spool, &file);
	assert_false(exists(house, "pid", file.id));
	spool_remove(&house->spool, &file); /* twice does no harm */

	spool_begin(&file);
	assert_int_equal(spool_create(&house->spool, &file), 0);
	write_message(&file);
	assert_int_equal(spool_publish(&house->spool, &file), 0);
	spool_remove(&house->spool, &file);
	assert_false(exists(house, "new", file.id));
}

static void test_ids_rise(void **state)
{
	struct house *house = *state;
	struct spool_file file;
	uint64_t before = 0;

	for (int i = 0; i < 100; i++) {
		spool_begin(&file);
		assert_int_equal(spool_create(&house->spool, &file), 0);
		assert_true(file.id > before);
		before = file.id;
		spool_remove(&house->spool, &file);
	}
	/* Even when the clock goes back. */
	house->spool.last_id = before + 1000000000;
	spool_begin(&file);
	assert_int_equal(spool_create(&house->spool, &file), 0);
	assert_int_equal(file.id, before + 1000000001);
	spool_remove(&house->spool, &file);
}

static void publish_beside(struct house *house, const char *folder)
{
	struct spool_file file;
	uint64_t first;

	spool_begin(&file);
	assert_int_equal(spool_create(&house->spool, &file), 0);
	first = file.id;
	house->spool.last_id = first + 1000000000; /* the next ones are known */
	touch(house, folder, first);
	touch(house, folder, first + 1000000001);
	write_message(&file);
	assert_int_equal(spool_publish(&house->spool, &file), 0);
	assert_int_equal(file.id, first + 1000000002);
	assert_true(exists(house, folder, first));
	assert_false(exists(house, "pid", first));
	assert_true(is_locked(house, file.id));
	spool_accept(&file);
	check_file(house, file.id);
}

static void test_name_taken_in_new_is_left_alone(void **state)
{
	publish_beside(*state, "new");
}

static void test_name_taken_in_mess_is_left_alone(void **state)
{
	publish_beside(*state, "mess");
}

static void test_name_taken_in_pid_is_left_alone(void **state)
{
	struct house *house = *state;
	uint64_t far = UINT64_C(1) << 62;
	struct spool_file file;

	house->spool.last_id = far;
	touch(house, "pid", far + 1);
	spool_begin(&file);
	assert_int_equal(spool_create(&house->spool, &file), 0);
	assert_int_equal(file.id, far + 2);
	spool_remove(&house->spool, &file);
	assert_true(exists(house, "pid", far + 1));
}

static void test_pid_is_emptied(void **state)
{
	struct house *house = *state;

	for (uint64_t id = 1; id < 50; id++)
		touch(house, "pid", id);
	touch(house, "new", 1);
	assert_int_equal(spool_empty_pid(&house->spool), 0);
	for (uint64_t id = 1; id < 50; id++)
		assert_false(exists(house, "pid", id));
	assert_true(exists(house, "new", 1));
	/* A directory there is nobody's; say so instead of going on. */
	assert_int_equal(mkdirat(house->fd, "queue/pid/0/x", 0700), 0);
	assert_int_equal(spool_empty_pid(&house->spool), -1);
}

static void test_missing_folder_is_an_error(void **state)
{
	struct house *house = *state;
	struct spool_file file;

	assert_int_equal(unlinkat(house->fd, "queue/new/0", AT_REMOVEDIR), 0);
	spool_begin(&file);
	assert_int_equal(spool_create(&house->spool, &file), 0);
	write_message(&file);
	assert_int_equal(spool_publish(&house->spool, &file), -1);
	assert_int_equal(errno, ENOENT);
	spool_remove(&house->spool, &file);
	assert_false(exists(house, "pid", file.id));
	assert_int_equal(unlinkat(house->fd, "queue/pid/0", AT_REMOVEDIR), 0);
	spool_begin(&file);
	assert_int_equal(spool_create(&house->spool, &file), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(spool_empty_pid(&house->spool), -1);
}

int main(void)
{
#define IN_HOUSE(test)                                                         \
	cmocka_unit_test_setup_teardown(test, make_house, remove_house)
	const struct CMUnitTest tests[] = {
		IN_HOUSE(test_message_goes_from_pid_to_new),
		IN_HOUSE(test_removed_message_leaves_nothing),
		IN_HOUSE(test_ids_rise),
		IN_HOUSE(test_name_taken_in_new_is_left_alone),
		IN_HOUSE(test_name_taken_in_mess_is_left_alone),
		IN_HOUSE(test_name_taken_in_pid_is_left_alone),
		IN_HOUSE(test_pid_is_emptied),
		IN_HOUSE(test_missing_folder_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
