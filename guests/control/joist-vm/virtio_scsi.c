/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_scsi.c -- virtio's "SCSI Host Device" with a CD drive as its only
 * target: what firmware, installers and "eject" ask of one.
 *
 * Commands are those of "SCSI Primary Commands" (SPC-3) and "Multi-Media
 * Commands" (MMC-5).  The medium is always in and stays in.
 */
#include <string.h>

#include "board.h"
#include "vhost_blk.h"
#include "virtio_scsi.h"

/* "Device configuration layout". */
#define G_QUEUES	0
#define G_SEG_MAX	4
#define G_MAX_SECTORS	8
#define G_CMD_PER_LUN	12
#define G_EVENT_SIZE	16
#define G_SENSE_SIZE	20
#define G_CDB_SIZE	24
#define G_MAX_TARGET	30
#define G_LEN		36

enum { Q_CONTROL, Q_EVENT, Q_REQUEST, QUEUES };

/* "Device Operation: Request Queues"; offsets in request and answer. */
#define CDB_LEN		32
#define R_LUN		0
#define R_CDB		19
#define R_LEN		(R_CDB + CDB_LEN)
#define A_SENSE_LEN	0
#define A_RESIDUAL	4
#define A_STATUS	10
#define A_RESPONSE	11
#define A_SENSE		12

/* "Device Operation: controlq". */
#define T_TMF		0
#define T_AN_QUERY	1
#define T_AN_SUBSCRIBE	2
#define TMF_LEN		24	/* type, subtype, LUN, tag */
#define AN_LEN		16

#define S_OK		0
#define S_OVERRUN	1
#define S_BAD_TARGET	3
#define S_REJECTED	11

/* SPC-3: status, sense keys, additional codes (ASC << 8 | ASCQ). */
#define CHECK_CONDITION	2
#define MEDIUM_ERROR	3
#define ILLEGAL_REQUEST	5
#define READ_ERROR	0x1100
#define BAD_OPCODE	0x2000
#define BAD_LBA		0x2100
#define BAD_FIELD	0x2400
#define REMOVAL_PREVENTED 0x5302
#define SENSE_LEN	18

enum {
	TEST_UNIT_READY = 0x00, REQUEST_SENSE = 0x03, INQUIRY = 0x12,
	MODE_SENSE_6 = 0x1a, START_STOP = 0x1b, PREVENT_REMOVAL = 0x1e,
	READ_CAPACITY = 0x25, READ_10 = 0x28, READ_TOC = 0x43,
	GET_CONFIGURATION = 0x46, GET_EVENT = 0x4a, MODE_SENSE_10 = 0x5a,
	REPORT_LUNS = 0xa0, READ_12 = 0xa8,
};

#define TYPE_CD		5
#define PROFILE_CD	0x0008
#define PROFILE_DVD	0x0010
#define CD_MOST		(360000u)	/* sectors: an 80 minutes' disc */
#define DATA_TRACK	0x14
#define LEAD_OUT	0xaa
#define MSF_FRAMES	75u		/* a second */
#define MSF_OFFSET	150u		/* sector 0 is two seconds in */
#define MSF_MOST	(256u * 60 * MSF_FRAMES - 1 - MSF_OFFSET)

#define REPLY_MAX	64
#define CLASS_SCSI	0x010000

static void put_be16(u8 *p, u32 v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

static void put_be32(u8 *p, u32 v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

static u32 get_be16(const u8 *p)
{
	return (u32)p[0] << 8 | p[1];
}

static u32 get_be32(const u8 *p)
{
	return get_be16(p) << 16 | get_be16(p + 2);
}

/* ---- answers ---- */

static void cd_finish(struct cd_request *r, const u8 answer[SCSI_ANSWER])
{
	struct cd *cd = r->cd;
	struct iovec *iov = r->answer;

	iov_give(&iov, &r->answers, answer, SCSI_ANSWER);
	virtq_put(&cd->virtio, r->queue, r->chain.head,
		  SCSI_ANSWER + r->written);
	r->next = cd->free;
	cd->free = r;
	if (cd->stalled) {
		cd->stalled = false;
		board_kick(cd->virtio.slot);
	}
}

static void cd_respond(struct cd_request *r, u8 response)
{
	u8 answer[SCSI_ANSWER] = { [A_RESPONSE] = response };

	put32(answer + A_RESIDUAL, (u32)(r->chain.in_len - SCSI_ANSWER -
					 r->written));
	cd_finish(r, answer);
}

/* "Fixed format sense data". */
static void make_sense(u8 sense[SENSE_LEN], u8 key, u32 code)
{
	memset(sense, 0, SENSE_LEN);
	sense[0] = 0x70;
	sense[2] = key;
	sense[7] = SENSE_LEN - 8;
	put_be16(sense + 12, code);
}

static void check_condition(struct cd_request *r, u8 key, u32 code)
{
	u8 answer[SCSI_ANSWER] = { [A_STATUS] = CHECK_CONDITION };

	r->written = 0;
	put32(answer + A_SENSE_LEN, SENSE_LEN);
	put32(answer + A_RESIDUAL, (u32)(r->chain.in_len - SCSI_ANSWER));
	make_sense(answer + A_SENSE, key, code);
	cd_finish(r, answer);
}

/* Data of a command, cut to what the initiator has room for. */
static void reply(struct cd_request *r, struct iovec *iov, unsigned count,
		  const u8 *data, u32 len, u32 room)
{
	len = MIN(len, room);
	len = (u32)MIN(len, iov_len(iov, count));
	iov_give(&iov, &count, data, len);
	r->written = len;
	cd_respond(r, S_OK);
}

/* ---- reading ---- */

static void read_done(struct io_op *op)
{
	struct cd_request *r = (struct cd_request *)op;

	r->cd->busy--;
	if (op->error) {
		board_disk_error(r->cd->disk, op, false);
		check_condition(r, MEDIUM_ERROR, READ_ERROR);
	} else {
		cd_respond(r, S_OK);
	}
	virtq_signal(&r->cd->virtio, r->queue);
}

static void read_sectors(struct cd_request *r, struct iovec *iov,
			 unsigned count, u32 sector, u32 sectors)
{
	struct io_op *op = &r->op;
	u64 len = (u64)sectors * CD_SECTOR;

	if (sector > r->cd->sectors || sectors > r->cd->sectors - sector) {
		check_condition(r, ILLEGAL_REQUEST, BAD_LBA);
		return;
	}
	if (len > iov_len(iov, count)) {
		cd_respond(r, S_OVERRUN);
		return;
	}
	if (!len) {
		cd_respond(r, S_OK);
		return;
	}
	r->written = (u32)len;
	op->kind = IO_READ;
	op->fd = r->cd->disk->fd;
	op->offset = (u64)sector * CD_SECTOR;
	op->len = len;
	op->iov = iov;
	op->count = iov_cut(iov, count, len);
	op->durable = false;
	op->done = read_done;
	r->cd->busy++;
	if (r->cd->daemon)
		vhost_blk_submit(r->cd->daemon, op);
	else
		io_submit(op);
}

/* ---- commands that tell about the drive ---- */

/* A reply's length, or 0: a field of the command is wrong. */

static u32 inquiry_page(const struct cd *cd, u8 page, u8 *p)
{
	static const u8 pages[] = { 0x00, 0x80, 0x83 };
	size_t serial = strlen(cd->disk->serial);

	p[0] = TYPE_CD;
	p[1] = page;
	switch (page) {
	case 0x00:
		p[3] = sizeof(pages);
		memcpy(p + 4, pages, sizeof(pages));
		return 4 + sizeof(pages);
	case 0x80:	/* "Unit Serial Number" */
		p[3] = (u8)serial;
		memcpy(p + 4, cd->disk->serial, serial);
		return 4 + (u32)serial;
	case 0x83:	/* "Device Identification": one by T10 vendor */
		p[3] = (u8)(4 + 8 + serial);
		p[4] = 2;
		p[5] = 1;
		p[7] = (u8)(8 + serial);
		memcpy(p + 8, "JOIST   ", 8);
		memcpy(p + 16, cd->disk->serial, serial);
		return 16 + (u32)serial;
	}
	return 0;
}

static u32 inquiry(const struct cd *cd, const u8 *cdb, u8 *p)
{
	if (cdb[1] & 1)
		return inquiry_page(cd, cdb[2], p);
	if (cdb[2])
		return 0;
	p[0] = TYPE_CD;
	p[1] = 0x80;		/* the medium can be removed, in principle */
	p[2] = 5;		/* SPC-3 */
	p[3] = 2;
	p[4] = 36 - 5;
	memcpy(p + 8, "JOIST   CD-ROM          0.1 ", 28);
	return 36;
}

/* "MM Capabilities and Mechanical Status Page": reads CDs and DVDs. */
static u32 capabilities(u8 *p)
{
	p[0] = 0x2a;
	p[1] = 20;
	p[2] = 0x3b;
	p[6] = 0x29;		/* a tray, can lock and eject in principle */
	put_be16(p + 8, 706 * 4);
	put_be16(p + 12, 512);
	put_be16(p + 14, 706 * 4);
	return 22;
}

static u32 mode_sense(const u8 *cdb, u8 *p)
{
	u32 header = cdb[0] == MODE_SENSE_6 ? 4 : 8, len;
	u8 page = cdb[2] & 0x3f;

	/* Only current values are there, and no values can be changed. */
	if ((page != 0x2a && page != 0x3f) || cdb[2] >> 6 == 3)
		return 0;
	len = header + capabilities(p + header);
	if (cdb[2] >> 6 == 1)
		memset(p + header + 2, 0, len - header - 2);
	if (header == 4)
		p[0] = (u8)(len - 1);
	else
		put_be16(p, len - 2);
	return len;
}

/* Minute, second and frame of a sector; a DVD's do not all fit, and the last stands
 * for those. */
static void put_msf(u8 *p, u32 sector)
{
	u32 at = MIN(sector, MSF_MOST) + MSF_OFFSET;

	p[1] = (u8)(at / (60 * MSF_FRAMES));
	p[2] = (u8)(at / MSF_FRAMES % 60);
	p[3] = (u8)(at % MSF_FRAMES);
}

/* "READ TOC/PMA/ATIP", of a disc with one data track. */
static u32 read_toc(const struct cd *cd, const u8 *cdb, u8 *p)
{
	void (*put)(u8 *p, u32 sector) = cdb[1] & 2 ? put_msf : put_be32;
	u32 end = cd->sectors, len = 4;
	u8 track = cdb[6], *d = p + 4;

	if ((cdb[2] & 15) > 1 || (track > 1 && track != LEAD_OUT))
		return 0;
	p[2] = p[3] = 1;
	/* Format 1: the last session's first track. */
	if (track <= 1 || (cdb[2] & 15) == 1) {
		d[1] = DATA_TRACK;
		d[2] = 1;
		put(d + 4, 0);
		len += 8;
		d += 8;
	}
	if ((cdb[2] & 15) == 0) {
		d[1] = DATA_TRACK;
		d[2] = LEAD_OUT;
		put(d + 4, end);
		len += 8;
	}
	put_be16(p, len - 2);
	return len;
}

/* "GET CONFIGURATION": the profiles, and which is current. */
static u32 get_configuration(const struct cd *cd, const u8 *cdb, u8 *p)
{
	bool dvd = cd->sectors > CD_MOST;
	u32 len = 8;

	put_be16(p + 6, dvd ? PROFILE_DVD : PROFILE_CD);
	if ((cdb[1] & 3) == 3 || ((cdb[1] & 3) == 2 && get_be16(cdb + 2)))
		return 0;
	if (!get_be16(cdb + 2)) {
		p[10] = 3;		/* persistent, current */
		p[11] = 8;
		put_be16(p + 12, PROFILE_DVD);
		p[14] = dvd;
		put_be16(p + 16, PROFILE_CD);
		p[18] = !dvd;
		len += 12;
	}
	put_be32(p, len - 4);
	return len;
}

/* "GET EVENT STATUS NOTIFICATION", polled: of media, and nothing has been. */
static u32 get_event(const u8 *cdb, u8 *p)
{
	bool media = cdb[4] & 0x10;

	if (!(cdb[1] & 1))
		return 0;
	p[1] = media ? 6 : 2;
	p[2] = media ? 4 : 0x80;
	p[3] = 0x10;
	p[5] = media ? 2 : 0;		/* the medium is in */
	return media ? 8 : 4;
}

static u32 report_luns(u8 *p)
{
	put_be32(p, 8);
	return 16;
}

static u32 read_capacity(const struct cd *cd, u8 *p)
{
	put_be32(p, cd->sectors - 1);
	put_be32(p + 4, CD_SECTOR);
	return 8;
}

/* Where the allocation length is, and the reply. */
static u32 make_reply(const struct cd *cd, const u8 *cdb, u8 *p, u32 *room)
{
	switch (cdb[0]) {
	case REQUEST_SENSE:
		*room = cdb[4];
		make_sense(p, 0, 0);
		return SENSE_LEN;
	case INQUIRY:
		*room = get_be16(cdb + 3);
		return inquiry(cd, cdb, p);
	case MODE_SENSE_6:
		*room = cdb[4];
		return mode_sense(cdb, p);
	case MODE_SENSE_10:
		*room = get_be16(cdb + 7);
		return mode_sense(cdb, p);
	case READ_CAPACITY:
		*room = 8;
		return read_capacity(cd, p);
	case READ_TOC:
		*room = get_be16(cdb + 7);
		return read_toc(cd, cdb, p);
	case GET_CONFIGURATION:
		*room = get_be16(cdb + 7);
		return get_configuration(cd, cdb, p);
	case GET_EVENT:
		*room = get_be16(cdb + 7);
		return get_event(cdb, p);
	default:		/* REPORT_LUNS */
		*room = get_be32(cdb + 6);
		return report_luns(p);
	}
}

static void tell(struct cd_request *r, const u8 *cdb, struct iovec *iov,
		 unsigned count)
{
	u8 data[REPLY_MAX] = { 0 };
	u32 room, len = make_reply(r->cd, cdb, data, &room);

	if (len)
		reply(r, iov, count, data, len, room);
	else
		check_condition(r, ILLEGAL_REQUEST, BAD_FIELD);
}

static void cd_command(struct cd_request *r, const u8 *cdb, struct iovec *iov,
		    unsigned count)
{
	switch (cdb[0]) {
	case TEST_UNIT_READY:
	case PREVENT_REMOVAL:
		cd_respond(r, S_OK);
		break;
	case START_STOP:
		/* LOEJ without START: it would be out for good. */
		if ((cdb[4] & 3) == 2)
			check_condition(r, ILLEGAL_REQUEST, REMOVAL_PREVENTED);
		else
			cd_respond(r, S_OK);
		break;
	case READ_10:
		read_sectors(r, iov, count, get_be32(cdb + 2),
			     get_be16(cdb + 7));
		break;
	case READ_12:
		read_sectors(r, iov, count, get_be32(cdb + 2),
			     get_be32(cdb + 6));
		break;
	case REQUEST_SENSE:
	case INQUIRY:
	case MODE_SENSE_6:
	case MODE_SENSE_10:
	case READ_CAPACITY:
	case READ_TOC:
	case GET_CONFIGURATION:
	case GET_EVENT:
	case REPORT_LUNS:
		tell(r, cdb, iov, count);
		break;
	default:
		check_condition(r, ILLEGAL_REQUEST, BAD_OPCODE);
		break;
	}
}

/* ---- queues ---- */

/* "lun": 1, target, and a LUN with flat addressing. */
static bool is_us(const u8 *lun)
{
	return lun[0] == 1 && lun[1] == 0 && !(lun[2] & 0x3f) && lun[3] == 0;
}

/* False: the chain is none that a driver may send. */
static bool cd_start(struct cd_request *r)
{
	struct virtq_chain *c = &r->chain;
	struct iovec *out = c->iov, *in = c->iov + c->out;
	unsigned outs = c->out, ins = c->in;
	u8 request[R_LEN];

	if (!iov_take(&out, &outs, request, R_LEN) ||
	    !iov_split(&in, &ins, r->answer, &r->answers, SCSI_ANSWER))
		return false;
	if (is_us(request + R_LUN))
		cd_command(r, request + R_CDB, in, ins);
	else
		cd_respond(r, S_BAD_TARGET);
	return true;
}

static void cd_serve_requests(struct cd *cd, unsigned queue)
{
	struct virtio *v = &cd->virtio;
	struct cd_request *r;
	unsigned n = 0;

	while ((r = cd->free) && virtq_next(v, queue, &r->chain, &n)) {
		cd->free = r->next;
		r->queue = (u16)queue;
		r->written = 0;
		if (!cd_start(r)) {
			virtio_break(v);
			virtq_put(v, queue, r->chain.head, 0);
			r->next = cd->free;
			cd->free = r;
		}
	}
	if (!r)
		cd->stalled = true;
	virtq_signal(v, queue);
}

/*
 * Task management: what has been taken ends by itself and is not called back,
 * so there is nothing to do, or it is refused.  No asynchronous notification.
 * False: the chain is none that a driver may send.
 */
static bool cd_control(const struct cd *cd, struct virtq_chain *c, u32 *written)
{
	struct iovec *out = c->iov, *in = c->iov + c->out;
	unsigned outs = c->out, ins = c->in;
	u8 request[TMF_LEN] = { 0 }, answer[5] = { 0 };
	u32 len = 1;

	if (!iov_take(&out, &outs, request, 4))
		return false;
	switch (get32(request)) {
	case T_TMF:
		if (!iov_take(&out, &outs, request + 4, TMF_LEN - 4))
			return false;
		answer[0] = !is_us(request + 8) ? S_BAD_TARGET :
			    cd->busy ? S_REJECTED : S_OK;
		break;
	case T_AN_QUERY:
	case T_AN_SUBSCRIBE:
		if (!iov_take(&out, &outs, request + 4, AN_LEN - 4))
			return false;
		len = 5;
		answer[4] = is_us(request + 4) ? S_OK : S_BAD_TARGET;
		break;
	default:
		return false;
	}
	*written = len;
	return iov_give(&in, &ins, answer, len);
}

static void cd_serve_control(struct cd *cd)
{
	static struct virtq_chain c;	/* the main thread's */
	struct virtio *v = &cd->virtio;
	unsigned n = 0;
	u32 len;

	while (virtq_next(v, Q_CONTROL, &c, &n)) {
		len = 0;
		if (!cd_control(cd, &c, &len)) {
			virtio_break(v);
			len = 0;
		}
		virtq_put(v, Q_CONTROL, c.head, len);
	}
	virtq_signal(v, Q_CONTROL);
}

static void cd_serve(struct virtio *v, unsigned queue)
{
	struct cd *cd = (struct cd *)v;

	if (queue == Q_CONTROL)
		cd_serve_control(cd);
	else if (queue == Q_REQUEST)
		cd_serve_requests(cd, queue);
	/* Event buffers are kept: nothing ever happens. */
}

static const struct virtio_model cd_model = {
	.id = VIRTIO_ID_SCSI,
	.class = CLASS_SCSI,
	.serve = cd_serve,
};

int cd_init(struct cd *cd, const struct disk *disk, struct pci *pci,
	    const struct guest_mem *mem)
{
	struct virtio *v = &cd->virtio;
	unsigned i;

	memset(cd, 0, sizeof(*cd));
	cd->disk = disk;
	cd->sectors = (u32)MIN(disk->size / CD_SECTOR, (u64)UINT32_MAX);
	for (i = 0; i < CD_REQUESTS; i++) {
		cd->request[i].cd = cd;
		cd->request[i].next = cd->free;
		cd->free = &cd->request[i];
	}
	v->queues = QUEUES;
	v->config_len = G_LEN;
	put32(v->config + G_QUEUES, QUEUES - Q_REQUEST);
	/* A request has a header and an answer besides. */
	put32(v->config + G_SEG_MAX, disk->segments ? disk->segments :
	      VIRTQ_CHAIN - 2);
	put32(v->config + G_MAX_SECTORS, 0xffff);
	put32(v->config + G_CMD_PER_LUN, CD_REQUESTS);
	put32(v->config + G_EVENT_SIZE, 16);
	put32(v->config + G_SENSE_SIZE, SCSI_SENSE);
	put32(v->config + G_CDB_SIZE, CDB_LEN);
	return virtio_init(v, &cd_model, pci, mem);
}
