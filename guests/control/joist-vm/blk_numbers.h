/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blk_numbers.h -- the numbers of virtio's "Block Device", for who is one and
 * for who drives one.
 */
#ifndef VM_BLK_NUMBERS_H
#define VM_BLK_NUMBERS_H

/* "Feature bits". */
#define F_SEG_MAX	BIT(2)
#define F_RO		BIT(5)
#define F_BLK_SIZE	BIT(6)
#define F_FLUSH		BIT(9)
#define F_TOPOLOGY	BIT(10)
#define F_CONFIG_WCE	BIT(11)
#define F_MQ		BIT(12)
#define F_DISCARD	BIT(13)
#define F_WRITE_ZEROES	BIT(14)

/* "Device configuration layout". */
#define B_CAPACITY	0
#define B_SEG_MAX	12
#define B_BLK_SIZE	20
#define B_BLOCK_EXP	24
#define B_BLOCK_ALIGN	25
#define B_IO_MIN	26
#define B_IO_BEST	28
#define B_WCE		32
#define B_QUEUES	34
#define B_DISCARD_MAX	36
#define B_DISCARD_SEGS	40
#define B_DISCARD_ALIGN	44
#define B_ZEROES_MAX	48
#define B_ZEROES_SEGS	52
#define B_ZEROES_UNMAP	56
#define B_LEN		60

/* "Device Operation". */
#define T_IN		0
#define T_OUT		1
#define T_FLUSH		4
#define T_GET_ID	8
#define T_DISCARD	11
#define T_WRITE_ZEROES	13

#define S_OK		0
#define S_IOERR		1
#define S_UNSUPP	2

#define RANGE_UNMAP	BIT(0)

#endif
