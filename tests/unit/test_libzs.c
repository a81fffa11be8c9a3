/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libzs.so exports; linked with that, and nothing else of ours. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/libzs.h"

#define DISK_BYTES ((uint64_t)1 << 20)

static struct zs_disks *disks;
static struct zs_disk *disk;

static void make_disk(void)
{
	const struct zs_disk_options options = {.name = "a", .size_bytes = DISK_BYTES};

	cr_assert_eq(zs_disks_create(0, &disks), 0);
	cr_assert_eq(zs_disks_add(disks, &options), 0);
	cr_assert_eq(zs_disk_open(disks, "a", &disk), 0);
}

static void drop_disk(void)
{
	zs_disk_close(disk);
	zs_disks_destroy(disks);
}

Test(libzs, what_is_written_is_read_again, .init = make_disk, .fini = drop_disk)
{
	char out[10000] = "", in[10000];
	size_t done = 0;

	memset(in, 'x', sizeof(in));
	cr_assert_eq(zs_disk_write(disk, 4095, in, sizeof(in), &done), 0);
	cr_assert_eq(done, sizeof(in));
	cr_assert_eq(zs_disk_read(disk, 4095, out, sizeof(out)), 0);
	cr_assert_arr_eq(out, in, sizeof(in));
	cr_assert_eq(zs_disk_read(disk, 0, out, 4095), 0);
	cr_assert_eq(out[0], 0);
	cr_assert_eq(out[4094], 0);
}

Test(libzs, info_follows_writes_and_discards, .init = make_disk, .fini = drop_disk)
{
	struct zs_disk_info info;
	char data[8192];
	size_t done;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i / 16);
	cr_assert_eq(zs_disk_info(disk, &info), 0);
	cr_assert_eq(info.size_bytes, DISK_BYTES);
	cr_assert_eq(info.block_size, 4096);
	cr_assert_eq(info.data_bytes, 0);
	cr_assert_eq(zs_disk_write(disk, 0, data, sizeof(data), &done), 0);
	cr_assert_eq(zs_disk_info(disk, &info), 0);
	cr_assert_eq(info.data_bytes, 8192);
	cr_assert_gt(info.compressed_bytes, 0);
	cr_assert_lt(info.compressed_bytes, 8192);
	cr_assert_eq(zs_disk_discard(disk, 0, DISK_BYTES), 0);
	cr_assert_eq(zs_disk_info(disk, &info), 0);
	cr_assert_eq(info.data_bytes, 0);
}

Test(libzs, mistakes_are_answered_by_name, .init = make_disk, .fini = drop_disk)
{
	struct zs_disk_options options = {.name = "a", .size_bytes = DISK_BYTES};
	struct zs_disk *other;
	char data[16] = "";
	size_t done;

	cr_assert_eq(zs_disks_add(disks, &options), -EEXIST);
	options.name = "b";
	options.algorithm = "gzip";
	cr_assert_eq(zs_disks_add(disks, &options), -EINVAL);
	options.algorithm = "zstd:3";
	options.size_bytes = 1000;
	cr_assert_eq(zs_disks_add(disks, &options), -EINVAL);
	options.size_bytes = DISK_BYTES;
	options.reserved[6] = 1;
	cr_assert_eq(zs_disks_add(disks, &options), -EINVAL);
	options.reserved[6] = 0;
	cr_assert_eq(zs_disks_add(disks, &options), 0);
	cr_assert_eq(zs_disk_open(disks, "c", &other), -ENODEV);
	cr_assert_eq(zs_disk_read(disk, DISK_BYTES - 8, data, 16), -EINVAL);
	cr_assert_eq(zs_disk_write(disk, DISK_BYTES - 8, data, 16, &done), -ENOSPC);
	cr_assert_eq(zs_disks_remove(disks, "c"), -ENODEV);
}

Test(libzs, a_removed_disk_answers_ENODEV_to_its_handles, .init = make_disk, .fini = drop_disk)
{
	struct zs_disk_info info;
	char data[16] = "";
	size_t done;

	cr_assert_eq(zs_disks_remove(disks, "a"), 0);
	cr_assert_eq(zs_disk_read(disk, 0, data, 16), -ENODEV);
	cr_assert_eq(zs_disk_write(disk, 0, data, 16, &done), -ENODEV);
	cr_assert_eq(zs_disk_discard(disk, 0, 16), -ENODEV);
	cr_assert_eq(zs_disk_info(disk, &info), -ENODEV);
}

/* A daemon of one reply. */
struct server {
	int fd;
	const char *reply;
	char call[512];
};

static void *answer(void *argument)
{
	struct server *server = argument;
	int fd = accept(server->fd, NULL, NULL);

	cr_assert_geq(read(fd, server->call, sizeof(server->call) - 1), 1);
	cr_assert_eq(write(fd, server->reply, strlen(server->reply) + 1), (ssize_t)strlen(server->reply) + 1);
	close(fd);
	return NULL;
}

static int call_once(const char *reply_text, const char *parameters, struct server *server, char **ret_reply)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	pthread_t thread;
	int r;

	*server = (struct server){.fd = socket(AF_UNIX, SOCK_STREAM, 0), .reply = reply_text};
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/zsd-test-libzs.%d", (int)getpid());
	/* Of a process that was killed, and had the same number. */
	unlink(address.sun_path);
	cr_assert_eq(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(server->fd, 1), 0);
	cr_assert_eq(pthread_create(&thread, NULL, answer, server), 0);
	r = zs_call(address.sun_path, "io.zsd.control.List", parameters, ret_reply);
	pthread_join(thread, NULL);
	unlink(address.sun_path);
	close(server->fd);
	return r;
}

Test(libzs, a_call_brings_the_reply_as_text)
{
	struct server server;
	char *reply;

	cr_assert_eq(call_once("{\"parameters\":{\"devices\":[]}}", "{\"match\":\"a\"}", &server, &reply), 0);
	cr_assert_str_eq(reply, "{\"devices\":[]}");
	cr_assert(strstr(server.call, "\"io.zsd.control.List\""));
	cr_assert(strstr(server.call, "\"match\""));
	free(reply);
}

Test(libzs, an_error_of_the_daemon_is_EREMOTEIO_with_its_name)
{
	struct server server;
	char *reply;

	cr_assert_eq(call_once("{\"error\":\"a.B\",\"parameters\":{\"x\":1}}", NULL, &server, &reply), -EREMOTEIO);
	cr_assert_str_eq(reply, "{\"error\":\"a.B\",\"parameters\":{\"x\":1}}");
	free(reply);
}

Test(libzs, calls_that_can_not_be_made_say_why)
{
	char *reply;

	cr_assert_eq(zs_call("/nonexistent", "a.B", NULL, &reply), -ENOENT);
	cr_assert_eq(zs_call("/nonexistent", "a.B", "[1]", &reply), -EINVAL);
	cr_assert_eq(zs_call("/nonexistent", "a.B", "{", &reply), -EINVAL);
}
