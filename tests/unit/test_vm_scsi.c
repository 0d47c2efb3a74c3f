/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_scsi.c -- the CD drive, as a driver of virtio's SCSI host sees it:
 * commands, what they are told, and what no driver may send.
 */
#include "tests/unit/vm_virtio.h"
#include "tests/unit/vm_driver.h"

#define SECTORS		32u		/* and a part of one */
#define SERIAL		"serial-number-of-20"
#define REQUEST		DRIVER_DATA
#define ANSWER		(DRIVER_DATA + 0x1000)
#define DATA		(DRIVER_DATA + 0x2000)

static int setup(void **state)
{
	u8 sector[CD_SECTOR];
	unsigned i;

	(void)state;
	virtio_machine(true);
	for (i = 0; i < SECTORS; i++) {
		memset(sector, (int)i + 1, sizeof(sector));
		assert_int_equal(pwrite(disk.fd, sector, sizeof(sector),
					i * CD_SECTOR), sizeof(sector));
	}
	driver_finds(&cd.virtio);
	driver_start(0);
	return 0;
}

static void push(unsigned q, u16 head)
{
	offer(q, head);
	virtio_serve(&cd.virtio);
	io_finish();
}

/* A command with room for so much data; gives the answer. */
static const u8 *command_to(u8 target, u8 lun, const u8 *cdb, size_t len,
			    u32 room)
{
	u8 *r = mem_at(REQUEST);

	memset(r, 0, R_LEN);
	r[0] = 1;
	r[1] = target;
	r[2] = 0x40;
	r[3] = lun;
	memcpy(r + R_CDB, cdb, len);
	memset(mem_at(ANSWER), 0xee, SCSI_ANSWER);
	memset(mem_at(DATA), 0xee, 4 * CD_SECTOR);
	desc(Q_REQUEST, 0, REQUEST, R_LEN, DESC_NEXT, 1);
	/* In pieces: framing is the driver's business. */
	desc(Q_REQUEST, 1, ANSWER, 5, DESC_NEXT | DESC_WRITE, 2);
	desc(Q_REQUEST, 2, ANSWER + 5, SCSI_ANSWER - 5,
	     (room ? DESC_NEXT : 0) | DESC_WRITE, 3);
	desc(Q_REQUEST, 3, DATA, room, DESC_WRITE, 0);
	push(Q_REQUEST, 0);
	assert_int_equal(used(Q_REQUEST), pushed[Q_REQUEST]);
	assert_false(broke());
	return mem_at(ANSWER);
}

#define COMMAND(room, ...) ({						\
	const u8 cdb[] = { __VA_ARGS__ };				\
	command_to(0, 0, cdb, sizeof(cdb), room);			\
})

/* It gave so many bytes of data, and the rest of the room is as it was. */
static const u8 *gave(const u8 *answer, u32 len, u32 room)
{
	assert_int_equal(answer[A_RESPONSE], S_OK);
	assert_int_equal(answer[A_STATUS], 0);
	assert_int_equal(get32(answer + A_SENSE_LEN), 0);
	assert_int_equal(get32(answer + A_RESIDUAL), room - len);
	assert_int_equal(get32(mem_at(Q_USED(Q_REQUEST) + 8 + 8 *
			 ((pushed[Q_REQUEST] - 1u) % Q_SIZE))),
			 SCSI_ANSWER + len);
	if (len < room)
		assert_int_equal(*mem_at(DATA + len), 0xee);
	return mem_at(DATA);
}

static void refused(const u8 *answer, u8 key, u32 code)
{
	const u8 *sense = answer + A_SENSE;

	assert_int_equal(answer[A_RESPONSE], S_OK);
	assert_int_equal(answer[A_STATUS], CHECK_CONDITION);
	assert_int_equal(get32(answer + A_SENSE_LEN), SENSE_LEN);
	assert_int_equal(sense[0], 0x70);
	assert_int_equal(sense[2], key);
	assert_int_equal(get_be16(sense + 12), code);
}

static void test_configuration(void **state)
{
	(void)state;
	pci_write(&pci, 0, 4, 0x80000000 | cd.virtio.slot << 11);
	assert_int_equal(pci_read(&pci, 4, 4), 0x10481af4);
	assert_int_equal(get(C_QUEUES, 2), 3);
	assert_int_equal(get(DEVICE + G_QUEUES, 4), 1);
	assert_int_equal(get(DEVICE + G_SENSE_SIZE, 4), 96);
	assert_int_equal(get(DEVICE + G_CDB_SIZE, 4), 32);
	assert_int_equal(get(DEVICE + G_MAX_TARGET, 2), 0);
}

static void test_read(void **state)
{
	const u8 *d;

	(void)state;
	d = gave(COMMAND(4 * CD_SECTOR, READ_10, 0, 0, 0, 0, 3, 0, 0, 2),
		 2 * CD_SECTOR, 4 * CD_SECTOR);
	assert_int_equal(d[0], 4);
	assert_int_equal(d[CD_SECTOR], 5);
	d = gave(COMMAND(CD_SECTOR, READ_12, 0, 0, 0, 0, SECTORS - 1, 0, 0, 0,
			 1), CD_SECTOR, CD_SECTOR);
	assert_int_equal(d[CD_SECTOR - 1], SECTORS);
	gave(COMMAND(0, READ_10, 0, 0, 0, 0, SECTORS, 0, 0, 0), 0, 0);
	/* Beyond the end. */
	refused(COMMAND(CD_SECTOR, READ_10, 0, 0, 0, 0, SECTORS, 0, 0, 1),
		ILLEGAL_REQUEST, BAD_LBA);
	refused(COMMAND(CD_SECTOR, READ_10, 0, 0, 0, 0, SECTORS - 1, 0, 0, 2),
		ILLEGAL_REQUEST, BAD_LBA);
	refused(COMMAND(CD_SECTOR, READ_12, 0, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff), ILLEGAL_REQUEST, BAD_LBA);
	/* More than there is room for. */
	assert_int_equal(COMMAND(CD_SECTOR, READ_10, 0, 0, 0, 0, 0, 0, 0, 2)
			 [A_RESPONSE], S_OVERRUN);
	io_error = EIO;
	refused(COMMAND(CD_SECTOR, READ_10, 0, 0, 0, 0, 0, 0, 0, 1),
		MEDIUM_ERROR, READ_ERROR);
	io_error = 0;
	assert_int_equal(cd.busy, 0);
}

static void test_about(void **state)
{
	const u8 *d;

	(void)state;
	gave(COMMAND(0, TEST_UNIT_READY), 0, 0);
	d = gave(COMMAND(96, INQUIRY, 0, 0, 0, 96), 36, 96);
	assert_int_equal(d[0], TYPE_CD);
	assert_memory_equal(d + 8, "JOIST   CD-ROM ", 15);
	/* Cut to the allocation length, and to the room. */
	gave(COMMAND(96, INQUIRY, 0, 0, 0, 5), 5, 96);
	gave(COMMAND(7, INQUIRY, 0, 0, 0, 96), 7, 7);
	d = gave(COMMAND(96, INQUIRY, 1, 0x80, 0, 96),
		 4 + sizeof(SERIAL) - 1, 96);
	assert_memory_equal(d + 4, SERIAL, sizeof(SERIAL) - 1);
	d = gave(COMMAND(96, INQUIRY, 1, 0x83, 0, 96),
		 16 + sizeof(SERIAL) - 1, 96);
	assert_int_equal(d[3], 12 + sizeof(SERIAL) - 1);
	refused(COMMAND(96, INQUIRY, 1, 0xb0, 0, 96), ILLEGAL_REQUEST,
		BAD_FIELD);
	refused(COMMAND(96, INQUIRY, 0, 0x80, 0, 96), ILLEGAL_REQUEST,
		BAD_FIELD);
	d = gave(COMMAND(18, REQUEST_SENSE, 0, 0, 0, 18), 18, 18);
	assert_int_equal(d[2], 0);
	d = gave(COMMAND(8, READ_CAPACITY), 8, 8);
	assert_int_equal(get_be32(d), SECTORS - 1);
	assert_int_equal(get_be32(d + 4), CD_SECTOR);
	d = gave(COMMAND(64, REPORT_LUNS, 0, 0, 0, 0, 0, 0, 0, 0, 64), 16, 64);
	assert_int_equal(get_be32(d), 8);
	refused(COMMAND(64, 0x2a), ILLEGAL_REQUEST, BAD_OPCODE);
	refused(COMMAND(64, 0xff), ILLEGAL_REQUEST, BAD_OPCODE);
}

static void test_medium(void **state)
{
	const u8 *d;
	u8 msf[4] = { 0 };

	(void)state;
	d = gave(COMMAND(64, READ_TOC, 0, 0, 0, 0, 0, 0, 0, 64), 20, 64);
	assert_int_equal(get_be16(d), 18);
	assert_int_equal(d[6], 1);
	assert_int_equal(d[14], LEAD_OUT);
	assert_int_equal(get_be32(d + 16), SECTORS);
	gave(COMMAND(64, READ_TOC, 0, 0, 0, 0, 0, LEAD_OUT, 0, 64), 12, 64);
	gave(COMMAND(64, READ_TOC, 0, 1, 0, 0, 0, 0, 0, 64), 12, 64);
	/* The same in minutes, seconds and frames. */
	d = gave(COMMAND(64, READ_TOC, 2, 0, 0, 0, 0, 0, 0, 64), 20, 64);
	assert_memory_equal(d + 8, "\0\0\2\0", 4);
	assert_int_equal(d[16], 0);
	assert_int_equal((d[17] * 60 + d[18]) * 75 + d[19], SECTORS + 150);
	put_msf(msf, ~0u);
	assert_memory_equal(msf, "\0\xff\x3b\x4a", 4);
	refused(COMMAND(64, READ_TOC, 0, 0, 0, 0, 0, 2, 0, 64),
		ILLEGAL_REQUEST, BAD_FIELD);
	refused(COMMAND(64, READ_TOC, 0, 4, 0, 0, 0, 0, 0, 64),
		ILLEGAL_REQUEST, BAD_FIELD);
	d = gave(COMMAND(64, MODE_SENSE_10, 0, 0x2a, 0, 0, 0, 0, 0, 64), 30,
		 64);
	assert_int_equal(get_be16(d), 28);
	assert_int_equal(d[8], 0x2a);
	d = gave(COMMAND(64, MODE_SENSE_6, 0, 0x3f, 0, 64), 26, 64);
	assert_int_equal(d[0], 25);
	refused(COMMAND(64, MODE_SENSE_6, 0, 0x08, 0, 64), ILLEGAL_REQUEST,
		BAD_FIELD);
	d = gave(COMMAND(64, GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 0, 64), 20,
		 64);
	assert_int_equal(get_be32(d), 16);
	assert_int_equal(get_be16(d + 6), PROFILE_CD);
	d = gave(COMMAND(64, GET_EVENT, 1, 0, 0, 0x10, 0, 0, 0, 64), 8, 64);
	assert_int_equal(d[5], 2);
	d = gave(COMMAND(64, GET_EVENT, 1, 0, 0, 0x02, 0, 0, 0, 64), 4, 64);
	assert_int_equal(d[2], 0x80);
	refused(COMMAND(64, GET_EVENT, 0, 0, 0, 0x10, 0, 0, 0, 64),
		ILLEGAL_REQUEST, BAD_FIELD);
	/* It does not go out. */
	gave(COMMAND(0, PREVENT_REMOVAL, 0, 0, 0, 1), 0, 0);
	gave(COMMAND(0, START_STOP, 0, 0, 0, 1), 0, 0);
	refused(COMMAND(0, START_STOP, 0, 0, 0, 2), ILLEGAL_REQUEST,
		REMOVAL_PREVENTED);
}

static void test_targets(void **state)
{
	static const u8 cdb[] = { INQUIRY, 0, 0, 0, 36 };

	(void)state;
	assert_int_equal(command_to(1, 0, cdb, 5, 36)[A_RESPONSE],
			 S_BAD_TARGET);
	assert_int_equal(command_to(0, 1, cdb, 5, 36)[A_RESPONSE],
			 S_BAD_TARGET);
	assert_int_equal(*mem_at(DATA), 0xee);
}

/* Task management, and the queue of events that never come. */
static void test_control(void **state)
{
	u8 *r = mem_at(REQUEST), *a = mem_at(ANSWER);

	(void)state;
	memset(r, 0, TMF_LEN);
	r[8] = 1;
	*a = 0xee;
	desc(Q_CONTROL, 0, REQUEST, TMF_LEN, DESC_NEXT, 1);
	desc(Q_CONTROL, 1, ANSWER, 1, DESC_WRITE, 0);
	push(Q_CONTROL, 0);
	assert_int_equal(*a, S_OK);
	r[9] = 3;
	push(Q_CONTROL, 0);
	assert_int_equal(*a, S_BAD_TARGET);
	/* With something under way. */
	r[9] = 0;
	cd.busy = 1;
	push(Q_CONTROL, 0);
	assert_int_equal(*a, S_REJECTED);
	cd.busy = 0;
	/* Asynchronous notification: of nothing. */
	memset(r, 0, AN_LEN);
	put32(r, T_AN_QUERY);
	r[4] = 1;
	desc(Q_CONTROL, 0, REQUEST, AN_LEN, DESC_NEXT, 1);
	desc(Q_CONTROL, 1, ANSWER, 5, DESC_WRITE, 0);
	push(Q_CONTROL, 0);
	assert_int_equal(get32(a), 0);
	assert_int_equal(a[4], S_OK);
	desc(Q_EVENT, 0, DATA, 16, DESC_WRITE, 0);
	push(Q_EVENT, 0);
	assert_int_equal(used(Q_EVENT), 0);
	assert_false(broke());
	put32(r, 77);
	push(Q_CONTROL, 0);
	assert_true(broke());
}

static void test_bad_chains(void **state)
{
	static const struct {
		unsigned queue;
		u32 out, in;
	} bad[] = {
		{ Q_REQUEST, R_LEN - 1, SCSI_ANSWER },
		{ Q_REQUEST, R_LEN, SCSI_ANSWER - 1 },
		{ Q_CONTROL, 3, 1 },
		{ Q_CONTROL, TMF_LEN - 1, 1 },
		{ Q_CONTROL, TMF_LEN, 0 },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		setup(NULL);
		memset(mem_at(REQUEST), 0, R_LEN);
		desc(bad[i].queue, 0, REQUEST, bad[i].out, DESC_NEXT, 1);
		desc(bad[i].queue, 1, ANSWER, bad[i].in, DESC_WRITE, 0);
		push(bad[i].queue, 0);
		assert_true(broke());
		/* A reset mends it. */
		driver_start(0);
		gave(COMMAND(0, TEST_UNIT_READY), 0, 0);
	}
}

/* A reset while it reads: the device is reset once that has ended. */
static void test_reset(void **state)
{
	static const u8 cdb[] = { READ_10, 0, 0, 0, 0, 0, 0, 0, 1 };
	u8 *r = mem_at(REQUEST);

	(void)state;
	memset(r, 0, R_LEN);
	r[0] = 1;
	memcpy(r + R_CDB, cdb, sizeof(cdb));
	desc(Q_REQUEST, 0, REQUEST, R_LEN, DESC_NEXT, 1);
	desc(Q_REQUEST, 1, ANSWER, SCSI_ANSWER, DESC_NEXT | DESC_WRITE, 2);
	desc(Q_REQUEST, 2, DATA, CD_SECTOR, DESC_WRITE, 0);
	put16(mem_at(Q_AVAIL(Q_REQUEST) + 2), 1);
	set(NOTIFY + 4 * Q_REQUEST, 2, Q_REQUEST);
	virtio_serve(&cd.virtio);
	assert_int_equal(cd.busy, 1);
	set(C_STATUS, 1, 0);
	assert_int_not_equal(get(C_STATUS, 1), 0);
	io_finish();
	assert_int_equal(cd.busy, 0);
	driver_start(0);
	gave(COMMAND(0, TEST_UNIT_READY), 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_configuration, setup),
		cmocka_unit_test_setup(test_read, setup),
		cmocka_unit_test_setup(test_about, setup),
		cmocka_unit_test_setup(test_medium, setup),
		cmocka_unit_test_setup(test_targets, setup),
		cmocka_unit_test_setup(test_control, setup),
		cmocka_unit_test_setup(test_bad_chains, setup),
		cmocka_unit_test_setup(test_reset, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
