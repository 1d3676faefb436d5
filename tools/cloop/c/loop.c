/*
 * The least that any NAT does to a packet, in C: write a 64-byte frame into a
 * buffer (a driver's part), parse it, find its session, rewrite addresses, port,
 * TTL, checksums and MACs. No route, counter, timer or policy. It is the yardstick
 * beside which the whole path of the gateway is measured.
 *
 *	loop SESSIONS...    prints one JSON line per number of sessions:
 *	{"sessions":N,"onePassNs":F,"twoPassNs":F}   in ns per packet, median of 5
 *
 * Two passes: parse, hash and prefetch a batch of 64, then look up and rewrite.
 * Flows come in random order; 4096 frame buffers are used in turn.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { BATCH = 64, FRAME = 64, BUFFERS = 4096, ORDER = 1 << 20, ROUNDS = 5, ETH = 14 };

/* 32 bytes; addrs is 0 in a free entry. Words are as they are on the wire. */
struct session {
	uint64_t addrs;          /* source, destination */
	uint64_t rest;           /* ports, protocol */
	uint32_t src;            /* new source */
	uint16_t sport;          /* new source port */
	uint16_t ip_delta, l4_delta;
	uint8_t mac[6];          /* next hop */
};
_Static_assert(sizeof(struct session) == 32, "a session is 32 bytes");

static struct session *table;
static uint64_t mask;
static unsigned shift;
static uint8_t (*frames)[FRAME];
static uint32_t *order;
static uint64_t misses; /* keeps the work from being optimised away; must stay 0 */

static inline uint64_t hash(uint64_t addrs, uint64_t rest)
{
	__uint128_t m = (__uint128_t)(addrs ^ 0x9e3779b97f4a7c15) * (rest ^ 0xc2b2ae3d27d4eb4f);
	m = (__uint128_t)((uint64_t)m ^ (uint64_t)(m >> 64)) * 0x165667b19e3779f9;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint16_t fold(uint32_t s)
{
	s = (s >> 16) + (s & 0xffff);
	return (uint16_t)((s >> 16) + s);
}

static inline uint16_t apply(uint16_t sum, uint16_t delta) /* RFC 1624 */
{
	return (uint16_t)~fold((uint16_t)~sum + (uint32_t)delta);
}

#define LOAD(type, at) ({ type v_; memcpy(&v_, (at), sizeof v_); v_; })
#define STORE(at, v) ({ __typeof__(v) v_ = (v); memcpy((at), &v_, sizeof v_); })

/* Flow f: UDP from 10.x.y.z:p to 198.51.100.10:443. */
static void flow(uint32_t f, uint32_t *src, uint16_t *sport)
{
	*src = htonl(0x0a000000u + f / 16);
	*sport = htons(1024 + f % 16 * 3000);
}

static uint8_t template[FRAME];

static void make_template(void)
{
	uint8_t *ip = template + ETH;
	template[12] = 8;
	ip[0] = 0x45;
	STORE(ip + 2, htons(FRAME - ETH));
	ip[8] = 64;
	ip[9] = 17;
	STORE(ip + 10, htons(0x1234));
	STORE(ip + 16, htonl(0xc633640au));
	STORE(ip + 22, htons(443));
	STORE(ip + 24, htons(FRAME - ETH - 20));
	STORE(ip + 26, htons(0x4321));
}

static inline void write_frame(uint8_t *b, uint32_t f)
{
	uint32_t src;
	uint16_t sport;
	flow(f, &src, &sport);
	memcpy(b, template, FRAME);
	STORE(b + ETH + 12, src);
	STORE(b + ETH + 20, sport);
}

/* Returns 0 for what the path would not forward. */
static inline int parse(const uint8_t *b, uint64_t *addrs, uint64_t *rest)
{
	const uint8_t *ip = b + ETH;
	if (LOAD(uint16_t, b + 12) != htons(0x0800) || ip[0] != 0x45)
		return 0;
	unsigned total = ntohs(LOAD(uint16_t, ip + 2));
	if (total < 28 || total > FRAME - ETH || (LOAD(uint16_t, ip + 6) & htons(0x3fff)) || ip[8] < 2)
		return 0;
	if (ip[9] != 17 && ip[9] != 6)
		return 0;
	*addrs = LOAD(uint64_t, ip + 12);
	*rest = (uint64_t)LOAD(uint32_t, ip + 20) << 32 | ip[9];
	return 1;
}

static inline struct session *find(uint64_t h, uint64_t addrs, uint64_t rest)
{
	for (uint64_t i = h >> shift;; i++) {
		struct session *s = &table[i & mask];
		if (s->addrs == addrs && s->rest == rest)
			return s;
		if (!s->addrs)
			return NULL;
	}
}

static inline void rewrite(uint8_t *b, const struct session *s)
{
	static const uint8_t own[6] = {2, 0, 0, 0, 0, 1};
	uint8_t *ip = b + ETH;
	memcpy(b, s->mac, 6);
	memcpy(b + 6, own, 6);
	STORE(ip + 12, s->src);
	STORE(ip + 20, s->sport);
	ip[8]--;
	STORE(ip + 10, apply(LOAD(uint16_t, ip + 10), s->ip_delta));
	uint16_t sum = LOAD(uint16_t, ip + 26);
	if (sum)
		STORE(ip + 26, apply(sum, s->l4_delta));
}

/* The sum of n bytes, n even, and of what is carried over from before. */
static uint16_t sum(const uint8_t *b, int n, uint32_t s)
{
	for (int i = 0; i < n; i += 2)
		s += LOAD(uint16_t, b + i);
	return fold(s);
}

/* The pseudo-header and the UDP datagram of a frame, as a sum. */
static uint16_t udp_sum(const uint8_t *ip)
{
	return sum(ip + 20, FRAME - ETH - 20, sum(ip + 12, 8, htons(17) + LOAD(uint16_t, ip + 24)));
}

/* Proves that a frame with right checksums leaves with right ones. */
static int rewrites_well(uint32_t f)
{
	uint8_t b[FRAME], *ip = b + ETH;
	uint64_t addrs, rest;
	write_frame(b, f);
	STORE(ip + 10, (uint16_t)0);
	STORE(ip + 10, (uint16_t)~sum(ip, 20, 0));
	STORE(ip + 26, (uint16_t)0);
	STORE(ip + 26, (uint16_t)~udp_sum(ip));
	if (!parse(b, &addrs, &rest))
		return 0;
	struct session *s = find(hash(addrs, rest), addrs, rest);
	if (!s)
		return 0;
	rewrite(b, s);
	return LOAD(uint32_t, ip + 12) == s->src && ip[8] == 63 && sum(ip, 20, 0) == 0xffff && udp_sum(ip) == 0xffff;
}

static void one_pass(uint32_t at)
{
	for (int i = 0; i < BATCH; i++) {
		uint8_t *b = frames[(at + i) % BUFFERS];
		uint64_t addrs, rest;
		write_frame(b, order[at + i]);
		struct session *s = NULL;
		if (parse(b, &addrs, &rest))
			s = find(hash(addrs, rest), addrs, rest);
		if (s)
			rewrite(b, s);
		else
			misses++;
	}
}

static void two_pass(uint32_t at)
{
	uint64_t addrs[BATCH], rest[BATCH], h[BATCH];
	int ok[BATCH];
	for (int i = 0; i < BATCH; i++) {
		uint8_t *b = frames[(at + i) % BUFFERS];
		write_frame(b, order[at + i]);
		ok[i] = parse(b, &addrs[i], &rest[i]);
		h[i] = hash(addrs[i], rest[i]);
		__builtin_prefetch(&table[h[i] >> shift]);
	}
	for (int i = 0; i < BATCH; i++) {
		struct session *s = ok[i] ? find(h[i], addrs[i], rest[i]) : NULL;
		if (s)
			rewrite(frames[(at + i) % BUFFERS], s);
		else
			misses++;
	}
}

static void *pages(size_t n)
{
	n = (n + (2u << 20) - 1) & ~(size_t)((2u << 20) - 1);
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	madvise(p, n, MADV_HUGEPAGE);
	return p;
}

static void fill(uint32_t sessions)
{
	uint64_t n = 64;
	shift = 64 - 6;
	while (n < 2ull * sessions)
		n *= 2, shift--;
	mask = n - 1;
	table = pages(n * sizeof *table);
	for (uint32_t f = 0; f < sessions; f++) {
		uint8_t b[FRAME];
		uint64_t addrs, rest;
		write_frame(b, f);
		if (!parse(b, &addrs, &rest))
			exit(2);
		uint64_t i = hash(addrs, rest) >> shift;
		while (table[i & mask].addrs)
			i++;
		uint32_t src = LOAD(uint32_t, b + ETH + 12), out = htonl(0xcb007102u);
		uint16_t sport = LOAD(uint16_t, b + ETH + 20), port = htons(1024 + f % 60000);
		uint32_t d = (uint16_t)~src + (uint32_t)(uint16_t)~(src >> 16) + (uint16_t)out + (out >> 16);
		table[i & mask] = (struct session){
			.addrs = addrs, .rest = rest, .src = out, .sport = port,
			.ip_delta = fold(fold(d) + (uint32_t)(uint16_t)~htons(0x0100)),
			.l4_delta = fold(fold(d) + (uint32_t)(uint16_t)~sport + port),
			.mac = {2, 0, 0, 0, 0, 9},
		};
	}
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double measure(void (*batch)(uint32_t))
{
	double took[ROUNDS];
	for (int r = -1; r < ROUNDS; r++) { /* the first warms up */
		double start = now();
		uint64_t packets = 0;
		while (now() - start < 2e8)
			for (int k = 0; k < 256; k++, packets += BATCH)
				batch((uint32_t)(packets % ORDER));
		if (r >= 0)
			took[r] = (now() - start) / (double)packets;
	}
	qsort(took, ROUNDS, sizeof *took, by_value);
	return took[ROUNDS / 2];
}

int main(int argc, char **argv)
{
	make_template();
	frames = pages(sizeof *frames * BUFFERS);
	order = pages(sizeof *order * ORDER);
	for (int a = 1; a < argc; a++) {
		uint32_t sessions = (uint32_t)strtoul(argv[a], NULL, 10);
		if (!sessions || sessions > 8u << 20)
			return fprintf(stderr, "got %s sessions; want 1 to 8388608\n", argv[a]), 2;
		uint64_t seed = 1;
		for (uint32_t i = 0; i < ORDER; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			order[i] = (uint32_t)((seed >> 33) % sessions);
		}
		fill(sessions);
		for (uint32_t f = 0; f < sessions; f += 1 + sessions / 100)
			if (!rewrites_well(f))
				return fprintf(stderr, "flow %u leaves with wrong headers\n", f), 1;
		double one = measure(one_pass), two = measure(two_pass);
		if (misses)
			return fprintf(stderr, "%lu packets found no session\n", (unsigned long)misses), 1;
		printf("{\"sessions\":%u,\"onePassNs\":%.2f,\"twoPassNs\":%.2f}\n", sessions, one, two);
		munmap(table, (mask + 1) * sizeof *table);
	}
	return 0;
}
