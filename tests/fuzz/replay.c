/*
 * replay - run a fuzz target over the files named, or in the folders named.
 *
 * For each input it also tries every prefix up to 512 bytes: parsers fail at
 * ends. Exits 0 when all were taken; a crash ends it by signal.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

/* A heap block of exactly this size, so that sanitizers see over-reads. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static unsigned long replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0;
	size_t cap = 0;
	size_t got;

	if (!file) {
		perror(path);
		exit(111);
	}
	do {
		cap = cap * 2 + 4096;
		data = realloc(data, cap);
		if (!data)
			abort();
		got = fread(data + size, 1, cap - size, file);
		size += got;
	} while (got);
	fclose(file);
	run(data, size);
	for (size_t part = 0; part < size && part < 512; part++)
		run(data, part);
	free(data);
	return 1;
}

static unsigned long replay(const char *path)
{
	struct stat st;
	unsigned long count = 0;
	struct dirent *entry;
	DIR *dir;

	if (stat(path, &st) == -1) {
		perror(path);
		exit(111);
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	dir = opendir(path);
	if (!dir) {
		perror(path);
		exit(111);
	}
	while ((entry = readdir(dir))) {
		char below[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		count += replay(below);
	}
	closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	unsigned long count = 0;

	for (int i = 1; i < argc; i++)
		count += replay(argv[i]);
	printf("%s: %lu inputs\n", argv[0], count);
	return count ? 0 : 100;
}
