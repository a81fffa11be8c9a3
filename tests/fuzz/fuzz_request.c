/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FUSE requests of any bytes, over both transports, to the devices of a real store. Promises:
 * - each request is answered once, soundly and with its own number, unless it is one that expects no answer or has not
 *   even a whole header; an unsound one, with an error;
 * - what is answered is true: a device has the bytes of the writes and discards that succeeded, and no others;
 * - the next request is served, whatever was before.
 *
 * An input is a series of records. A record's head says how it comes; then follow the bytes of a request, and further
 * ones of a pattern, so that a short input makes a long request.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "codec/stream.h"
#include "frontend.h"
#include "fuse_abi.h"
#include "fuse_session.h"
#include "fuzz.h"
#include "store/device.h"
#include "support/small_store.h"
#include "transport_classic_request.h"
#include "transport_uring_internal.h"
#include "transport_uring_request.h"

#define DEVICE_BYTES ((size_t)68 << 10)
/* Not more than the first mount of a Linux kernel sends; these would end libfuse's session. */
#define DESTROY	  38
#define CUSE_INIT 4096

enum how {
	OVER_RING = 1 << 0,
	KEEP_LENGTH = 1 << 1, /* of the header, instead of the true one */
	KEEP_NODE = 1 << 2,   /* instead of the device's */
	ANY_PAYLOAD = 1 << 3, /* the ring's length of it is taken from the pattern */
};

struct head {
	uint8_t how;
	uint8_t argument_length; /* over the ring */
	uint16_t length;	 /* of the bytes that follow */
	uint16_t more;		 /* units of 16 bytes */
};

static struct {
	struct zs_store *store;
	struct zs_stream *stream;
	struct zsd_frontend *frontend;
	struct zs_device *device;
	uint64_t node;
	int fd; /* a memfd that answers are written to */
	_Atomic uint64_t nr_refused;
	struct zsd_classic_port port;
	struct zsd_uring uring;
	struct zsd_ring ring;
	struct zsd_ring_entry entry;
} world;

/* What the device has. */
static char model[DEVICE_BYTES], found[DEVICE_BYTES];
static bool is_changed;

/* The request at hand, as the kernel would have it, and its answer. */
static struct {
	_Alignas(8) char bytes[ZSD_CLASSIC_REQUEST_BYTES];
	size_t length;
	struct zsd_fuse_in_header header;
	size_t argument_length;
	bool is_answered;
	struct zsd_fuse_out_header out;
	char body[ZSD_FUSE_MAX_IO_BYTES];
	size_t body_length;
} request;

static void send_init(struct zsd_fuse_session *session)
{
	struct {
		struct zsd_fuse_in_header header;
		struct zsd_fuse_init_in in;
		char rest[44 + ZSD_FUSE_SLACK_BYTES]; /* flags3 and what is unused */
	} init = {
		.header = {.length = sizeof(init) - ZSD_FUSE_SLACK_BYTES, .opcode = ZSD_FUSE_INIT, .unique = 2},
		.in = {.major = ZSD_FUSE_MAJOR, .minor = 38, .max_readahead = 131072},
	};

	zs_assert(!zsd_fuse_session_init(session, &init, init.header.length, false));
}

static void make_world(void)
{
	const struct zs_codec_params codec = {.codec = ZS_CODEC_LZ4, .level = 1};
	const struct zsd_frontend_ops *ops = &zsd_store_frontend_ops;
	struct zsd_fuse_session *session;
	uint64_t id;

	world.store = test_store_create(0);
	zs_assert(!zs_stream_create(0, &world.stream) && !zsd_frontend_create(world.store, &world.frontend));
	id = test_device_add(world.store, "device", DEVICE_BYTES, 4096, codec);
	world.device = zs_device_get(world.store, id, world.stream);
	world.node = zsd_frontend_node(id);
	world.fd = memfd_create("answers", MFD_CLOEXEC);
	zs_assert(world.fd >= 0 && !zsd_fuse_session_create(world.fd, ops, world.frontend, &session));
	send_init(session);
	world.port = (struct zsd_classic_port){
		.fd = world.fd,
		.server = {ops, world.frontend, world.stream, &world.nr_refused},
		.session = session,
		.pulse = &world.ring.pulse,
		.buffer = malloc(ZSD_CLASSIC_BUFFER_BYTES),
	};
	world.uring.options.session = session;
	world.ring.uring = &world.uring;
	world.ring.server = world.port.server;
	world.ring.scratch = malloc(ZSD_RING_SCRATCH_BYTES + ZSD_FUSE_SLACK_BYTES);
	world.entry.header = calloc(1, ZS_PAGE_SIZE);
	world.entry.payload = malloc(ZSD_FUSE_MAX_IO_BYTES);
	zs_assert(world.port.buffer && world.ring.scratch && world.entry.header && world.entry.payload);
}

/* the two ways */

static void clear_answers(void)
{
	zs_assert(!ftruncate(world.fd, 0) && lseek(world.fd, 0, SEEK_SET) == 0);
}

static void go_classic(void)
{
	off_t length;

	clear_answers();
	memcpy(zsd_classic_request(&world.port), request.bytes, request.length);
	zsd_classic_serve(&world.port, request.length);
	length = lseek(world.fd, 0, SEEK_CUR);
	request.is_answered = length > 0;
	if (!length)
		return;
	zs_assert(length >= (off_t)sizeof(request.out));
	request.body_length = (size_t)length - sizeof(request.out);
	zs_assert(request.body_length <= sizeof(request.body));
	zs_assert(pread(world.fd, &request.out, sizeof(request.out), 0) == (ssize_t)sizeof(request.out));
	zs_assert(pread(world.fd, request.body, request.body_length, sizeof(request.out)) ==
		  (ssize_t)request.body_length);
}

/* The fixed part of an opcode, and what follows it, are apart here. */
static void go_over_ring(size_t argument_length, bool any_payload)
{
	struct zsd_fuse_ring_header *header = world.entry.header;
	const char *rest = request.bytes + sizeof(header->in);
	size_t length = request.length - sizeof(header->in);

	memset(header, 0, sizeof(*header));
	header->in = request.header;
	argument_length = zs_min(zs_min(argument_length, length), sizeof(header->argument));
	memcpy(header->argument, rest, argument_length);
	length = zs_min(length - argument_length, ZSD_FUSE_MAX_IO_BYTES);
	memcpy(world.entry.payload, rest + argument_length, length);
	header->payload_length = (uint32_t)length;
	if (any_payload)
		memcpy(&header->payload_length, request.bytes, sizeof(header->payload_length));
	header->commit_id = request.header.unique;
	zsd_ring_is_large(&world.entry);
	zsd_ring_is_long(&world.entry);
	zs_assert(zsd_ring_work(&world.entry));
	zsd_ring_answer(&world.ring, &world.entry);
	request.argument_length = argument_length;
	request.is_answered = true;
	request.out = header->out;
	request.body_length = header->payload_length;
	zs_assert(request.body_length <= sizeof(request.body));
	memcpy(request.body, world.entry.payload, request.body_length);
}

/* the model */

static void check_answer(void)
{
	const struct zsd_fuse_out_header *out = &request.out;

	zs_assert(out->unique == request.header.unique);
	zs_assert(out->length == sizeof(*out) + request.body_length);
	zs_assert(out->error <= 0 && out->error >= -ZSD_FUSE_ERRNO_MAX);
	zs_assert(!out->error || !request.body_length);
}

static void apply_write(const struct zsd_fuse_write_in *in, const char *data)
{
	struct zsd_fuse_write_out out;

	zs_assert(request.body_length == sizeof(out));
	memcpy(&out, request.body, sizeof(out));
	zs_assert(out.size <= in->size && in->offset + out.size <= DEVICE_BYTES);
	if (out.size)
		memcpy(model + in->offset, data, out.size);
}

static void apply_read(const struct zsd_fuse_read_in *in)
{
	zs_assert(request.body_length <= in->size);
	if (in->offset >= DEVICE_BYTES) {
		zs_assert(!request.body_length);
		return;
	}
	zs_assert(request.body_length == zs_min(in->size, DEVICE_BYTES - in->offset));
	zs_assert(!memcmp(model + in->offset, request.body, request.body_length));
}

static void apply_fallocate(const struct zsd_fuse_fallocate_in *in)
{
	if (in->offset < DEVICE_BYTES)
		memset(model + in->offset, 0, zs_min(in->length, DEVICE_BYTES - in->offset));
}

/* What a successful request of the device's file has done. */
static void apply(void)
{
	const char *argument = request.bytes + sizeof(request.header);
	union {
		struct zsd_fuse_read_in read;
		struct zsd_fuse_write_in write;
		struct zsd_fuse_fallocate_in fallocate;
	} in;

	memcpy(&in, argument, sizeof(in));
	is_changed |= request.header.opcode != ZSD_FUSE_READ;
	if (request.header.opcode == ZSD_FUSE_WRITE)
		apply_write(&in.write, argument + sizeof(in.write));
	else if (request.header.opcode == ZSD_FUSE_READ)
		apply_read(&in.read);
	else if (request.header.opcode == ZSD_FUSE_FALLOCATE)
		apply_fallocate(&in.fallocate);
}

static void check_device(void)
{
	zs_assert(!zs_device_read(world.device, world.stream, 0, found, DEVICE_BYTES));
	zs_assert(!memcmp(found, model, DEVICE_BYTES));
}

/* records */

/* Fills the request. Returns false if the kernel would not send it. */
static bool make_request(const struct head *head, const uint8_t *bytes)
{
	request.length = zs_min(head->length + (size_t)head->more * 16, sizeof(request.bytes));
	memcpy(request.bytes, bytes, head->length);
	for (size_t i = head->length; i < request.length; i++)
		request.bytes[i] = (char)(i >> 6);
	memset(&request.header, 0, sizeof(request.header));
	memcpy(&request.header, request.bytes, zs_min(request.length, sizeof(request.header)));
	if (!(head->how & KEEP_LENGTH))
		request.header.length = (uint32_t)request.length;
	if (!(head->how & KEEP_NODE))
		request.header.node = world.node;
	memcpy(request.bytes, &request.header, zs_min(request.length, sizeof(request.header)));
	return request.header.opcode != ZSD_FUSE_INIT && request.header.opcode != DESTROY &&
	       request.header.opcode != CUSE_INIT;
}

/* Without a whole header it can't be answered, but is counted; with one, whoever asked is told. */
static void check_unsound(uint64_t nr_refused)
{
	uint32_t opcode = request.header.opcode;
	bool is_silent = opcode == ZSD_FUSE_INTERRUPT || opcode == ZSD_FUSE_FORGET || opcode == ZSD_FUSE_BATCH_FORGET;

	zs_assert(world.nr_refused > nr_refused);
	zs_assert(request.is_answered == (request.length >= sizeof(request.header) && !is_silent));
	zs_assert(!request.is_answered || request.out.error == -EIO);
}

static void run(const struct head *head, const uint8_t *bytes)
{
	uint64_t nr_refused = world.nr_refused;

	if (!make_request(head, bytes))
		return;
	if (!(head->how & OVER_RING))
		go_classic();
	else if (request.length >= sizeof(request.header))
		go_over_ring(head->argument_length, head->how & ANY_PAYLOAD);
	else
		return;
	if (request.is_answered)
		check_answer();
	if (request.is_answered && !request.out.error && request.header.node == world.node)
		apply();
	if (request.length != request.header.length && !(head->how & OVER_RING))
		check_unsound(nr_refused);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct head head;

	if (!world.store)
		make_world();
	while (size >= sizeof(head)) {
		memcpy(&head, data, sizeof(head));
		data += sizeof(head);
		size -= sizeof(head);
		head.length = (uint16_t)zs_min(head.length, size);
		run(&head, data);
		data += head.length;
		size -= head.length;
	}
	check_device();
	if (is_changed) {
		zs_assert(!zs_device_discard(world.device, world.stream, 0, DEVICE_BYTES));
		memset(model, 0, sizeof(model));
		is_changed = false;
	}
	return 0;
}
