/* A DICOM client that does nothing but load: one presentation context (id 1), prepared bytes, many threads.
 *
 *   load HOST PORT ASSOCIATE COMMAND DATASET new|keep THREADS COUNT WARM [COMMAND_OFFSET DATASET_OFFSET LENGTH]
 *
 * ASSOCIATE is a file with a whole A-ASSOCIATE-RQ; COMMAND and DATASET are files with an encoded command set and data
 * set (may be empty). With offsets, LENGTH digits there are replaced by a number of its own for each request, so that
 * SOP Instance UIDs differ; -1 means not in that file. TCP_NODELAY is on, a message is one writev, the peer's maximum
 * length is obeyed, the final status is checked. Prints one line of JSON, times in seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef struct { unsigned char *bytes; size_t length; } blob;
typedef struct { int socket; uint32_t max_pdu; unsigned char *buffer; size_t room, have, at; } peer;

static const char *host;
static int port, keep;
static blob associate, command, dataset;
static long count, warm, command_offset = -1, dataset_offset = -1, digits = 0, first_number;
static volatile long ticket;
static double *latencies;
static long done, answers, failures, bad_status = -1;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static blob read_file(const char *path)
{
    blob file = {0, 0};
    FILE *handle = fopen(path, "rb");
    if (!handle) { perror(path); exit(2); }
    fseek(handle, 0, SEEK_END);
    file.length = ftell(handle);
    rewind(handle);
    file.bytes = malloc(file.length + 1);
    if (file.length && fread(file.bytes, 1, file.length, handle) != file.length) exit(2);
    fclose(handle);
    return file;
}

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec + moment.tv_nsec * 1e-9;
}

static uint32_t big_endian(const unsigned char *at) { return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }

static uint32_t little_endian(const unsigned char *at) { return (uint32_t)at[3] << 24 | at[2] << 16 | at[1] << 8 | at[0]; }

static int write_all(int socket, struct iovec *parts, int number)
{
    while (number) {
        ssize_t written = writev(socket, parts, number > 1000 ? 1000 : number);
        if (written < 0) { if (errno == EINTR) continue; return -1; }
        while (number && (size_t)written >= parts->iov_len) { written -= parts->iov_len; parts++; number--; }
        if (number) { parts->iov_base = (char *)parts->iov_base + written; parts->iov_len -= written; }
    }
    return 0;
}

static int want(peer *other, size_t needed)
{
    if (other->have - other->at >= needed) return 0;
    memmove(other->buffer, other->buffer + other->at, other->have - other->at);
    other->have -= other->at;
    other->at = 0;
    if (needed > other->room) { other->room = needed * 2; other->buffer = realloc(other->buffer, other->room); }
    while (other->have < needed) {
        ssize_t got = recv(other->socket, other->buffer + other->have, other->room - other->have, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        other->have += got;
    }
    return 0;
}

static int read_pdu(peer *other, unsigned char *type, unsigned char **body, uint32_t *length)
{
    if (want(other, 6)) return -1;
    uint32_t size = big_endian(other->buffer + other->at + 2);
    if (want(other, 6 + (size_t)size)) return -1;
    unsigned char *start = other->buffer + other->at;
    *type = start[0];
    *body = start + 6;
    *length = size;
    other->at += 6 + size;
    return 0;
}

/* Whether context 1 was accepted; notes the peer's maximum length. */
static int read_acceptance(peer *other, unsigned char *body, uint32_t length)
{
    int accepted = 0;
    other->max_pdu = 16384;
    for (size_t at = 68; at + 4 <= length;) {
        unsigned kind = body[at], size = body[at + 2] << 8 | body[at + 3];
        if (kind == 0x21) accepted = body[at + 6] == 0;
        if (kind == 0x50)
            for (size_t sub = at + 4; sub + 4 <= at + 4 + size; sub += 4 + (body[sub + 2] << 8 | body[sub + 3]))
                if (body[sub] == 0x51) other->max_pdu = big_endian(body + sub + 4);
        at += 4 + size;
    }
    if (other->max_pdu == 0 || other->max_pdu > 1 << 20) other->max_pdu = 1 << 20;
    return accepted;
}

static int open_association(peer *other)
{
    struct sockaddr_in address = {0};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, host, &address.sin_addr);
    other->socket = socket(AF_INET, SOCK_STREAM, 0);
    other->have = other->at = 0;
    int one = 1;
    setsockopt(other->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(other->socket, (void *)&address, sizeof address)) return -1;
    struct iovec part = {associate.bytes, associate.length};
    unsigned char type, *body;
    uint32_t length;
    if (write_all(other->socket, &part, 1) || read_pdu(other, &type, &body, &length) || type != 2) return -1;
    return read_acceptance(other, body, length) ? 0 : -1;
}

static int release(peer *other)
{
    unsigned char request[10] = {5, 0, 0, 0, 0, 4}, type, *body;
    struct iovec part = {request, 10};
    uint32_t length;
    int failed = write_all(other->socket, &part, 1) || read_pdu(other, &type, &body, &length) || type != 6;
    close(other->socket);
    other->socket = -1;
    return failed;
}

static int fragment(blob message, int is_command, uint32_t max_pdu, struct iovec *parts, unsigned char (*heads)[12], int used)
{
    size_t at = 0;
    do {
        size_t size = message.length - at, most = max_pdu - 6;
        if (size > most) size = most;
        int is_last = at + size >= message.length;
        unsigned char *head = heads[used / 2];
        uint32_t pdu = size + 6, item = size + 2;
        unsigned char filled[12] = {4, 0, pdu >> 24, pdu >> 16, pdu >> 8, pdu, item >> 24, item >> 16, item >> 8, item, 1,
                                    (is_last ? 2 : 0) | is_command};
        memcpy(head, filled, 12);
        parts[used] = (struct iovec){head, 12};
        parts[used + 1] = (struct iovec){message.bytes + at, size};
        used += 2;
        at += size;
    } while (at < message.length);
    return used;
}

/* Reads a response's command set: 1 when it is the last of its request. */
static int read_command(const unsigned char *bytes, size_t length, long *pending, int *data_follows)
{
    int status = -1, kind = 0x101;
    for (size_t at = 0; at + 8 <= length; at += 8 + little_endian(bytes + at + 4)) {
        unsigned group = bytes[at] | bytes[at + 1] << 8, element = bytes[at + 2] | bytes[at + 3] << 8;
        if (group == 0 && element == 0x0900) status = bytes[at + 8] | bytes[at + 9] << 8;
        if (group == 0 && element == 0x0800) kind = bytes[at + 8] | bytes[at + 9] << 8;
    }
    *data_follows = kind != 0x101;
    if (status == 0xff00 || status == 0xff01) { (*pending)++; return 0; }
    if (status != 0 && (status & 0xf000) != 0xb000) bad_status = status;
    return 1;
}

static int ask(peer *other, blob asked, blob data, struct iovec *parts, unsigned char (*heads)[12], long *pending)
{
    int used = fragment(asked, 1, other->max_pdu, parts, heads, 0);
    if (data.length) used = fragment(data, 0, other->max_pdu, parts, heads, used);
    if (write_all(other->socket, parts, used)) return -1;
    for (int is_final = 0, data_follows = 0;;) {
        unsigned char type, *body;
        uint32_t length;
        if (read_pdu(other, &type, &body, &length) || type != 4) return -1;
        for (size_t at = 0; at + 6 <= length;) {
            uint32_t size = big_endian(body + at);
            unsigned char control = body[at + 5];
            if (control & 1) is_final = read_command(body + at + 6, size - 2, pending, &data_follows);
            else if (control & 2) data_follows = 0;
            at += 4 + size;
        }
        if (is_final && !data_follows) return 0;
    }
}

static blob copy_of(blob original)
{
    blob copy = {malloc(original.length + 1), original.length};
    memcpy(copy.bytes, original.bytes, original.length);
    return copy;
}

static void *work(void *unused)
{
    (void)unused;
    peer other = {-1, 0, malloc(1 << 17), 1 << 17, 0, 0};
    blob asked = copy_of(command), data = copy_of(dataset);
    int fragments = (command.length + dataset.length) / 2000 + 64;
    struct iovec *parts = malloc(sizeof *parts * 2 * fragments);
    unsigned char(*heads)[12] = malloc(12 * fragments);
    double *own = malloc(sizeof(double) * (count + 1));
    long mine = 0, found = 0, failed = 0, number;
    while ((number = __sync_fetch_and_add(&ticket, 1)) < count + warm && failed <= 20) {
        if (digits) {
            char text[32];
            snprintf(text, sizeof text, "%0*ld", (int)digits, first_number + number);
            if (command_offset >= 0) memcpy(asked.bytes + command_offset, text, digits);
            if (dataset_offset >= 0) memcpy(data.bytes + dataset_offset, text, digits);
        }
        long pending = 0;
        double begun = now();
        int wrong = (other.socket < 0 && open_association(&other)) || ask(&other, asked, data, parts, heads, &pending)
            || (!keep && release(&other));
        double took = now() - begun;
        if (wrong) {
            failed++;
            if (other.socket >= 0) { close(other.socket); other.socket = -1; }
        } else if (number >= warm) {
            own[mine++] = took;
            found += pending;
        }
    }
    if (other.socket >= 0) release(&other);
    pthread_mutex_lock(&gate);
    memcpy(latencies + done, own, mine * sizeof(double));
    done += mine;
    answers += found;
    failures += failed;
    pthread_mutex_unlock(&gate);
    return 0;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

int main(int number, char **words)
{
    if (number < 10) { fprintf(stderr, "load HOST PORT ASSOCIATE COMMAND DATASET new|keep THREADS COUNT WARM [OFFSETS]\n"); return 2; }
    host = words[1];
    port = atoi(words[2]);
    associate = read_file(words[3]);
    command = read_file(words[4]);
    dataset = read_file(words[5]);
    keep = !strcmp(words[6], "keep");
    int threads = atoi(words[7]);
    count = atol(words[8]);
    warm = atol(words[9]);
    if (number > 12) { command_offset = atol(words[10]); dataset_offset = atol(words[11]); digits = atol(words[12]); }
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    first_number = (clock.tv_sec % 1000000L) * 1000000L + clock.tv_nsec / 1000;
    latencies = malloc(sizeof(double) * (count + 10));
    pthread_t running[256];
    double begun = now();
    for (int index = 0; index < threads && index < 256; index++) pthread_create(running + index, 0, work, 0);
    for (int index = 0; index < threads && index < 256; index++) pthread_join(running[index], 0);
    double wall = now() - begun;
    qsort(latencies, done, sizeof(double), compare);
    printf("{\"n\": %ld, \"failed\": %ld, \"wall\": %.6f, \"rate\": %.2f, \"answers\": %ld, \"p50\": %.7f, \"p95\": %.7f, \"bad_status\": %ld}\n",
           done, failures, wall, (done + warm) / wall, answers, done ? latencies[done / 2] : 0,
           done ? latencies[(long)(done * 0.95)] : 0, bad_status);
    return 0;
}
